// SPDX-License-Identifier: Apache-2.0
//
// The functions for writing gantry_fields (gantry/fields.hpp): field(), fields(), tagged().
#pragma once

#include <cstddef>
#include <gantry/detail/field_reader.hpp>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace gantry {

namespace detail {

template <class T>
struct OptionalValue {
  using type = T;
  static constexpr bool optional = false;
};
template <class T>
struct OptionalValue<std::optional<T>> {
  using type = T;
  static constexpr bool optional = true;
};

template <class T>
concept JsonInteger =
    std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> && !std::is_same_v<T, wchar_t> &&
    !std::is_same_v<T, char8_t> && !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>;
template <class T>
concept JsonNumber = JsonInteger<T> || std::is_floating_point_v<T>;

template <class N>
[[nodiscard]] constexpr Limits::Number number(N value) {
  Limits::Number out;
  if constexpr (std::is_floating_point_v<N>) {
    out.real = value;
  } else if constexpr (std::is_signed_v<N>) {
    out.integer = value;
  } else {
    out.natural = value;
  }
  return out;
}

/// Not constexpr: a constant expression that calls it does not compile.
inline void the_minimum_is_above_the_maximum() {}

}  // namespace detail

/// The description of one member: field(&S::member, "what it is").required().range(1, 10)
template <class S, class M>
class Field {
 public:
  using Struct = S;
  using Value = typename detail::OptionalValue<M>::type;

  constexpr Field(M S::* member, std::string_view about) : member_(member), about_(about) {}

  /// The member must be present.
  [[nodiscard]] constexpr Field required() const
    requires(!detail::OptionalValue<M>::optional)
  {
    Field out = *this;
    out.required_ = true;
    return out;
  }
  /// Numbers only; both bounds are inclusive.
  [[nodiscard]] constexpr Field range(Value min, Value max) const
    requires detail::JsonNumber<Value>
  {
    if (min > max) detail::the_minimum_is_above_the_maximum();
    return this->min(min).max(max);
  }
  [[nodiscard]] constexpr Field min(Value least) const
    requires detail::JsonNumber<Value>
  {
    Field out = *this;
    out.limits_.min = detail::number(least);
    return out;
  }
  [[nodiscard]] constexpr Field max(Value most) const
    requires detail::JsonNumber<Value>
  {
    Field out = *this;
    out.limits_.max = detail::number(most);
    return out;
  }
  /// The lower bound for the characters of a string, the elements of a vector, or the members of a
  /// map.
  [[nodiscard]] constexpr Field min_length(std::size_t least) const
    requires requires(const Value& value) { value.size(); }
  {
    Field out = *this;
    out.limits_.min_length = least;
    return out;
  }
  [[nodiscard]] constexpr Field max_length(std::size_t most) const
    requires requires(const Value& value) { value.size(); }
  {
    Field out = *this;
    out.limits_.max_length = most;
    return out;
  }

  [[nodiscard]] constexpr M S::* member() const { return member_; }
  [[nodiscard]] constexpr std::string_view about() const { return about_; }
  [[nodiscard]] constexpr bool is_required() const { return required_; }
  [[nodiscard]] constexpr const detail::Limits& limits() const { return limits_; }

 private:
  M S::* member_;
  std::string_view about_;
  bool required_ = false;
  detail::Limits limits_;
};

template <class S, class M>
[[nodiscard]] constexpr Field<S, M> field(M S::* member, std::string_view about = {}) {
  return Field<S, M>(member, about);
}

/// The result of gantry_fields.
template <class... F>
struct Fields {
  std::tuple<F...> all;
  detail::TagShape tag;
};

template <class... F>
[[nodiscard]] constexpr Fields<F...> fields(F... all) {
  return Fields<F...>{std::tuple<F...>(all...), {}};
}
/// For a struct that is an alternative of a variant: JSON member `name`, which has no C++ member,
/// is always `value`.
template <class... F>
[[nodiscard]] constexpr Fields<F...> tagged(std::string_view name, std::string_view value, F... all) {
  return Fields<F...>{std::tuple<F...>(all...), {name, value}};
}

}  // namespace gantry
