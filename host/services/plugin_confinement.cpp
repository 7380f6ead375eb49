// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_confinement.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

namespace gantry::host {

namespace {

/// Where the table of models says that keys lie. What a command prints, the host says (key_commands.hpp).
void open_key_sources(Confinement& out, const json& settings) {
  for (const auto& [name, provider] : settings.value("providers", json::object()).items()) {
    if (const auto env = provider.find("api_key_env"); env != provider.end() && env->is_string())
      out.environment.push_back(*env);
    if (const auto file = provider.find("api_key_file"); file != provider.end() && file->is_string())
      out.read.push_back(*file);
  }
}

/// For a plugin's helpers. On a fresh account it is not there yet, and what is not there when a path is resolved stays
/// closed. Its parents are the user's to make.
void make_cache_folder(const PluginSpec& spec, const json& config) {
  const std::string cache = home_folder() + "/.cache";
  const GrantPlaces places{home_folder(), config.value("state_dir", ""), {}};
  const auto writes = granted_paths(spec.grants(), GrantKind::write, places);
  if (std::ranges::any_of(writes, [&](const auto& granted) { return granted.path == cache; }))
    (void)::mkdir(cache.c_str(), 0700);
}

}  // namespace

Confinement PluginConfinement::by_grants(const PluginSpec& spec, const json& config) const {
  Confinement out;
  out.folder = config.value("state_dir", "");
  const std::filesystem::path folder = out.folder;
  const auto grants = spec.grants();
  const GrantPlaces places{home_folder(), folder.parent_path().string(),
                           config.value("workspaces", std::vector<std::string>{})};
  // What cannot be resolved is there for the log, and stays closed: nothing has the id of nothing.
  const auto pinned = [&](GrantKind kind) {
    std::vector<std::string> paths;
    for (const auto& granted : granted_paths(grants, kind, places)) {
      const auto pin = pins_->resolve(granted.path, granted.within);
      paths.push_back(pin ? pin->path : granted.path);
      out.pinned[paths.back()] = pin ? pin->id : FileId{};
    }
    return paths;
  };
  // Its own folder is no link, whoever may write where it is.
  const auto state = pins_->resolve(places.state);
  const auto own = pins_->resolve(out.folder);
  const bool is_own = state && own && own->path == state->path / folder.filename();
  out.read = pinned(GrantKind::read);
  out.read.push_back(spec.library.parent_path().string());
  if (!spec.copy.empty()) out.read.push_back(spec.copy.parent_path().string());
  out.write = pinned(GrantKind::write);
  out.pinned[out.folder] = is_own ? own->id : FileId{};
  out.network = has_grant(grants, GrantKind::network);
  out.processes = has_grant(grants, GrantKind::processes);
  out.max_memory_mib = spec.max_memory_mib;
  if (spec.reads_keys()) open_key_sources(out, config.value("settings", json::object()));
  return out;
}

Confinement PluginConfinement::granted(const PluginSpec& spec) const {
  const json config = config_of_(spec);
  make_cache_folder(spec, config);
  return by_grants(spec, config);
}

Confinement PluginConfinement::for_process(const PluginSpec& spec, const json& config) const {
  Confinement out = by_grants(spec, config);
  out.processes = false;  // the host starts them for it (launcher.hpp)
  return out;
}

void PluginConfinement::confined(const PluginSpec& spec, const json& config, std::vector<std::string> enforced) {
  Confinement now = by_grants(spec, config);
  const Lock lock(mutex_);
  processes_.insert_or_assign(spec.name, Process{std::move(now), std::move(enforced)});
}

std::vector<std::string> PluginConfinement::enforced(const std::string& plugin) const {
  const Lock lock(mutex_);
  const auto it = processes_.find(plugin);
  return it == processes_.end() ? std::vector<std::string>() : it->second.enforced;
}

bool PluginConfinement::is_too_narrow(const PluginSpec& spec) const {
  std::optional<Confinement> then;
  {
    const Lock lock(mutex_);
    if (const auto it = processes_.find(spec.name); it != processes_.end()) then = it->second.confinement;
  }
  if (!then) return false;
  const auto now = granted(spec);
  return then->read != now.read || then->write != now.write || then->environment != now.environment ||
         then->pinned != now.pinned;
}

void PluginConfinement::resolve(const PluginSpec& spec, const GrantPlaces& places) const {
  for (const GrantKind kind : {GrantKind::read, GrantKind::write}) {
    for (const auto& granted : granted_paths(spec.grants(), kind, places))
      (void)pins_->resolve(granted.path, granted.within);
  }
}

}  // namespace gantry::host
