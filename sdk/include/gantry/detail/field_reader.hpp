// SPDX-License-Identifier: Apache-2.0
//
// The part of gantry/fields.hpp that is the same for every struct, without a template: places,
// errors, members, schemas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/params.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gantry {

/// The use of a schema: for input (members may be left out, and have defaults) or for output
/// (members are always there).
enum class Direction { input, output };

namespace detail {

/// The limits that gantry_fields gives for a member. Numbers are kept in the member's own kind.
struct Limits {
  struct Number {
    std::int64_t integer = 0;
    std::uint64_t natural = 0;
    double real = 0;
  };
  std::optional<Number> min;
  std::optional<Number> max;
  std::optional<std::size_t> min_length;
  std::optional<std::size_t> max_length;
};

/// A place in a document, as a chain of stack objects that live while the document is read.
struct Where {
  const Where* outer = nullptr;
  std::string_view name;
  std::optional<std::size_t> index = std::nullopt;

  /// An RFC 6901 pointer; empty at the root.
  [[nodiscard]] std::string pointer() const {
    if (outer == nullptr) return {};
    std::string out = outer->pointer() + "/";
    if (index) return out + std::to_string(*index);
    for (const char c : name) {
      if (c == '~' || c == '/') {
        out += c == '~' ? "~0" : "~1";
      } else {
        out += c;
      }
    }
    return out;
  }
};

/// A value for an error message: at most 40 bytes, cut between characters.
[[nodiscard]] inline std::string shown_value(const json& value) {
  constexpr std::size_t kMost = 40;
  std::string text = dump_json(value);
  if (text.size() <= kMost) return text;
  std::size_t end = kMost - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  text.resize(end);
  return text + "...";
}

[[nodiscard]] inline std::size_t characters(std::string_view utf8) {
  std::size_t count = 0;
  for (const char c : utf8) count += (static_cast<unsigned char>(c) & 0xC0U) == 0x80U ? 0U : 1U;
  return count;
}

/// Reads one document; keeps the first error.
class FieldReader {
 public:
  /// `root` names the whole document in messages. `meta`: a member `_meta` of the root is allowed.
  explicit FieldReader(const char* root, bool meta = false) : root_(root), meta_(meta) {}

  /// Keeps the error, with `at` as `path` in its data. Returns false, for the caller to return.
  bool refuse(const Where& at, const std::string& what) {
    const std::string pointer = at.pointer();
    std::string message = pointer.empty() ? root_ : pointer;
    message += ' ';
    message += what;
    error_.emplace(ErrorKind::invalid_params, std::move(message), dump_json({{"path", pointer}}));
    return false;
  }
  bool refuse_value(const Where& at, const std::string& expected, const json& value) {
    return refuse(at, "must be " + expected + ", not " + shown_value(value));
  }
  bool refuse_missing(const Where& at, const std::string& expected) {
    return refuse(at, "is missing; it must be " + expected);
  }
  template <class Names>
  bool refuse_unknown(const Where& at, std::string_view name, const Names& names) {
    return refuse(at, "has an unknown member \"" + std::string(name.substr(0, 256)) + "\"" + did_you_mean(name, names));
  }
  [[nodiscard]] bool may_have_meta(const Where& at) const { return meta_ && at.outer == nullptr; }
  [[nodiscard]] Error take_error() { return std::move(*error_); }

 private:
  std::string root_;
  bool meta_;
  std::optional<Error> error_;
};

/// Text such as " of at most 10 characters", or nothing.
[[nodiscard]] inline std::string length_text(const Limits& limits, const char* unit) {
  if (!limits.min_length && !limits.max_length) return {};
  const auto number = [](const std::optional<std::size_t>& n) { return std::to_string(n.value_or(0)); };
  const std::string range = limits.min_length && limits.max_length
                                ? number(limits.min_length) + " to " + number(limits.max_length)
                            : limits.min_length ? "at least " + number(limits.min_length)
                                                : "at most " + number(limits.max_length);
  return " of " + range + " " + unit;
}
[[nodiscard]] inline bool length_fits(const Limits& limits, std::size_t length) {
  return length >= limits.min_length.value_or(0) && (!limits.max_length || length <= *limits.max_length);
}
inline void add_length(json& schema, const Limits& limits, const char* min, const char* max) {
  if (limits.min_length) schema[min] = *limits.min_length;
  if (limits.max_length) schema[max] = *limits.max_length;
}

/// `"a", "b"`
template <class Names>
[[nodiscard]] std::string quoted_list(const Names& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "\"" : ", \"") + std::string(name) + "\"";
  return out;
}

