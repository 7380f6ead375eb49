// SPDX-License-Identifier: Apache-2.0
#include "host/check/values.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace gantry::host::check {

namespace {

/// A member of a schema, or null.
[[nodiscard]] const json& part(const json& schema, const char* name) {
  static const json kNone;
  if (!schema.is_object()) return kNone;
  const auto it = schema.find(name);
  return it == schema.end() ? kNone : *it;
}

[[nodiscard]] std::uint64_t count(const json& schema, const char* name, std::uint64_t otherwise) {
  const json& value = part(schema, name);
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : otherwise;
}

/// Of one, two, three and four bytes, and such that must be escaped.
constexpr std::array<const char*, 16> kCharacters{
    "a", "b", "Z", "0", "9", "_", " ", "/", "\"", "\\", ".", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\n", "-"};

}  // namespace

json Values::params(const json& schema, Wish wish) {
  json value = make(schema, wish, 0);
  return value.is_object() ? value : json::object();
}

json Values::make(const json& schema, Wish wish, int depth) {
  if (schema.is_object() && schema.contains("const")) return schema["const"];
  if (const json& choices = part(schema, "enum"); choices.is_array() && !choices.empty())
    return choices[wish == Wish::least ? 0 : random_.below(choices.size())];
  for (const char* of : {"oneOf", "anyOf"}) {
    if (const json& choices = part(schema, of); choices.is_array() && !choices.empty())
      return make(choices[wish == Wish::least ? 0 : random_.below(choices.size())], wish, depth);
  }
  const json& type = part(schema, "type");
  if (type.is_string()) return of_type(type.get<std::string>(), schema, wish, depth);
  if (type.is_array() && !type.empty()) {
    const json& one = type[wish == Wish::least ? 0 : random_.below(type.size())];
    if (one.is_string()) return of_type(one.get<std::string>(), schema, wish, depth);
  }
  if (schema.is_object() && schema.contains("properties")) return object(schema, wish, depth);
  return depth == 0 ? object(schema, wish, depth) : anything(wish, depth);
}

json Values::of_type(const std::string& type, const json& schema, Wish wish, int depth) {
  if (type == "object") return object(schema, wish, depth);
  if (type == "array") return array(schema, wish, depth);
  if (type == "string") return text(schema, wish);
  if (type == "integer") return number(schema, true, wish);
  if (type == "number") return number(schema, false, wish);
  if (type == "boolean") return wish == Wish::some && random_.chance(2);
  return nullptr;
}

json Values::number(const json& schema, bool whole, Wish wish) {
  const json& min = part(schema, "minimum");
  const json& max = part(schema, "maximum");
  const double low = min.is_number() ? min.get<double>() : max.is_number() ? std::min(0.0, max.get<double>()) : 0.0;
  const double high = max.is_number() ? max.get<double>() : low + 1000;
  if (wish == Wish::least || high <= low)
    return min.is_number() ? min : whole ? json(static_cast<std::int64_t>(low)) : json(low);
  if (max.is_number() && random_.chance(8)) return max;
  if (!whole) return low + (high - low) * (static_cast<double>(random_.below(1001)) / 1000);
  // Near zero or the lower bound mostly: a count is a promise of work.
  const double base = low < 0 && high > 0 && !random_.chance(4) ? 0 : low;
  const double width = std::min(high - base, random_.chance(4) ? 1e4 : 10.0);
  return static_cast<std::int64_t>(base) +
         static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(width) + 1));
}

json Values::text(const json& schema, Wish wish) {
  const std::uint64_t least = std::min(count(schema, "minLength", 0), kMostText);
  const std::uint64_t most = std::max(least, std::min(count(schema, "maxLength", kMaxText), kMaxText));
  const std::uint64_t length = wish == Wish::least ? std::max<std::uint64_t>(least, std::min<std::uint64_t>(most, 1))
                                                   : least + random_.below(most - least + 1);
  std::string out;
  const std::uint64_t plain = wish == Wish::least ? 1 : kCharacters.size();
  for (std::uint64_t i = 0; i < length; ++i) out += kCharacters.at(random_.below(plain));
  return out;
}

