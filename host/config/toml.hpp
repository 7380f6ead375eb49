// SPDX-License-Identifier: Apache-2.0
//
// host/config/toml.hpp: TOML text as a plain tree with the position of each element.
//
// The rest of this folder works on this tree, so that toml++, which is slow to compile, is included
// in one file only.
//
// Thread rule: values; no shared state.
// Bounds: text of at most kMaxConfigBytes; keys of at most 17 parts; values nested at most 32 deep.
#pragma once

#include <gantry/json.hpp>
#include <host/config/config.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

enum class TomlKind { text, integer, real, boolean, moment, array, table };

struct TomlMember;

struct TomlNode {
  TomlKind kind = TomlKind::table;
  Place place;
  json scalar;  ///< for text, integer, real, boolean; for a date or time its text
  std::vector<TomlNode> items;
  std::vector<TomlMember> members;
};

struct TomlMember {
  std::string name;
  Place place;
  TomlNode node;
};

struct TomlError {
  Place place;
  std::string message;
};

/// Returns the root table, or the first syntax error. Never throws on bad text.
[[nodiscard]] std::expected<TomlNode, TomlError> parse_toml(std::string_view text);

/// Finds input that toml++ must not be given: a key with very many parts makes tables so deep that
/// their destruction overflows the stack. Empty: the text may be parsed.
[[nodiscard]] std::optional<TomlError> refuse_toml(std::string_view text);

/// A value as TOML on one line: `"text"`, `[1, 2]`, `{ a = 1 }`. TOML has no null, which is written
/// as an empty string.
[[nodiscard]] std::string toml_value(const json& value);
/// A part of a key: bare where possible, else in quotes.
[[nodiscard]] std::string toml_key(std::string_view name);

}  // namespace gantry::host
