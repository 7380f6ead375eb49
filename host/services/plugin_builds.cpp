// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_builds.hpp"

#include <system_error>
#include <utility>

#include "host/plugins/library/elf.hpp"

namespace gantry::host {

// Of a build that is tried, also when it is refused: a restart by hand then goes back to the one before it.
void PluginBuilds::note_built(const PluginSpec& spec) {
  std::error_code failed;
  const auto written = std::filesystem::last_write_time(spec.library, failed);
  if (failed) return;
  const Lock lock(mutex_);
  files_[spec.name].built = written;
}

bool PluginBuilds::was_rebuilt(const PluginSpec& spec) const {
  std::error_code failed;
  const auto written = std::filesystem::last_write_time(spec.library, failed);
  const Lock lock(mutex_);
  const auto it = files_.find(spec.name);
  return !failed && it != files_.end() && it->second.built && *it->second.built != written;
}

void PluginBuilds::has_run(const std::string& plugin) {
  const Lock lock(mutex_);
  files_[plugin].has_run = true;
}

bool PluginBuilds::is_kept(const std::string& plugin, const std::filesystem::path& copy) const {
  const Lock lock(mutex_);
  const auto it = files_.find(plugin);
  return it != files_.end() && it->second.kept == copy;
}

// One that has never run is taken anew when it was mended.
Result<void> PluginBuilds::keep(PluginSpec& spec) {
  if (!spec.copy.empty()) return {};
  Files now;
  {
    const Lock lock(mutex_);
    now = files_[spec.name];
  }
  std::error_code failed;
  const bool is_there = !now.kept.empty() && (!spec.child || std::filesystem::exists(now.kept, failed));
  if (!is_there || (!now.has_run && was_rebuilt(spec))) {
    if (!now.built || !now.has_run) note_built(spec);
    auto copy = spec.child ? copies_.take(spec.name, spec.library) : copies_.take_anywhere(spec.name, spec.library);
    // A process of its own may open what lies there: no other dies of it.
    if (!copy && !(spec.child && copy.error().kind == ErrorKind::storage_failed)) return std::unexpected(copy.error());
    if (copy) {
      LibraryCopies::drop(now.kept);
      const Lock lock(mutex_);
      files_[spec.name].kept = std::move(*copy);
    }
  }
  const Lock lock(mutex_);
  spec.copy = files_[spec.name].kept;
  return {};
}

void PluginBuilds::drop(const PluginSpec& old) {
  std::filesystem::path kept;
  {
    const Lock lock(mutex_);
    kept = std::exchange(files_[old.name].kept, {});
  }
  LibraryCopies::drop(old.copy);
  LibraryCopies::drop(kept);
}

Result<PluginBuild> PluginBuilds::next(const PluginTable& now, const std::string& plugin) {
  PluginSpec next = *std::ranges::lower_bound(now.specs(), plugin, {}, &PluginSpec::name);
  const auto wrong = [&](const std::string& why) {
    return fail(ErrorKind::unavailable, "plugin " + plugin + " cannot be reloaded: " + why);
  };
  if (!next.enabled) return wrong("it is disabled; set enabled = true in [plugins." + plugin + "]");
  if (next.library.empty()) return wrong(next.failure);
  if (!next.child) {
    const Lock lock(mutex_);
    if (files_[plugin].builds >= kMaxBuilds)
      return fail(ErrorKind::overloaded,
                  std::to_string(kMaxBuilds) + " builds of plugin " + plugin +
                      " are in this process; restart the host, or run it with isolation = \"child\"");
  }
  Result<std::filesystem::path> copy;
  note_built(next);
  auto manifest = read_manifest_with(next.library, [&]() -> Result<void> {
    if (copy) LibraryCopies::drop(*copy);
    copy = copies_.take(plugin, next.library);
    return copy ? Result<void>() : std::unexpected(copy.error());
  });
  if (!manifest) {
    if (copy) LibraryCopies::drop(*copy);
    if (manifest.error().kind == ErrorKind::conflict) return std::unexpected(manifest.error());
    return wrong(manifest.error().message);
  }
  next.take(std::move(*manifest));
  next.failure.clear();
  next.copy = *copy;
  const auto refuse = [&](const std::string& why) {
    LibraryCopies::drop(*copy);
    return wrong(why);
  };
  if (auto waits = audit_.untrusted_reload(next)) {
    LibraryCopies::drop(*copy);
    return std::unexpected(std::move(*waits));
  }
  if (!next.child) {
    const auto library = read_elf(*copy, next.library.string());
    if (!library) return refuse(library.error().message);
    const auto& unique = library->unique;
    if (!unique.empty())
      return refuse(
          "its library has symbols that exist once in a process, so that a new build would use those of the "
          "old one (" +
          unique.front() + (unique.size() > 1 ? " and others" : "") +
          "); build it with hidden visibility or -fno-gnu-unique, or run it with isolation = \"child\"");
  }
  auto fitting = PluginTable::with(now, std::move(next));
  if (!fitting) return refuse(fitting.error().message);
  const Lock lock(mutex_);
  ++files_[plugin].builds;
  return PluginBuild{*fitting, PluginTable::share(*fitting, plugin)};
}

}  // namespace gantry::host
