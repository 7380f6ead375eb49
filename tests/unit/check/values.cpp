// SPDX-License-Identifier: Apache-2.0
//
// The values of `gantry plugin check`, judged by the host's own reading of a schema.
#include <catch2/catch.hpp>
#include <gantry/fields.hpp>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "host/check/values.hpp"
#include "host/config/check.hpp"
#include "host/config/config.hpp"
#include "host/config/schema_check.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::check;

namespace {

struct Round {
  double radius = 1;
};
BOOST_DESCRIBE_STRUCT(Round, (), (radius))
constexpr auto gantry_fields(const Round*) {
  return tagged("kind", "round", field(&Round::radius, "of it").required().range(0.5, 2.5));
}
struct Flat {};
BOOST_DESCRIBE_STRUCT(Flat, (), ())
constexpr auto gantry_fields(const Flat*) { return tagged("kind", "flat"); }
enum class Colour { red, green };
BOOST_DESCRIBE_ENUM(Colour, red, green)

struct Everything {
  std::string name;
  std::int32_t small = 0;
  std::uint64_t large = 0;
  Colour colour = Colour::red;
  std::optional<bool> maybe;
  std::vector<std::string> words;
  std::map<std::string, int> counts;
  std::variant<Round, Flat> shape;
};
BOOST_DESCRIBE_STRUCT(Everything, (), (name, small, large, colour, maybe, words, counts, shape))
constexpr auto gantry_fields(const Everything*) {
  return fields(field(&Everything::name, "of it").required().min_length(3).max_length(5),
                field(&Everything::small, "small").required().range(-3, 4),
                field(&Everything::words, "words").min_length(1).max_length(2),
                field(&Everything::shape, "its shape").required());
}

[[nodiscard]] bool fits(const json& value, const json& schema) {
  Config config;
  Diagnostics diagnostics("");
  check_schema(config, "value", value, schema, diagnostics);
  return diagnostics.empty();
}

}  // namespace

TEST_CASE("check: values made from a schema fit it, and a plugin reads them") {
  const json schema = schema_of<Everything>();
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Values values(seed);
    const json value = values.params(schema, seed % 2 == 0 ? Wish::some : Wish::least);
    INFO("seed " << seed << ": " << value.dump());
    REQUIRE(fits(value, schema));
    const auto read = from_json<Everything>(value);
    INFO((read ? "" : read.error().message));
    REQUIRE(read);
  }
}

TEST_CASE("check: values that are to be wrong are objects that do not fit") {
  const json schema = schema_of<Everything>();
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Values values(seed);
    const json value = values.unfitting_params(schema);
    INFO("seed " << seed << ": " << value.dump());
    REQUIRE(value.is_object());
    REQUIRE_FALSE(fits(value, schema));
  }
}

TEST_CASE("check: the same seed makes the same values and texts, another one others") {
  const json schema = schema_of<Everything>();
  const auto made = [&](std::uint64_t seed) {
    Values values(seed);
    std::string out;
    for (int i = 0; i < 20; ++i)
      out += values.mutated(values.params(schema, Wish::some).dump()) + values.unfitting_params(json::object()).dump();
    return out;
  };
  REQUIRE(made(7) == made(7));
  REQUIRE(made(7) != made(8));
}

TEST_CASE("check: a schema that says nothing gets an object, one that allows no more members gets none") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    CAPTURE(seed);
    REQUIRE(Values(seed).params(json::object(), Wish::some).is_object());
    REQUIRE(Values(seed).params({{"type", "object"}, {"additionalProperties", false}}, Wish::some).empty());
    REQUIRE(Values(seed).params({{"type", "array"}}, Wish::some).is_object());
  }
}
