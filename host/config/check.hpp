// SPDX-License-Identifier: Apache-2.0
//
// host/config/check.hpp: turns a TOML tree into a Config, and reports every error.
//
// Thread rule: one thread.
#pragma once

#include <host/config/keys.hpp>
#include <host/config/toml.hpp>

namespace gantry::host {

/// Collects diagnostics; beyond kMaxConfigErrors it only counts.
class Diagnostics {
 public:
  explicit Diagnostics(std::string file) : file_(std::move(file)) {}
  void add(Place place, std::string key, std::string message);
  [[nodiscard]] bool empty() const { return errors_.empty(); }
  /// All diagnostics, in the order of the file.
  [[nodiscard]] std::vector<ConfigError> take();

 private:
  std::string file_;
  std::vector<ConfigError> errors_;
  std::size_t more_ = 0;
};

/// Reads all tables and values, each on its own. A wrong value keeps its default. `folder`: as for
/// checked_value().
void check_tables(const TomlNode& root, const EnvLookup& env, Config& config, Diagnostics& diagnostics,
                  const std::string& folder = {});

/// Checks rules over several values: names that must exist, cycles, values that exclude each other.
void check_rules(const Config& config, Diagnostics& diagnostics);

/// The value for a key as JSON; the error says what the value must be. Paths are made absolute by
/// HOME. `folder`: the folder of a project's file, to which the path of a program may be relative;
/// empty: it may not be relative.
[[nodiscard]] std::expected<json, TomlError> checked_value(const Key& key, const TomlNode& node, const EnvLookup& env,
                                                           const std::string& folder);

/// A free-form value; refuses numbers that JSON does not have.
[[nodiscard]] std::expected<json, TomlError> free_value(const TomlNode& node);

}  // namespace gantry::host
