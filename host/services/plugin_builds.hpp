// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_builds.hpp: the files of plugins: which build of a library runs, its copy, and the next one.
//
// What the host has started lies where an author's next build will: who writes there writes into whatever runs it. So a
// copy runs.
//
// Thread rule: any thread; reads and copies files, and blocks for that. mutex_ is held across no I/O.
// Bounds: kMaxBuilds of a plugin in this process, since none is ever closed; two copies of a plugin.
#pragma once

#include <filesystem>
#include <gantry/mutex.hpp>
#include <map>
#include <optional>
#include <string>

#include "host/plugins/library/library_copies.hpp"
#include "host/services/plugin_audit.hpp"
#include "host/services/plugin_registry.hpp"

namespace gantry::host {

class PluginBuilds {
 public:
  static constexpr int kMaxBuilds = 1000;

  PluginBuilds(std::filesystem::path copies_dir, const PluginAudit& audit)
      : copies_(std::move(copies_dir)), audit_(audit) {}

  /// The file that is opened for this plugin, a copy of it if there must be one, is in `spec.copy`.
  [[nodiscard]] Result<void> keep(PluginSpec& spec);
  /// The library was written since it was last looked at for a start or a reload.
  [[nodiscard]] bool was_rebuilt(const PluginSpec& spec) const;
  /// The library as it is now, in a table in which the others can run beside it. Its copy is in `spec.copy`.
  /// `unavailable`, `permission_denied`, `overloaded`: why it cannot take the place of the one that runs.
  [[nodiscard]] Result<PluginBuild> next(const PluginTable& now, const std::string& plugin);
  /// A build of it runs: what the user has changed since is no mend of the one that was never started.
  void has_run(const std::string& plugin);
  /// `old` is the plugin's no more.
  void drop(const PluginSpec& old);
  /// A build that was refused.
  static void drop_copy(const PluginSpec& next) { LibraryCopies::drop(next.copy); }
  /// `copy` is what keep() has chosen.
  [[nodiscard]] bool is_kept(const std::string& plugin, const std::filesystem::path& copy) const;

 private:
  struct Files {
    std::filesystem::path kept{};                            ///< a copy of the build that the host has started
    std::optional<std::filesystem::file_time_type> built{};  ///< when the library was written that runs, or ran
    int builds = 0;                                          ///< that were loaded into this process
    bool has_run = false;
  };
  void note_built(const PluginSpec& spec);

  LibraryCopies copies_;
  const PluginAudit& audit_;
  mutable Mutex mutex_{"plugin builds"};
  std::map<std::string, Files> files_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
