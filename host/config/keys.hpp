// SPDX-License-Identifier: Apache-2.0
//
// host/config/keys.hpp: the one table of all keys.
//
// Parsing, validation, suggestions, `config show`, config/gantry.toml, the reload diff and the
// settings of plugins all loop over this table. A new key is a member in config.hpp, with its
// default, and a row in keys.cpp.
//
// Thread rule: constant after start.
#pragma once

#include <array>
#include <host/config/config.hpp>
#include <span>

namespace gantry::host {

enum class KeyType { boolean, integer, text, choice, path, url, env_name, texts, paths, command, table };
enum class Apply { live, restart };
/// Whether a project's `.gantry.toml` may set a key.
enum class ProjectUse {
  never,          ///< only the user's configuration may
  trusted,        ///< it may, in force once the user trusts the project
  safe_if_known,  ///< `safe` for a server that the host knows; else `trusted`, since its table may name commands
  safe            ///< it may: the key runs no command, loads no code, names no endpoint, reads no API key
};

struct Key {
  std::string_view name;
  KeyType type;
  Apply apply;
  std::string_view doc;
  std::int64_t min = 0;  ///< for an integer
  std::int64_t max = 0;
  std::span<const std::string_view> choices;    ///< for a choice
  std::span<const std::string_view> not_built;  ///< choices that this version refuses
  bool required = false;
  std::string_view example;  ///< TOML, for config/gantry.toml; required where there is no default to show
  ProjectUse project = ProjectUse::never;
  /// Reads the value from a section's struct as JSON; null when it is not set.
  json (*get)(const void* section) = nullptr;
  /// Writes the value, which has been checked against all of the above.
  void (*set)(void* section, const json& value) = nullptr;
};

struct Section {
  std::string_view path;  ///< "host"; "plugins.*": one table for each name
  std::string_view doc;
  std::span<const Key> keys;
  std::string_view example;  ///< for a section with names: the name in config/gantry.toml
  bool plain_names;          ///< the names may only have letters, digits, `_` and `-`: paths and methods contain them
  std::string_view not_built;
  /// The names of the section's tables; one empty name for a section without names.
  std::vector<std::string> (*names)(const Config& config);
  const void* (*find)(const Config& config, std::string_view name);
  void* (*make)(Config& config, std::string_view name);

  [[nodiscard]] bool named() const { return path.ends_with(".*"); }
  /// The full path of a table: `ai.models.*` with the name `fast` gives `ai.models.fast`.
  [[nodiscard]] std::string table(std::string_view name) const;
};

[[nodiscard]] std::span<const Section> config_sections();

/// Bounds for each text, and for each array and the tables of one kind, in the file.
inline constexpr std::size_t kMaxTextBytes = 4096;
inline constexpr std::size_t kMaxItems = 256;

/// A note for people; empty: a project cannot set the key.
[[nodiscard]] std::string_view project_note(ProjectUse use);

/// "an integer from 1 to 64", "one of "a" and "b"", ...
[[nodiscard]] std::string expected_value(const Key& key);

}  // namespace gantry::host
