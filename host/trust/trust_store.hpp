// SPDX-License-Identifier: Apache-2.0
//
// host/trust/trust_store.hpp: what the user has trusted, in one file of the state folder.
//
// A plugin is trusted by its name and its library's path, with grants: what its manifest may ask for. Its binary is not
// bound: it changes with each build, and an author would be asked each time; a build that asks for nothing new does
// nothing that was not agreed to. A folder is trusted by its path with the digest of its `.gantry.toml`, and is not any
// more as soon as that file is another one.
//
// Format: JSON `{"version": 1, "plugins": {NAME: {library, grants[], at}}, "folders": {PATH: {digest, at}}}`, mode
// 0600. It is written beside, synced and renamed, under a lock on its folder: hosts that share it lose nothing of each
// other. Bounds: the file kMaxBytes; kMaxPlugins of kMaxGrants each; kMaxFolders; more are `overloaded`. A file that is
// damaged, larger, another user's, a link, or writable by others trusts nothing, and is never written over.
//
// Thread rule: any thread; what changes or reads the file blocks. mutex_ is held across no I/O.
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
  /// The digest of a folder that has no `.gantry.toml`: it is not trusted any more as soon as there is one.
  static constexpr std::string_view kNoFile = "none";

  explicit TrustStore(std::filesystem::path file) : file_(std::move(file)) {}
  TrustStore(const TrustStore&) = delete;
  TrustStore& operator=(const TrustStore&) = delete;

  /// Reads the file, which need not be there. `storage_failed`: it is wrong, and nothing is trusted until it is mended.
  [[nodiscard]] Result<void> load();

  /// Nothing, too, when the library is another one than was trusted.
  [[nodiscard]] std::vector<Grant> grants_of(const std::string& plugin, const std::filesystem::path& library) const;
  /// Empty: the folder is not trusted.
  [[nodiscard]] std::optional<std::string> digest_of(const std::string& folder) const;
  [[nodiscard]] json list() const;

  /// Adds to what the plugin was trusted with; another library begins anew. `storage_failed`, `overloaded`.
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
