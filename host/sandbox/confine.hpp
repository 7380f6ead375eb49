// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/confine.hpp: the rights that a plugin's own process gives up for ever, before it
// loads the plugin: the kernel then holds every later thread and process of it to that.
//
// The confinement is no jail for code that attacks the kernel. It keeps an erring or curious plugin
// from everything that it was not granted.
//
// Thread rule: once, on the only thread of the process.
#pragma once

#include <array>
#include <cstdint>
#include <gantry/json.hpp>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/runtime/open_files.hpp"
#include "host/sandbox/pinned_paths.hpp"

namespace gantry::host {

/// A build with a sanitizer maps more addresses than any limit allows: there the plugin only learns
/// its limit.
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

struct Confinement {
  std::string folder;  ///< the plugin's own folder, which it may write and works in
  std::vector<std::string> read;
  std::vector<std::string> write;
  bool network = false;
  bool processes = false;                      ///< starting programs, including those in granted paths
  std::optional<std::int64_t> max_memory_mib;  ///< of address space
  std::vector<std::string> environment{};      ///< further variables for the process; only the host reads this member
  std::int64_t open_files = inherited_open_files();  ///< the soft limit; the host's own is higher
  /// Of the paths above: those that stay closed unless they still lead to these files and folders.
  std::map<std::string, FileId> pinned{};
};
[[nodiscard]] json to_json(const Confinement& confinement);
[[nodiscard]] Result<Confinement> confinement_of(const json& doc);

/// Variables that name certificates for OpenSSL and curl.
inline constexpr std::array kCertificateVariables{"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"};

/// The part of the host's environment that such a process gets: NAME=value. With the network also
/// the variables that name proxies (which may hold a password) and certificates. Temporary files go
/// into the plugin's folder.
[[nodiscard]] std::vector<std::string> scrubbed_environment(const Confinement& confinement);

/// The level of confinement that was reached.
struct Confined {
  /// "no_new_privs", "rlimits", "capabilities", "landlock:7" (with the kernel's version of
  /// Landlock), "seccomp"
  std::vector<std::string> enforced;
  std::vector<std::string> notes;  ///< sentences for the log: what the kernel lacks, which granted paths do not exist
};

/// The value for any version of Landlock.
inline constexpr int kAnyLandlock = std::numeric_limits<int>::max();

/// Confines this process. `unavailable`: the kernel refuses something that it offers; then no
/// plugin must be loaded. `newest_landlock`: use only what that version of Landlock knows, as on an
/// older kernel.
[[nodiscard]] Result<Confined> confine(const Confinement& confinement, int newest_landlock = kAnyLandlock);

// Its parts:
/// Landlock: paths, TCP ports, and access to other processes. Returns the version; 0: the kernel
/// has none.
[[nodiscard]] Result<int> restrict_paths(const Confinement& confinement, std::vector<std::string>& notes,
                                         int newest = kAnyLandlock);
/// seccomp. False: the kernel has none. `landlock`: the version that restrict_paths() has reached;
/// what that version lacks is refused here, as far as a filter of system calls can.
[[nodiscard]] Result<bool> restrict_calls(const Confinement& confinement, int landlock);
/// seccomp as well: system calls that act on a process by its number may only name this process, or
/// 0.
[[nodiscard]] Result<void> restrict_calls_on_others();
[[nodiscard]] std::unexpected<Error> not_confined(const std::string& what, int error);

}  // namespace gantry::host
