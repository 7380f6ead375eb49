// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_builds.hpp: the files of plugins: the build of each library that runs, its
// copy, and the next one.
//
// The host runs a copy of a library, because the author's next build overwrites the library itself,
// and with it whatever runs it.
//
// Thread rule: any thread; reads and copies files, and blocks for that. mutex_ is held across no
// I/O.
// Bounds: kMaxBuilds builds of a plugin in this process, since no library is ever closed; two
// copies of a plugin.
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

  /// Sets `spec.copy` to the file to open for this plugin, if that must be a copy.
  [[nodiscard]] Result<void> keep(PluginSpec& spec);
  /// True: the library was written since the last start or reload looked at it.
  [[nodiscard]] bool was_rebuilt(const PluginSpec& spec) const;
  /// The library as it is now, in a table of plugins that can run beside one another; `spec.copy`
  /// is its copy. `unavailable`, `permission_denied`, `overloaded`: why it cannot replace the build
  /// that runs.
  [[nodiscard]] Result<PluginBuild> next(const PluginTable& now, const std::string& plugin);
  /// A build of the plugin has run: a later change of its library no longer counts as a repair of a
  /// build that never started.
  void has_run(const std::string& plugin);
  /// The plugin does not use `old` any more.
  void drop(const PluginSpec& old);
  /// Drops the copy of a build that was refused.
  static void drop_copy(const PluginSpec& next) { LibraryCopies::drop(next.copy); }
  /// True: keep() has chosen `copy`.
  [[nodiscard]] bool is_kept(const std::string& plugin, const std::filesystem::path& copy) const;

 private:
  struct Files {
    std::filesystem::path kept{};                            ///< the copy of the build that the host has started
    std::optional<std::filesystem::file_time_type> built{};  ///< when the library that runs, or ran, was written
    int builds = 0;                                          ///< the number of builds loaded into this process
    bool has_run = false;
  };
  void note_built(const PluginSpec& spec);

  LibraryCopies copies_;
  const PluginAudit& audit_;
  mutable Mutex mutex_{"plugin builds"};
  std::map<std::string, Files> files_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
