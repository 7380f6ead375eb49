// SPDX-License-Identifier: Apache-2.0
//
// gantry/fields.hpp: reads a plain struct from JSON with exact errors, writes it, and describes it
// as JSON Schema.
//
//   struct Say { std::string text; int times = 1; };
//   BOOST_DESCRIBE_STRUCT(Say, (), (text, times))
//   constexpr auto gantry_fields(const Say*) {
//     return gantry::fields(gantry::field(&Say::text, "what to say").required().max_length(1000),
//                           gantry::field(&Say::times, "how often").range(1, 10));
//   }
//   gantry::Result<Say> say = gantry::from_json<Say>(document);   // "/times must be an integer from 1 to 10, not 11"
//   gantry::json document = gantry::to_json(*say);
//   gantry::json schema = gantry::schema_of<Say>();               // JSON Schema 2020-12
//
// Members may be bool, integers and floating-point numbers of any width, std::string, enumerations
// (described by BOOST_DESCRIBE_ENUM, written by name), gantry::json (any value), other described
// structs, and std::optional, std::vector and std::map<std::string, T> of these, and std::variant
// of tagged structs:
//
//   constexpr auto gantry_fields(const Circle*) { return gantry::tagged("kind", "circle", gantry::field(...)); }
//   constexpr auto gantry_fields(const Square*) { return gantry::tagged("kind", "square"); }
//   using Shape = std::variant<Circle, Square>;                   // {"kind": "square", ...}
//
// gantry_fields stands beside the struct, in its namespace; a member that it does not name is
// optional and without limits. A member that is left out of a document keeps the value of a
// default-constructed struct, which the schema shows as its default. Members of described base
// classes are members, too; the base's gantry_fields holds for them.
//
// Null counts as absent, except for gantry::json and std::optional members. Unknown members are
// errors. Lengths are counted in characters, elements or members. A struct that contains itself
// does not compile: use gantry::json. So a document is as deep as its types; gantry::json members
// are as deep as the document, which the host bounds.
//
// Errors: `invalid_params`, with the first error and its place as a JSON pointer, also as `path` in
//   the data. Nothing throws on bad input. A floating-point number that is not finite is written as
//   null.
// Thread rule: pure functions; no shared state.
#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <gantry/detail/field.hpp>
#include <gantry/detail/records.hpp>
#include <gantry/detail/shapes.hpp>
#include <utility>

namespace gantry {

/// The JSON Schema 2020-12 of T, for reading or for writing T.
template <class T>
[[nodiscard]] json schema_of(Direction direction = Direction::input) {
  static_assert(detail::finite<T>(), "this struct contains itself: take a gantry::json member");
  return detail::ShapeOf<T>::schema(direction, {});
}

/// `root` names the whole document in messages. `invalid_params` as above.
template <class T>
[[nodiscard]] Result<T> from_json(const json& document, const char* root = "the value") {
  static_assert(detail::finite<T>(), "this struct contains itself: take a gantry::json member");
  T out{};
  detail::FieldReader reader(root);
  if (!detail::ShapeOf<T>::read(reader, {}, document, out, {})) return std::unexpected(reader.take_error());
  return out;
}

template <class T>
[[nodiscard]] json to_json(const T& value) {
  static_assert(detail::finite<T>(), "this struct contains itself: take a gantry::json member");
  return detail::ShapeOf<T>::write(value);
}

}  // namespace gantry
