// SPDX-License-Identifier: Apache-2.0
//
// host/trust/trust_store.hpp: the user's decisions on trust, in one file of the state folder.
//
// A plugin is trusted by its name and its library's path, with the grants that its manifest may ask
// for. Its binary is not bound: it changes with each build, and its author would be asked each
// time; a build that asks for nothing new can do nothing that was not agreed to. A folder is
// trusted by its path with the digest of its `.gantry.toml`, and is untrusted again as soon as that
// file changes.
//
// Format: JSON `{"version": 1, "plugins": {NAME: {library, grants[], at}}, "folders": {PATH:
// {digest, at}}}`, mode 0600. A new version is written beside the file, synced and renamed, under a
// lock on its folder: hosts that share the file lose none of each other's changes.
// Bounds: the file kMaxBytes; kMaxPlugins of kMaxGrants each; kMaxFolders; more are `overloaded`. A
// file that is damaged, too large, another user's, a link, or writable by others gives no trust,
// and is never overwritten.
//
// Thread rule: any thread; functions that change or read the file block. mutex_ is held across no
// I/O.
#pragma once

#include <filesystem>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/config/grants.hpp"

namespace gantry::host {

class TrustStore {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
  static constexpr std::size_t kMaxPlugins = 256;
  static constexpr std::size_t kMaxGrants = 256;
  static constexpr std::size_t kMaxFolders = 1024;
  /// The digest of a folder without a `.gantry.toml`: it is untrusted again as soon as the file
  /// exists.
  static constexpr std::string_view kNoFile = "none";

  explicit TrustStore(std::filesystem::path file) : file_(std::move(file)) {}
  TrustStore(const TrustStore&) = delete;
  TrustStore& operator=(const TrustStore&) = delete;

  /// Reads the file, which need not exist. `storage_failed`: it is wrong, and gives no trust until
  /// it is mended.
  [[nodiscard]] Result<void> load();

  /// Empty, too, when another library than this one was trusted.
  [[nodiscard]] std::vector<Grant> grants_of(const std::string& plugin, const std::filesystem::path& library) const;
  /// Empty: the folder is not trusted.
  [[nodiscard]] std::optional<std::string> digest_of(const std::string& folder) const;
  [[nodiscard]] json list() const;

  /// Adds to the plugin's trusted grants; with another library they replace the old ones.
  /// `storage_failed`, `overloaded`.
  [[nodiscard]] Result<void> trust_plugin(const std::string& plugin, const std::filesystem::path& library,
                                          const std::vector<Grant>& grants);
  [[nodiscard]] Result<void> trust_folder(const std::string& folder, const std::string& digest);
  /// `not_found`: it was not trusted.
  [[nodiscard]] Result<void> revoke_plugin(const std::string& plugin);
  [[nodiscard]] Result<void> revoke_folder(const std::string& folder);

 private:
  struct TrustedPlugin {
    std::string library;
    std::vector<Grant> grants;
    std::string at;
  };
  struct TrustedFolder {
    std::string digest;
    std::string at;
  };
  struct Contents {
    std::map<std::string, TrustedPlugin> plugins;
    std::map<std::string, TrustedFolder> folders;
  };
  [[nodiscard]] Result<Contents> read() const;
  [[nodiscard]] static Result<Contents> parse(const std::string& text);
  [[nodiscard]] static json to_json(const Contents& contents);
  [[nodiscard]] Result<void> write(const std::string& text) const;
  [[nodiscard]] Result<void> change(const std::function<Result<void>(Contents&)>& how);
  [[nodiscard]] std::unexpected<Error> wrong(const std::string& why) const;

  const std::filesystem::path file_;
  mutable Mutex mutex_{"trust store"};
  Contents contents_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
