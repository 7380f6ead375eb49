// SPDX-License-Identifier: Apache-2.0
//
// The only file that includes toml++. Its assertions fail on plain bad text (`[[[`), and with NDEBUG they turn into
// promises to the compiler; so they are switched off, and the checks behind them report the mistake.
#undef NDEBUG
#define TOML_ASSERT(expr) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#define TOML_MAX_NESTED_VALUES 32
#include <toml++/toml.h>

#include <cmath>
#include <host/config/toml.hpp>
#include <host/observe/printable.hpp>
#include <sstream>

namespace gantry::host {
namespace {

Place place_of(const toml::source_region& region) { return Place{region.begin.line, region.begin.column}; }

template <class T>
std::string as_text(const T& value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

TomlNode convert(const toml::node& from) {
  TomlNode node;
  node.place = place_of(from.source());
  if (const auto* table = from.as_table()) {
    node.kind = TomlKind::table;
    for (auto&& [key, value] : *table) {
      node.members.push_back(TomlMember{std::string(key.str()), place_of(key.source()), convert(value)});
    }
  } else if (const auto* array = from.as_array()) {
    node.kind = TomlKind::array;
    for (const auto& value : *array) node.items.push_back(convert(value));
  } else if (const auto* text = from.as_string()) {
    node.kind = TomlKind::text;
    node.scalar = text->get();
  } else if (const auto* integer = from.as_integer()) {
    node.kind = TomlKind::integer;
    node.scalar = integer->get();
  } else if (const auto* real = from.as_floating_point()) {
    node.kind = TomlKind::real;
    node.scalar = real->get();
  } else if (const auto* boolean = from.as_boolean()) {
    node.kind = TomlKind::boolean;
    node.scalar = boolean->get();
  } else {
    node.kind = TomlKind::moment;
    if (const auto* date = from.as_date()) node.scalar = as_text(date->get());
    if (const auto* time = from.as_time()) node.scalar = as_text(time->get());
    if (const auto* both = from.as_date_time()) node.scalar = as_text(both->get());
  }
  return node;
}

}  // namespace

std::expected<TomlNode, TomlMistake> parse_toml(std::string_view text) {
  if (auto refused = refuse_toml(text)) return std::unexpected(std::move(*refused));
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const auto& error = parsed.error();
    return std::unexpected(TomlMistake{place_of(error.source()), printable(error.description(), 400)});
  }
  return convert(parsed.table());
}

}  // namespace gantry::host
