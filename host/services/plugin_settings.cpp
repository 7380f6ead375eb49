// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_settings.hpp"

#include "host/config/grants.hpp"
#include "host/config/schema_check.hpp"

namespace gantry::host {

std::vector<PluginSpec> plugins_of(const Config& config, const std::filesystem::path& plugin_dir) {
  std::vector<PluginSpec> configured;
  for (const auto& [name, entry] : config.plugins) {
    PluginSpec spec;
    spec.name = name;
    spec.enabled = entry.enabled;
    spec.child = entry.isolation == Isolation::child;
    spec.restart = entry.restart != Restart::never;
    spec.max_memory_mib = entry.max_memory_mib;
    if (entry.grants) {
      auto& granted = spec.granted.emplace();
      for (const auto& text : *entry.grants) {
        if (auto grant = parse_grant(text))
          granted.push_back(std::move(*grant));  // all are: the configuration was checked
      }
    }
    if (entry.path) spec.library = *entry.path;
    configured.push_back(std::move(spec));
  }
  return find_plugins(plugin_dir, configured);
}

ConfigResult<Config> check_settings(Config config, const std::vector<PluginSpec>& plugins) {
  Diagnostics diagnostics(config.file);
  for (const auto& plugin : plugins) {
    if (!plugin.manifest || !plugin.manifest->settings_schema.is_object()) continue;
    const auto entry = config.plugins.find(plugin.name);
    if (entry == config.plugins.end()) continue;
    json schema = plugin.manifest->settings_schema;
    // The table of the host's own that it is given besides may hold what is required.
    if (!plugin.manifest->settings.empty()) schema.erase("required");
    check_schema(config, "plugins." + plugin.name + ".settings", entry->second.settings, schema, diagnostics);
  }
  if (diagnostics.empty()) return config;
  return std::unexpected(diagnostics.take());
}

ConfigResult<Config> load_checked_config(const std::filesystem::path& file, const std::filesystem::path& plugin_dir) {
  auto config = load_config(file);
  if (!config) return config;
  const auto plugins = plugins_of(*config, plugin_dir);
  return check_settings(std::move(*config), plugins);
}

}  // namespace gantry::host
