// SPDX-License-Identifier: Apache-2.0
//
// host/check/values.hpp: values that fit a JSON Schema, and such that do not, from a seed.
//
// Of JSON Schema it knows what gantry/fields.hpp writes and what people write by hand: type (also a list), const, enum,
// the bounds of numbers and lengths, properties, required, additionalProperties, items, oneOf and anyOf. What else
// there is it ignores; a schema that says nothing is taken as any value.
//
// Thread rule: confined to one thread. The same seed gives the same values.
// Bounds: kMaxDepth levels, kMaxMembers members of an object that names none, kMaxText characters, unless the schema
// asks for more, up to kMostText.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <random>
#include <string>

namespace gantry::host::check {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  /// Below `n`, which is not 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  [[nodiscard]] bool chance(std::uint64_t one_in) { return below(one_in) == 0; }
  [[nodiscard]] std::uint64_t any() { return engine_(); }

 private:
  std::mt19937_64 engine_;  // the standard says what it gives; its distributions are each library's own
};

enum class Wish : std::uint8_t {
  least,  ///< what is required, as small as it may be
  some,   ///< whatever fits
};

class Values {
 public:
  static constexpr int kMaxDepth = 6;
  static constexpr std::uint64_t kMaxMembers = 3;
  static constexpr std::uint64_t kMaxText = 24;
  static constexpr std::uint64_t kMostText = 4096;

  explicit Values(std::uint64_t seed) : random_(seed) {}
  [[nodiscard]] json fitting(const json& schema, Wish wish) { return make(schema, wish, 0); }
  /// Params of a method: always an object.
  [[nodiscard]] json params(const json& schema, Wish wish);
  /// An object, well-formed, that fits the schema no more where the schema says anything.
  [[nodiscard]] json unfitting_params(const json& schema);
  /// The text of params with a few bytes changed, left out or doubled; perhaps no JSON any more.
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
  /// Of another type than `value`.
  [[nodiscard]] json other_than(const json& value);

  Random random_;
};

}  // namespace gantry::host::check
