// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_settings.hpp: finds the plugins of a configuration, and checks their
// settings.
//
// Thread rule: pure functions, which read the manifests.
#pragma once

#include <filesystem>
#include <vector>

#include "host/config/config.hpp"
#include "host/services/service_manager.hpp"

namespace gantry::host {

/// The plugins in `plugin_dir` and those of [plugins.*], with their manifests.
[[nodiscard]] std::vector<PluginSpec> plugins_of(const Config& config, const std::filesystem::path& plugin_dir);

/// Checks [plugins.NAME.settings] by the schemas of the plugins; returns the configuration, or the
/// errors. Settings without a schema, or of a plugin that is not there, are accepted.
[[nodiscard]] ConfigResult<Config> check_settings(Config config, const std::vector<PluginSpec>& plugins);

/// load_config(), then check_settings().
[[nodiscard]] ConfigResult<Config> load_checked_config(const std::filesystem::path& file,
                                                       const std::filesystem::path& plugin_dir);

}  // namespace gantry::host
