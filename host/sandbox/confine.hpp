// SPDX-License-Identifier: Apache-2.0
//
// host/sandbox/confine.hpp: what a plugin's own process takes from itself before it loads the
// plugin, for ever: the kernel holds every later thread and process of it to that.
//
// It is no jail for code that looks for holes in the kernel. It keeps a plugin that errs, and one that is curious, from
// what it was not granted.
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

/// A build with a sanitizer, which maps more addresses than any limit allows: there it is told the limit instead.
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

struct Confinement {
  std::string folder;  ///< its own, to write in; it works there
  std::vector<std::string> read;
  std::vector<std::string> write;
  bool network = false;
  bool processes = false;                      ///< starting programs, also those that lie in what is granted
  std::optional<std::int64_t> max_memory_mib;  ///< of address space
  std::vector<std::string> environment{};      ///< variables that it is given besides; the host alone looks at them
  std::int64_t open_files = inherited_open_files();  ///< the soft limit; the host's own is higher
  /// Of the paths above: those that stay closed unless they are these files and folders.
  std::map<std::string, FileId> pinned{};
};
[[nodiscard]] json to_json(const Confinement& confinement);
[[nodiscard]] Result<Confinement> confinement_of(const json& doc);

/// The files and folders of certificates that OpenSSL and curl are told to use.
inline constexpr std::array kCertificateVariables{"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"};

/// What such a process gets of the host's environment: NAME=value. With the network also the variables that name
/// proxies (which may hold a password) and certificates. What is temporary goes into its folder.
[[nodiscard]] std::vector<std::string> scrubbed_environment(const Confinement& confinement);

/// The level that was reached.
struct Confined {
  /// "no_new_privs", "rlimits", "capabilities", "landlock:7" (with the version of it that the kernel has), "seccomp"
  std::vector<std::string> enforced;
  std::vector<std::string> notes;  ///< sentences for the log: what the kernel lacks, what was granted and is not there
};

/// Whatever version of Landlock the kernel has.
inline constexpr int kAnyLandlock = std::numeric_limits<int>::max();

/// `unavailable` when the kernel refuses something that it offers: then nothing must be loaded. `newest_landlock`: no
/// more of Landlock is used than that version of it knows, as on an older kernel.
[[nodiscard]] Result<Confined> confine(const Confinement& confinement, int newest_landlock = kAnyLandlock);

// Its parts:
/// Landlock: paths, TCP ports, and what is outside of this process. The version; 0: the kernel has none.
[[nodiscard]] Result<int> restrict_paths(const Confinement& confinement, std::vector<std::string>& notes,
                                         int newest = kAnyLandlock);
/// seccomp. False: the kernel has none. `landlock`: what restrict_paths() has reached; what it lacks is refused here,
/// as far as a filter of system calls can.
[[nodiscard]] Result<bool> restrict_calls(const Confinement& confinement, int landlock);
/// seccomp as well: what acts on a process that is named by its number may name this one, or none (0).
[[nodiscard]] Result<void> restrict_calls_on_others();
[[nodiscard]] std::unexpected<Error> not_confined(const std::string& what, int error);

}  // namespace gantry::host
