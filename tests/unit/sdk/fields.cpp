// SPDX-License-Identifier: Apache-2.0
//
// gantry/fields.hpp: structs read, written and described.
#include <catch2/catch.hpp>
#include <gantry/fields.hpp>
#include <limits>

using namespace gantry;

namespace sample {

enum class Color { red, green };
BOOST_DESCRIBE_ENUM(Color, red, green)

struct Page {
  int limit = 100;
};
BOOST_DESCRIBE_STRUCT(Page, (), (limit))
constexpr auto gantry_fields(const Page*) { return fields(field(&Page::limit, "how many").range(1, 1000)); }

struct Item {
  std::string name;
  std::uint8_t small = 0;
  std::int64_t big = 0;
  std::uint64_t natural = 0;
};
BOOST_DESCRIBE_STRUCT(Item, (), (name, small, big, natural))
constexpr auto gantry_fields(const Item*) { return fields(field(&Item::name, "its name").required().max_length(5)); }

struct Circle {
  double radius = 0;
};
BOOST_DESCRIBE_STRUCT(Circle, (), (radius))
constexpr auto gantry_fields(const Circle*) {
  return tagged("kind", "circle", field(&Circle::radius, "from the middle").required().min(0));
}
struct Square {
  float side = 1;
};
BOOST_DESCRIBE_STRUCT(Square, (), (side))
constexpr auto gantry_fields(const Square*) { return tagged("kind", "square"); }

struct Everything : Page {
  std::vector<Item> items;
  std::map<std::string, Item> by_name;
  std::optional<std::string> note = "as before";
  std::variant<Circle, Square> shape = Square{};
  Color color = Color::green;
  std::vector<bool> flags;
  json any;
  bool on = true;
};
BOOST_DESCRIBE_STRUCT(Everything, (Page), (items, by_name, note, shape, color, flags, any, on))
constexpr auto gantry_fields(const Everything*) { return fields(field(&Everything::items, "in order").max_length(3)); }

struct Loop {
  std::vector<Loop> inside;
};
BOOST_DESCRIBE_STRUCT(Loop, (), (inside))

}  // namespace sample

using sample::Everything;

namespace {
Error error_of(const char* text) {
  const auto read = from_json<Everything>(json::parse(text));
  REQUIRE_FALSE(read);
  REQUIRE(read.error().kind == ErrorKind::invalid_params);
  return read.error();
}
}  // namespace

TEST_CASE("fields: what is left out keeps the value of a default-made struct") {
  const auto read = from_json<Everything>(json::object());
  REQUIRE(read);
  REQUIRE(read->limit == 100);
  REQUIRE(read->note == "as before");
  REQUIRE(std::holds_alternative<sample::Square>(read->shape));
  REQUIRE(read->color == sample::Color::green);
  REQUIRE(read->on);
}

