// SPDX-License-Identifier: Apache-2.0
//
// host/check/values.hpp: makes values that fit a JSON Schema, and values that do not, from a seed.
//
// It knows the part of JSON Schema that gantry/fields.hpp and most people write: type (also a
// list), const, enum, the bounds of numbers and lengths, properties, required,
// additionalProperties, items, oneOf and anyOf. Other keywords are ignored; an empty schema allows
// any value.
//
// Thread rule: confined to one thread. The same seed gives the same values.
// Bounds: kMaxDepth levels, kMaxMembers members of an object whose schema names none, kMaxText
// characters, unless the schema asks for more, up to kMostText.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <random>
#include <string>

namespace gantry::host::check {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  /// A number below `n`, which is not 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  [[nodiscard]] bool chance(std::uint64_t one_in) { return below(one_in) == 0; }
  [[nodiscard]] std::uint64_t any() { return engine_(); }

 private:
  std::mt19937_64 engine_;  // the standard fixes its values; the distributions differ between libraries
};

enum class Wish : std::uint8_t {
  least,  ///< only required members, as small as possible
  some,   ///< any value that fits
};

class Values {
 public:
  static constexpr int kMaxDepth = 6;
  static constexpr std::uint64_t kMaxMembers = 3;
  static constexpr std::uint64_t kMaxText = 24;
  static constexpr std::uint64_t kMostText = 4096;

  explicit Values(std::uint64_t seed) : random_(seed) {}
  [[nodiscard]] json fitting(const json& schema, Wish wish) { return make(schema, wish, 0); }
  /// Params for a method: always an object.
  [[nodiscard]] json params(const json& schema, Wish wish);
  /// A well-formed object that does not fit the schema, if the schema excludes any.
  [[nodiscard]] json unfitting_params(const json& schema);
  /// The text with a few bytes changed, removed or doubled; the result may be no JSON.
  [[nodiscard]] std::string mutated(std::string text);
  [[nodiscard]] Random& random() { return random_; }

 private:
  [[nodiscard]] json make(const json& schema, Wish wish, int depth);
  [[nodiscard]] json of_type(const std::string& type, const json& schema, Wish wish, int depth);
  [[nodiscard]] json number(const json& schema, bool whole, Wish wish);
  [[nodiscard]] json text(const json& schema, Wish wish);
  [[nodiscard]] json array(const json& schema, Wish wish, int depth);
  [[nodiscard]] json object(const json& schema, Wish wish, int depth);
  [[nodiscard]] json anything(Wish wish, int depth);
  /// A value of another type than `value`.
  [[nodiscard]] json other_than(const json& value);

  Random random_;
};

}  // namespace gantry::host::check
