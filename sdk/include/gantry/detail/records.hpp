// SPDX-License-Identifier: Apache-2.0
//
// Reads, writes and describes structs that Boost.Describe knows, and variants of them. A struct's
// members are a constant table (MemberShape), so that the code for them is compiled only once.
#pragma once

#include <array>
#include <boost/describe/members.hpp>
#include <boost/describe/modifiers.hpp>
#include <gantry/detail/shapes.hpp>
#include <tuple>
#include <variant>

namespace gantry::detail {

/// The result of T's gantry_fields, or nothing.
template <class T>
[[nodiscard]] constexpr auto fields_of() {
  if constexpr (requires { gantry_fields(static_cast<const T*>(nullptr)); }) {
    return gantry_fields(static_cast<const T*>(nullptr));
  } else {
    return fields();
  }
}

template <DescribedStruct T>
struct ShapeOf<T> {
  static_assert(std::is_default_constructible_v<T>, "a described struct must have a default-made value");

  static bool read(FieldReader& reader, const Where& at, const json& from, T& to, const Limits&) {
    return read_record(reader, at, from, &to, kMembers, kTag);
  }
  static json write(const T& value) { return write_record(&value, kMembers, kTag); }
  static json schema(Direction direction, const Limits&) {
    const T standard{};
    return record_schema(direction, &standard, kMembers, kTag);
  }
  static std::string expected(const Limits&) { return "an object"; }

  static constexpr TagShape kTag = fields_of<T>().tag;

 private:
  using All = boost::describe::describe_members<T, boost::describe::mod_public | boost::describe::mod_inherited>;

  template <class M, class S>
  static constexpr bool apply(MemberShape& member, M S::* pointer) {
    bool found = false;
    const auto look = [&](const auto& declared) {
      if constexpr (std::is_same_v<decltype(declared.member()), M S::*>) {
        if (declared.member() != pointer) return;
        found = true;
        member.about = declared.about();
        member.required = declared.is_required();
        member.limits = declared.limits();
      }
    };
    std::apply([&](const auto&... declared) { (look(declared), ...); }, fields_of<T>().all);
    if constexpr (!std::is_same_v<S, T>) {
      if (!found) std::apply([&](const auto&... declared) { (look(declared), ...); }, fields_of<S>().all);
    }
    return found;
  }

  template <class D, class M, class S>
  static constexpr MemberShape member(M S::* pointer) {
    MemberShape out;
    out.name = D::name;
    out.optional = OptionalValue<M>::optional;
    out.takes_null = out.optional || std::is_same_v<M, json>;
    (void)apply(out, pointer);
    out.read = [](FieldReader& reader, const Where& at, const json& from, void* record, const Limits& limits) {
      return ShapeOf<M>::read(reader, at, from, static_cast<T*>(record)->*D::pointer, limits);
    };
    out.write = [](const void* record) { return ShapeOf<M>::write(static_cast<const T*>(record)->*D::pointer); };
    out.schema = &ShapeOf<M>::schema;
    out.expected = &ShapeOf<M>::expected;
    return out;
  }
  template <template <class...> class List, class... D>
  static constexpr auto members(List<D...>) {
    return std::array<MemberShape, sizeof...(D)>{member<D>(D::pointer)...};
  }
  template <template <class...> class List, class... D>
  static constexpr bool are_members(List<D...>) {
    const auto is_member = [](const auto& declared) {
      const auto same = [&]<class Pointer>(Pointer pointer) {
        if constexpr (std::is_same_v<decltype(declared.member()), Pointer>) {
          return declared.member() == pointer;
        } else {
          return false;
        }
      };
      return (same(D::pointer) || ...);
    };
    return std::apply([&](const auto&... declared) { return (is_member(declared) && ...); }, fields_of<T>().all);
  }
  static_assert(are_members(All{}), "gantry_fields names a member that BOOST_DESCRIBE_STRUCT does not");
  static constexpr auto kMembers = members(All{});
};

template <class... A>
struct ShapeOf<std::variant<A...>> {
  static_assert((DescribedStruct<A> && ...), "the alternatives of a variant must be described structs");
  static_assert((!ShapeOf<A>::kTag.name.empty() && ...),
                "the alternatives of a variant need a tag: gantry_fields returns gantry::tagged(...)");
  using First = std::variant_alternative_t<0, std::variant<A...>>;
  static constexpr std::string_view kTag = ShapeOf<First>::kTag.name;
  static constexpr std::array<std::string_view, sizeof...(A)> kValues{ShapeOf<A>::kTag.value...};
  static_assert(((ShapeOf<A>::kTag.name == kTag) && ...), "the alternatives of a variant must have one tag's name");
  static_assert(
      [] {
        for (std::size_t i = 0; i < kValues.size(); ++i) {
          for (std::size_t j = 0; j < i; ++j) {
            if (kValues[i] == kValues[j]) return false;
          }
        }
        return true;
      }(),
      "two alternatives of a variant have the same tag");

  static bool read(FieldReader& reader, const Where& at, const json& from, std::variant<A...>& to, const Limits&) {
    if (!from.is_object()) return reader.refuse_value(at, "an object", from);
    const Where tag{&at, kTag};
    const auto value = from.find(kTag);
    if (value == from.end()) return reader.refuse_missing(tag, "one of " + quoted_list(kValues));
    const auto index = read_name(reader, tag, *value, kValues);
    if (!index) return false;
    using Read = bool (*)(FieldReader&, const Where&, const json&, std::variant<A...>&);
    static constexpr std::array<Read, sizeof...(A)> kRead{
        [](FieldReader& r, const Where& w, const json& f, std::variant<A...>& t) {
          return ShapeOf<A>::read(r, w, f, t.template emplace<A>(), {});
        }...};
    return kRead[*index](reader, at, from, to);
  }
  static json write(const std::variant<A...>& value) {
    return std::visit([]<class T>(const T& one) { return ShapeOf<T>::write(one); }, value);
  }
  static json schema(Direction direction, const Limits&) {
    return {{"oneOf", json::array({ShapeOf<A>::schema(direction, {})...})}};
  }
  static std::string expected(const Limits&) { return "an object"; }
};

template <class T, class... Outer>
struct Finite {
  template <template <class...> class List, class... D>
  static consteval bool members(List<D...>) {
    return (of(D::pointer) && ...);
  }
  template <class M, class S>
  static consteval bool of(M S::*) {
    return Finite<M, T, Outer...>::value();
  }
  static consteval bool value() {
    if constexpr ((std::is_same_v<T, Outer> || ...)) {
      return false;
    } else if constexpr (DescribedStruct<T>) {
      return members(boost::describe::describe_members < T,
                     boost::describe::mod_public | boost::describe::mod_inherited > {});
    } else {
      return true;
    }
  }
};
template <class T, class... Outer>
struct Finite<std::optional<T>, Outer...> : Finite<T, Outer...> {};
template <class T, class... Outer>
struct Finite<std::vector<T>, Outer...> : Finite<T, Outer...> {};
template <class T, class... More, class... Outer>
struct Finite<std::map<std::string, T, More...>, Outer...> : Finite<T, Outer...> {};
template <class... A, class... Outer>
struct Finite<std::variant<A...>, Outer...> {
  static consteval bool value() { return (Finite<A, Outer...>::value() && ...); }
};

template <class T>
[[nodiscard]] consteval bool finite() {
  return Finite<T>::value();
}

}  // namespace gantry::detail
