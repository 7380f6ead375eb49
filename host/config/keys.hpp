// SPDX-License-Identifier: Apache-2.0
//
// host/config/keys.hpp: the one table of all keys.
//
// Parsing, validation, suggestions, `config show`, config/gantry.toml, the reload diff and what plugins are handed are
// all loops over it. A new key is a member in config.hpp, with its default, and a row in keys.cpp.
//
// Thread rule: constant after start.
#pragma once

#include <array>
#include <host/config/config.hpp>
#include <span>

namespace gantry::host {

enum class KeyType { boolean, integer, text, choice, path, url, env_name, texts, paths, command, table };
enum class Apply { live, restart };
/// What a key is to a project's `.gantry.toml`.
enum class ProjectUse {
  never,          ///< the host's alone
  trusted,        ///< in force once the user trusts the project
  safe_if_known,  ///< in the table of a server that the host knows itself safe, else trusted: it may name commands
  safe            ///< runs no command, loads no code, names no endpoint, reads no key
};

struct Key {
  std::string_view name;
  KeyType type;
  Apply apply;
  std::string_view doc;
  std::int64_t min = 0;  ///< of an integer
  std::int64_t max = 0;
  std::span<const std::string_view> choices;    ///< of a choice
  std::span<const std::string_view> not_built;  ///< those of the choices that this version refuses
  bool required = false;
  std::string_view example;  ///< TOML, for config/gantry.toml; needed where there is no default to show
  ProjectUse project = ProjectUse::never;
  /// The value in a section's struct as JSON; null when it is not set.
  json (*get)(const void* section) = nullptr;
  /// `value` has been checked against all of the above.
  void (*set)(void* section, const json& value) = nullptr;
};

struct Section {
  std::string_view path;  ///< "host"; "plugins.*": one table for each name
  std::string_view doc;
  std::span<const Key> keys;
  std::string_view example;  ///< the name in config/gantry.toml, for a table for each name
  bool plain_names;          ///< the names may be used for folders and methods: letters, digits, `_` and `-`
  std::string_view not_built;
  /// The names that are there; one empty name for a section without names.
  std::vector<std::string> (*names)(const Config& config);
  const void* (*find)(const Config& config, std::string_view name);
  void* (*make)(Config& config, std::string_view name);

  [[nodiscard]] bool named() const { return path.ends_with(".*"); }
  /// `ai.models.*` and `fast` make `ai.models.fast`.
  [[nodiscard]] std::string table(std::string_view name) const;
};

[[nodiscard]] std::span<const Section> config_sections();

/// Bounds of each text, and of each array and the tables of one kind, in the file.
inline constexpr std::size_t kMaxTextBytes = 4096;
inline constexpr std::size_t kMaxItems = 256;

/// For people; empty: a project cannot set it.
[[nodiscard]] std::string_view project_note(ProjectUse use);

/// "an integer from 1 to 64", "one of "a" and "b"", ...
[[nodiscard]] std::string expected_value(const Key& key);

}  // namespace gantry::host