/// Reads one of a few names; the result is the index of the name.
template <class Names>
[[nodiscard]] std::optional<std::size_t> read_name(FieldReader& reader, const Where& at, const json& from,
                                                   const Names& names) {
  if (from.is_string()) {
    const auto& text = from.get_ref<const std::string&>();
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == text) return i;
    }
    reader.refuse(at,
                  "must be one of " + quoted_list(names) + ", not " + shown_value(from) + did_you_mean(text, names));
  } else {
    reader.refuse_value(at, "one of " + quoted_list(names), from);
  }
  return std::nullopt;
}

/// The description of one member of a struct, without the struct's type.
struct MemberShape {
  std::string_view name;
  std::string_view about;
  bool required = false;
  bool optional = false;    ///< std::optional: left out when it is empty
  bool takes_null = false;  ///< null is a value of it; elsewhere null counts as absent
  Limits limits;
  bool (*read)(FieldReader&, const Where&, const json&, void* record, const Limits&) = nullptr;
  json (*write)(const void* record) = nullptr;  ///< null for an empty optional
  json (*schema)(Direction, const Limits&) = nullptr;
  std::string (*expected)(const Limits&) = nullptr;
};

/// The member that tells a struct from the other alternatives of a variant; both empty: there is
/// none.
struct TagShape {
  std::string_view name;
  std::string_view value;
};

using MemberShapes = std::span<const MemberShape>;

inline bool read_record(FieldReader& reader, const Where& at, const json& from, void* record, MemberShapes members,
                        const TagShape& tag) {
  if (!from.is_object()) return reader.refuse_value(at, "an object", from);
  const auto known = [&](std::string_view name) {
    if (!tag.name.empty() && name == tag.name) return true;
    for (const auto& member : members) {
      if (member.name == name) return true;
    }
    return name == "_meta" && reader.may_have_meta(at);
  };
  for (const auto& [name, unused] : from.items()) {
    if (known(name)) continue;
    std::vector<std::string> names;
    for (const auto& member : members) names.emplace_back(member.name);
    return reader.refuse_unknown(at, name, names);
  }
  if (!tag.name.empty()) {
    const Where here{&at, tag.name};
    const auto value = from.find(tag.name);
    if (value == from.end()) return reader.refuse_missing(here, quoted_list(std::span(&tag.value, 1)));
    if (!read_name(reader, here, *value, std::span(&tag.value, 1))) return false;
  }
  for (const auto& member : members) {
    const Where here{&at, member.name};
    const auto value = from.find(member.name);
    if (value == from.end() || (value->is_null() && !member.takes_null)) {
      if (member.required) return reader.refuse_missing(here, member.expected(member.limits));
    } else if (!member.read(reader, here, *value, record, member.limits)) {
      return false;
    }
  }
  return true;
}

[[nodiscard]] inline json write_record(const void* record, MemberShapes members, const TagShape& tag) {
  json out = json::object();
  if (!tag.name.empty()) out[std::string(tag.name)] = tag.value;
  for (const auto& member : members) {
    json value = member.write(record);
    if (!member.optional || !value.is_null()) out[std::string(member.name)] = std::move(value);
  }
  return out;
}

/// `standard`: a default-constructed record.
[[nodiscard]] inline json record_schema(Direction direction, const void* standard, MemberShapes members,
                                        const TagShape& tag) {
  json properties = json::object();
  json required = json::array();
  if (!tag.name.empty()) {
    properties[std::string(tag.name)] = {{"const", tag.value}};
    required.push_back(tag.name);
  }
  for (const auto& member : members) {
    json schema = member.schema(direction, member.limits);
    if (!member.about.empty()) schema["description"] = member.about;
    if (direction == Direction::input && !member.required) {
      if (json value = member.write(standard); !value.is_null()) schema["default"] = std::move(value);
    }
    if (direction == Direction::input ? member.required : !member.optional) required.push_back(member.name);
    properties[std::string(member.name)] = std::move(schema);
  }
  json out{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  if (direction == Direction::input) out["additionalProperties"] = false;
  return out;
}

}  // namespace detail

}  // namespace gantry