TEST_CASE("fields: what was written is read again as it was") {
  Everything value;
  value.limit = 7;
  value.items = {{"one", 255, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::uint64_t>::max()}};
  value.by_name["two/~"] = {"two", 2, 2, 2};
  value.shape = sample::Circle{2.5};
  value.color = sample::Color::red;
  value.flags = {true, false};
  value.any = {{"deep", {1, "two", nullptr}}};
  value.on = false;
  const json written = to_json(value);
  REQUIRE(written["shape"] == json{{"kind", "circle"}, {"radius", 2.5}});
  REQUIRE(written["color"] == "red");
  const auto read = from_json<Everything>(parse_json(dump_json(written)).value());
  REQUIRE(read);
  REQUIRE(to_json(*read) == written);
  REQUIRE(read->items[0].natural == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("fields: an error is reported with its place, what must be there and what was there") {
  CHECK(error_of(R"({"limit":0})").message == "/limit must be an integer from 1 to 1000, not 0");
  CHECK(error_of(R"({"items":[{"name":"a"},{"name":7}]})").message ==
        "/items/1/name must be a string of at most 5 characters, not 7");
  CHECK(error_of(R"({"items":[{"name":"a"},{}]})").message ==
        "/items/1/name is missing; it must be a string of at most 5 characters");
  CHECK(error_of(R"({"items":[{"name":"Grüße!"}]})").message ==
        "/items/0/name must be a string of at most 5 characters, not of 6");
  CHECK(error_of(R"({"by_name":{"a/b~c":{"name":"a","small":256}}})").message ==
        "/by_name/a~1b~0c/small must be an integer from 0 to 255, not 256");
  CHECK(error_of(R"({"by_name":{"a":{"name":"a","natural":-1}}})").message ==
        "/by_name/a/natural must be an integer of at least 0, not -1");
  CHECK(error_of(R"({"by_name":{"a":{"name":"a","big":9223372036854775808}}})").message ==
        "/by_name/a/big must be an integer, not 9223372036854775808");
  CHECK(error_of(R"({"items":[1,2,3,4]})").message == "/items must be an array of at most 3 elements, not of 4");
  CHECK(error_of(R"({"color":"gren"})").message ==
        R"(/color must be one of "red", "green", not "gren"; did you mean "green"?)");
  CHECK(error_of(R"({"on":1})").message == "/on must be true or false, not 1");
  CHECK(error_of(R"({"items":[{"nane":"a"}]})").message ==
        R"(/items/0 has an unknown member "nane"; did you mean "name"?)");
  CHECK(error_of(R"([])").message == "the value must be an object, not []");
  CHECK(json::parse(error_of(R"({"flags":[true,3]})").data) == json{{"path", "/flags/1"}});
}

TEST_CASE("fields: a variant is told apart by its tag") {
  CHECK(error_of(R"({"shape":{}})").message == R"(/shape/kind is missing; it must be one of "circle", "square")");
  CHECK(error_of(R"({"shape":{"kind":"cirle"}})").message ==
        R"(/shape/kind must be one of "circle", "square", not "cirle"; did you mean "circle"?)");
  CHECK(error_of(R"({"shape":{"kind":"circle"}})").message ==
        "/shape/radius is missing; it must be a number of at least 0.0");
  CHECK(error_of(R"({"shape":{"kind":"circle","radius":-1}})").message ==
        "/shape/radius must be a number of at least 0.0, not -1");
  CHECK(error_of(R"({"shape":{"kind":"square","side":1e39}})").message == "/shape/side must be a number, not 1e+39");
}

TEST_CASE("fields: null counts as absent, but empties an optional") {
  const auto read = from_json<Everything>(json::parse(R"({"limit":null,"note":null,"items":null})"));
  REQUIRE(read);
  REQUIRE(read->limit == 100);
  REQUIRE_FALSE(read->note);
  REQUIRE_FALSE(to_json(*read).contains("note"));
  CHECK(error_of(R"({"items":[{"name":null}]})").message ==
        "/items/0/name is missing; it must be a string of at most 5 characters");
}

TEST_CASE("fields: the schema of what is read shows descriptions, ranges, defaults and what must be there") {
  const json schema = schema_of<Everything>();
  REQUIRE(schema["additionalProperties"] == false);
  REQUIRE_FALSE(schema.contains("required"));
  const json& properties = schema["properties"];
  REQUIRE(properties["limit"] ==
          json{{"type", "integer"}, {"minimum", 1}, {"maximum", 1000}, {"default", 100}, {"description", "how many"}});
  REQUIRE(properties["items"]["maxItems"] == 3);
  REQUIRE(properties["items"]["items"]["required"] == json{"name"});
  REQUIRE(properties["items"]["items"]["properties"]["name"] ==
          json{{"type", "string"}, {"maxLength", 5}, {"description", "its name"}});
  REQUIRE(properties["color"] == json{{"type", "string"}, {"enum", {"red", "green"}}, {"default", "green"}});
  REQUIRE(properties["shape"]["oneOf"][0]["properties"]["kind"] == json{{"const", "circle"}});
  REQUIRE(properties["shape"]["oneOf"][0]["required"] == json{"kind", "radius"});
  REQUIRE(properties["by_name"]["additionalProperties"]["properties"]["natural"] ==
          json{{"type", "integer"}, {"minimum", 0}, {"default", 0}});
  REQUIRE(properties["any"] == json::object());
}

TEST_CASE("fields: the schema of what is written requires all but optional members") {
  const json schema = schema_of<Everything>(Direction::output);
  REQUIRE(schema["required"] == json{"limit", "items", "by_name", "shape", "color", "flags", "any", "on"});
  REQUIRE_FALSE(schema.contains("additionalProperties"));
  REQUIRE_FALSE(schema["properties"]["limit"].contains("default"));
}

static_assert(!detail::finite<sample::Loop>());
static_assert(detail::finite<Everything>());
