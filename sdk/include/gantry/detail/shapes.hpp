// SPDX-License-Identifier: Apache-2.0
//
// Reads, writes and describes each type that gantry/fields.hpp knows.
//
// ShapeOf<T> has four static functions:
//   bool read(FieldReader&, const Where&, const json& from, T& to, const Limits&)   false: it was refused
//   json write(const T&)
//   json schema(Direction, const Limits&)
//   std::string expected(const Limits&)                                             "an integer from 1 to 10"
// Structs and variants: detail/records.hpp.
#pragma once

#include <array>
#include <boost/describe/enumerators.hpp>
#include <boost/describe/members.hpp>
#include <cmath>
#include <gantry/detail/field.hpp>
#include <limits>
#include <map>

namespace gantry::detail {

template <class T>
concept DescribedEnum = std::is_enum_v<T> && boost::describe::has_describe_enumerators<T>::value;
template <class T>
concept DescribedStruct = std::is_class_v<T> && boost::describe::has_describe_members<T>::value;

template <class T>
struct ShapeOf {
  static_assert(DescribedStruct<T> || DescribedEnum<T>,
                "this type cannot be JSON: describe it with BOOST_DESCRIBE_STRUCT or BOOST_DESCRIBE_ENUM, or take "
                "gantry::json");
};

template <>
struct ShapeOf<bool> {
  static bool read(FieldReader& reader, const Where& at, const json& from, bool& to, const Limits& limits) {
    if (!from.is_boolean()) return reader.refuse_value(at, expected(limits), from);
    to = from.get<bool>();
    return true;
  }
  static json write(bool value) { return value; }
  static json schema(Direction, const Limits&) { return {{"type", "boolean"}}; }
  static std::string expected(const Limits&) { return "true or false"; }
};

template <JsonInteger T>
struct ShapeOf<T> {
  using Wide = std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>;

  static bool read(FieldReader& reader, const Where& at, const json& from, T& to, const Limits& limits) {
    if (!fits(from, least(limits), most(limits))) return reader.refuse_value(at, expected(limits), from);
    to = static_cast<T>(from.get<Wide>());
    return true;
  }
  static json write(T value) { return static_cast<Wide>(value); }
  static json schema(Direction, const Limits& limits) {
    json out{{"type", "integer"}};
    if (has_least(limits)) out["minimum"] = least(limits);
    if (has_most(limits)) out["maximum"] = most(limits);
    return out;
  }
  static std::string expected(const Limits& limits) {
    const bool from = has_least(limits);
    if (!has_most(limits)) return from ? "an integer of at least " + std::to_string(least(limits)) : "an integer";
    if (!from) return "an integer of at most " + std::to_string(most(limits));
    return "an integer from " + std::to_string(least(limits)) + " to " + std::to_string(most(limits));
  }

 private:
  static Wide bound(const Limits::Number& n) {
    if constexpr (std::is_signed_v<T>) {
      return n.integer;
    } else {
      return n.natural;
    }
  }
  static Wide least(const Limits& limits) { return limits.min ? bound(*limits.min) : std::numeric_limits<T>::min(); }
  static Wide most(const Limits& limits) { return limits.max ? bound(*limits.max) : std::numeric_limits<T>::max(); }
  // Bounds of 64 bits are left out of messages: they tell a reader nothing.
  static bool has_least(const Limits& limits) { return limits.min || !std::is_signed_v<T> || sizeof(T) < 8; }
  static bool has_most(const Limits& limits) { return limits.max || sizeof(T) < 8; }
  static bool fits(const json& from, Wide min, Wide max) {
    if (from.is_number_unsigned()) {
      const auto value = from.get<std::uint64_t>();
      return std::cmp_greater_equal(value, min) && std::cmp_less_equal(value, max);
    }
    if (!is_integer(from)) return false;
    const auto value = from.get<std::int64_t>();
    return std::cmp_greater_equal(value, min) && std::cmp_less_equal(value, max);
  }
};

template <class T>
  requires std::is_floating_point_v<T>
struct ShapeOf<T> {
  static bool read(FieldReader& reader, const Where& at, const json& from, T& to, const Limits& limits) {
    const double value = from.is_number() ? from.get<double>() : 0;
    const bool fits = from.is_number() && std::abs(value) <= std::numeric_limits<T>::max() &&
                      (!limits.min || value >= limits.min->real) && (!limits.max || value <= limits.max->real);
    if (!fits) return reader.refuse_value(at, expected(limits), from);
    to = static_cast<T>(value);
    return true;
  }
  static json write(T value) { return static_cast<double>(value); }
  static json schema(Direction, const Limits& limits) {
    json out{{"type", "number"}};
    if (limits.min) out["minimum"] = limits.min->real;
    if (limits.max) out["maximum"] = limits.max->real;
    return out;
  }
  static std::string expected(const Limits& limits) {
    const auto text = [](const std::optional<Limits::Number>& n) { return n ? dump_json(n->real) : ""; };
    if (limits.min && limits.max) return "a number from " + text(limits.min) + " to " + text(limits.max);
    if (limits.min) return "a number of at least " + text(limits.min);
    return limits.max ? "a number of at most " + text(limits.max) : "a number";
  }
};

template <>
struct ShapeOf<std::string> {
  static bool read(FieldReader& reader, const Where& at, const json& from, std::string& to, const Limits& limits) {
    if (!from.is_string()) return reader.refuse_value(at, expected(limits), from);
    to = from.get_ref<const std::string&>();
    const auto length = limits.min_length || limits.max_length ? characters(to) : 0;
    if (length_fits(limits, length)) return true;
    return reader.refuse(at, "must be " + expected(limits) + ", not of " + std::to_string(length));
  }
  static json write(const std::string& value) { return value; }
  static json schema(Direction, const Limits& limits) {
    json out{{"type", "string"}};
    add_length(out, limits, "minLength", "maxLength");
    return out;
  }
  static std::string expected(const Limits& limits) { return "a string" + length_text(limits, "characters"); }
};

template <>
struct ShapeOf<json> {
  static bool read(FieldReader&, const Where&, const json& from, json& to, const Limits&) {
    to = from;
    return true;
  }
  static json write(const json& value) { return value; }
  static json schema(Direction, const Limits&) { return json::object(); }
  static std::string expected(const Limits&) { return "a value"; }
};

template <DescribedEnum T>
struct ShapeOf<T> {
  static bool read(FieldReader& reader, const Where& at, const json& from, T& to, const Limits&) {
    const auto index = read_name(reader, at, from, kNames);
    if (index) to = kValues[*index];
    return index.has_value();
  }
  static json write(T value) {
    for (std::size_t i = 0; i < kValues.size(); ++i) {
      if (kValues[i] == value) return std::string(kNames[i]);
    }
    return nullptr;
  }
  static json schema(Direction, const Limits&) { return {{"type", "string"}, {"enum", kNames}}; }
  static std::string expected(const Limits&) { return "one of " + quoted_list(kNames); }

