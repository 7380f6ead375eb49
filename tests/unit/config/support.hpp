// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <host/config/config.hpp>
#include <string>

namespace config_test {

/// An environment with only HOME.
inline gantry::host::EnvLookup home(std::string folder = "/home/u") {
  return [folder](const char* name) -> std::optional<std::string> {
    return std::string(name) == "HOME" ? std::optional(folder) : std::nullopt;
  };
}

/// The errors as people see them; empty when there are none.
inline std::string diagnostics(const std::string& text) {
  const auto config = gantry::host::parse_config(text, "g.toml", home());
  return config ? "" : to_string(config.error());
}

}  // namespace config_test
