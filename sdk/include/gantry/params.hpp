// SPDX-License-Identifier: Apache-2.0
//
// gantry/params.hpp: reads the members of a call's params, and describes the first error in them.
//
//   Params p(call.params());
//   const auto key = p.string("key");
//   const auto limit = p.integer_or("limit", 100, 1, 1000);
//   if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
//
// The first error is kept; getters after it return defaults. done() also refuses members that no
// getter asked for, and names the nearest known name. `_meta` is always allowed; a member that is
// null counts as absent, except for value(), where null is a value.
//
// Thread rule: one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <gantry/json.hpp>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gantry {

/// The number of single-character edits between two names.
[[nodiscard]] inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

/// The most similar of `names`; empty when none is similar.
template <class Names>
[[nodiscard]] std::string nearest_name(std::string_view name, const Names& names) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, name.size() / 2) + 1;
  for (const auto& candidate : names) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

/// "; did you mean NEAR?" with the most similar of `names` between two `quote`s; empty when none is similar, or when
/// `name` is longer than 256 bytes.
template <class Names>
[[nodiscard]] std::string did_you_mean(std::string_view name, const Names& names, std::string_view quote = "\"") {
  const std::string near = name.size() > 256 ? "" : nearest_name(name, names);
  const std::string mark(quote);
  return near.empty() ? "" : "; did you mean " + mark + near + mark + "?";
}

class Params {
 public:
  explicit Params(json object) : object_(std::move(object)) {
    if (!object_.is_object()) {
      refuse("params must be an object");
      object_ = json::object();
    }
  }

  [[nodiscard]] std::string string(const char* name) {
    return take<std::string>(name, "a string", &json::is_string).value_or("");
  }
  [[nodiscard]] std::optional<std::string> maybe_string(const char* name) {
    return maybe<std::string>(name, "a string", &json::is_string);
  }
  [[nodiscard]] std::string string_or(const char* name, std::string otherwise) {
    return maybe_string(name).value_or(std::move(otherwise));
  }
  [[nodiscard]] bool boolean_or(const char* name, bool otherwise) {
    return maybe<bool>(name, "true or false", &json::is_boolean).value_or(otherwise);
  }
  [[nodiscard]] std::optional<std::int64_t> maybe_integer(const char* name,
                                                          std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                                                          std::int64_t max = std::numeric_limits<std::int64_t>::max()) {
    const json* value = find(name);
    if (value == nullptr || value->is_null()) return std::nullopt;
    const bool too_big = value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(max);
    if (!is_integer(*value) || too_big || value->get<std::int64_t>() < min || value->get<std::int64_t>() > max) {
      refuse(std::string(name) + " must be an integer from " + std::to_string(min) + " to " + std::to_string(max) +
             ", not " + shown(*value));
      return std::nullopt;
    }
    return value->get<std::int64_t>();
  }
  [[nodiscard]] std::int64_t integer(const char* name, std::int64_t min, std::int64_t max) {
    const json* value = find(name);
    if (value == nullptr || value->is_null()) missing(name, "an integer");
    return maybe_integer(name, min, max).value_or(min);
  }
  [[nodiscard]] std::int64_t integer_or(const char* name, std::int64_t otherwise, std::int64_t min, std::int64_t max) {
    return maybe_integer(name, min, max).value_or(otherwise);
  }
  /// Any value; a missing member is refused.
  [[nodiscard]] json value(const char* name) {
    const json* found = find(name);
    if (found == nullptr) missing(name, "a value");
    return found == nullptr ? json() : *found;
  }
  [[nodiscard]] std::optional<json> maybe_value(const char* name) {
    const json* found = find(name);
    return found == nullptr ? std::nullopt : std::optional<json>(*found);
  }
  [[nodiscard]] std::optional<json> maybe_object(const char* name) {
    return maybe<json>(name, "an object", &json::is_object);
  }
  [[nodiscard]] json object(const char* name) {
    return take<json>(name, "an object", &json::is_object).value_or(json::object());
  }
  [[nodiscard]] json array(const char* name) {
    return take<json>(name, "an array", &json::is_array).value_or(json::array());
  }
  [[nodiscard]] std::vector<std::string> strings(const char* name) {
    std::vector<std::string> out;
    for (const auto& entry : array(name)) {
      if (!entry.is_string()) {
        refuse(std::string(name) + " must hold strings, not " + shown(entry));
        break;
      }
      out.push_back(entry.get<std::string>());
    }
    return out;
  }

  /// Checks a further rule of the caller's own: `otherwise` is the error when `holds` is false.
  void require(bool holds, std::string otherwise) {
    if (!holds) refuse(std::move(otherwise));
  }

  /// `invalid_params` with the first error, or success.
  [[nodiscard]] Result<void> done() {
    for (const auto& [name, unused] : object_.items()) {
      if (name == "_meta" || std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
      refuse("unknown member \"" + name + "\"" + did_you_mean(name, known_));
    }
    if (error_.empty()) return {};
    return fail(ErrorKind::invalid_params, error_);
  }

 private:
  [[nodiscard]] const json* find(const char* name) {
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) known_.emplace_back(name);
    const auto it = object_.find(name);
    return it == object_.end() ? nullptr : &*it;
  }

  template <class V>
  [[nodiscard]] std::optional<V> maybe(const char* name, const char* what, bool (json::*is)() const noexcept) {
    const json* value = find(name);
    if (value == nullptr || value->is_null()) return std::nullopt;
    if (!(value->*is)()) {
      refuse(std::string(name) + " must be " + what + ", not " + shown(*value));
      return std::nullopt;
    }
    return value->get<V>();
  }
  template <class V>
  [[nodiscard]] std::optional<V> take(const char* name, const char* what, bool (json::*is)() const noexcept) {
    const json* value = find(name);
    if (value == nullptr || value->is_null()) missing(name, what);
    return maybe<V>(name, what, is);
  }
  void missing(const char* name, const char* what) { refuse(std::string(name) + " is missing; it must be " + what); }
  void refuse(std::string message) {
    if (error_.empty()) error_ = std::move(message);
  }
  [[nodiscard]] static std::string shown(const json& value) {
    std::string text = dump_json(value);
    if (text.size() > 40) text = text.substr(0, 37) + "...";
    return text;
  }

  json object_;
  std::vector<std::string> known_;
  std::string error_;
};

}  // namespace gantry