 private:
  template <template <class...> class List, class... D>
  static constexpr auto names(List<D...>) {
    return std::array<std::string_view, sizeof...(D)>{D::name...};
  }
  template <template <class...> class List, class... D>
  static constexpr auto values(List<D...>) {
    return std::array<T, sizeof...(D)>{D::value...};
  }
  using All = boost::describe::describe_enumerators<T>;
  static constexpr auto kNames = names(All{});
  static constexpr auto kValues = values(All{});
};

template <class T>
struct ShapeOf<std::optional<T>> {
  static bool read(FieldReader& reader, const Where& at, const json& from, std::optional<T>& to, const Limits& limits) {
    if (from.is_null() && !std::is_same_v<T, json>) {
      to.reset();
      return true;
    }
    return ShapeOf<T>::read(reader, at, from, to.emplace(), limits);
  }
  static json write(const std::optional<T>& value) { return value ? ShapeOf<T>::write(*value) : json(); }
  static json schema(Direction direction, const Limits& limits) { return ShapeOf<T>::schema(direction, limits); }
  static std::string expected(const Limits& limits) { return ShapeOf<T>::expected(limits); }
};

template <class T>
struct ShapeOf<std::vector<T>> {
  static bool read(FieldReader& reader, const Where& at, const json& from, std::vector<T>& to, const Limits& limits) {
    if (!from.is_array()) return reader.refuse_value(at, expected(limits), from);
    if (!length_fits(limits, from.size()))
      return reader.refuse(at, "must be " + expected(limits) + ", not of " + std::to_string(from.size()));
    to.clear();
    to.reserve(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      T value{};
      if (!ShapeOf<T>::read(reader, Where{&at, {}, i}, from[i], value, {})) return false;
      to.push_back(std::move(value));
    }
    return true;
  }
  static json write(const std::vector<T>& values) {
    json out = json::array();
    for (const T& value : values) out.push_back(ShapeOf<T>::write(value));
    return out;
  }
  static json schema(Direction direction, const Limits& limits) {
    json out{{"type", "array"}, {"items", ShapeOf<T>::schema(direction, {})}};
    add_length(out, limits, "minItems", "maxItems");
    return out;
  }
  static std::string expected(const Limits& limits) { return "an array" + length_text(limits, "elements"); }
};

template <class T, class... More>
struct ShapeOf<std::map<std::string, T, More...>> {
  using Map = std::map<std::string, T, More...>;

  static bool read(FieldReader& reader, const Where& at, const json& from, Map& to, const Limits& limits) {
    if (!from.is_object()) return reader.refuse_value(at, expected(limits), from);
    if (!length_fits(limits, from.size()))
      return reader.refuse(at, "must be " + expected(limits) + ", not of " + std::to_string(from.size()));
    to.clear();
    for (const auto& [name, value] : from.items()) {
      if (!ShapeOf<T>::read(reader, Where{&at, name}, value, to[name], {})) return false;
    }
    return true;
  }
  static json write(const Map& values) {
    json out = json::object();
    for (const auto& [name, value] : values) out[name] = ShapeOf<T>::write(value);
    return out;
  }
  static json schema(Direction direction, const Limits& limits) {
    json out{{"type", "object"}, {"additionalProperties", ShapeOf<T>::schema(direction, {})}};
    add_length(out, limits, "minProperties", "maxProperties");
    return out;
  }
  static std::string expected(const Limits& limits) { return "an object" + length_text(limits, "members"); }
};

}  // namespace gantry::detail