json Values::array(const json& schema, Wish wish, int depth) {
  const std::uint64_t least = std::min(count(schema, "minItems", 0), kMostText);
  const std::uint64_t most = std::max(least, std::min<std::uint64_t>(count(schema, "maxItems", 3), 3));
  std::uint64_t size = wish == Wish::least ? least : least + random_.below(most - least + 1);
  if (depth >= kMaxDepth) size = least;
  json out = json::array();
  for (std::uint64_t i = 0; i < size; ++i) out.push_back(make(part(schema, "items"), wish, depth + 1));
  return out;
}

json Values::object(const json& schema, Wish wish, int depth) {
  json out = json::object();
  const json& properties = part(schema, "properties");
  const json& required = part(schema, "required");
  if (properties.is_object()) {
    for (const auto& [name, of] : properties.items()) {
      const bool must =
          required.is_array() && std::find(required.begin(), required.end(), json(name)) != required.end();
      if (must || (wish == Wish::some && depth < kMaxDepth && random_.chance(2))) out[name] = make(of, wish, depth + 1);
    }
  }
  const json& more = part(schema, "additionalProperties");
  const bool names_none = !properties.is_object() && required.is_null();
  if (wish == Wish::some && depth < kMaxDepth && (more.is_object() || (names_none && more != json(false)))) {
    const std::uint64_t members = random_.below(kMaxMembers + 1);
    for (std::uint64_t i = 0; i < members; ++i) out["k" + std::to_string(i)] = make(more, wish, depth + 1);
  }
  return out;
}

json Values::anything(Wish wish, int depth) {
  if (wish == Wish::least) return 0;
  static constexpr std::array<const char*, 7> kTypes{"string", "integer", "boolean", "number",
                                                     "null",   "array",   "object"};
  return of_type(kTypes.at(random_.below(depth < kMaxDepth ? kTypes.size() : 5)), json::object(), wish, depth);
}

json Values::other_than(const json& value) {
  static const json kAll = json::array({nullptr, true, -1, 1.5e300, "?", json::array({1}), json{{"a", 1}}});
  for (std::uint64_t at = random_.below(kAll.size());; ++at) {
    const json& other = kAll[at % kAll.size()];
    if (other.type() != value.type() && !(other.is_number() && value.is_number())) return other;
  }
}

json Values::unfitting_params(const json& schema) {
  json out = params(schema, Wish::some);
  const json& properties = part(schema, "properties");
  std::vector<std::string> names;
  if (properties.is_object()) {
    for (const auto& [name, unused] : properties.items()) names.push_back(name);
  }
  if (names.empty()) {
    out["no such member"] = other_than(nullptr);
    return out;
  }
  const std::string& name = names[random_.below(names.size())];
  switch (random_.below(4)) {
    case 0:
      out.erase(name);
      out["no such member"] = 1;
      break;
    case 1:
      out = json::object({{name, other_than(make(properties[name], Wish::least, 1))}});
      break;
    default:
      out[name] = other_than(make(properties[name], Wish::least, 1));
  }
  return out;
}

std::string Values::mutated(std::string text) {
  const std::uint64_t changes = 1 + random_.below(4);
  for (std::uint64_t i = 0; i < changes && !text.empty(); ++i) {
    const std::size_t at = random_.below(text.size());
    switch (random_.below(5)) {
      case 0:
        text[at] = static_cast<char>(random_.below(256));
        break;
      case 1:
        text.erase(at, 1 + random_.below(4));
        break;
      case 2:
        text.insert(at, text.substr(at, random_.below(16)));
        break;
      case 3:
        text.resize(at);
        break;
      default:
        text.insert(at, 1, "{}[]\":,0-\\"[random_.below(10)]);
    }
  }
  return text;
}

}  // namespace gantry::host::check
