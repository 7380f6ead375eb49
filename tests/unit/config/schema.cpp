// SPDX-License-Identifier: Apache-2.0
//
// Free-form values against a plugin's schema.
#include <catch2/catch.hpp>
#include <host/config/schema_check.hpp>

#include "tests/unit/config/support.hpp"

using namespace gantry;
using namespace gantry::host;

namespace {

const json kSchema = json::parse(R"({"type":"object","additionalProperties":false,"required":["name"],"properties":{
  "name":{"type":"string","minLength":2},
  "color":{"type":"string","enum":["red","green"]},
  "level":{"type":["integer","null"],"minimum":0},
  "ratio":{"type":"number","minimum":0,"maximum":1},
  "free":{},
  "by_name":{"type":"object","maxProperties":1,"additionalProperties":{"type":"boolean"}},
  "shapes":{"type":"array","minItems":1,"items":{"oneOf":[
    {"type":"object","additionalProperties":false,"required":["kind","radius"],"properties":{"kind":{"const":"circle"},"radius":{"type":"number"}}},
    {"type":"object","additionalProperties":false,"required":["kind"],"properties":{"kind":{"const":"square"}}}]}}}})");

std::string found(const std::string& toml) {
  auto config = parse_config("[plugins.x.settings]\n" + toml, "g.toml", config_test::home());
  if (!config) return to_string(config.error());
  Diagnostics diagnostics(config->file);
  check_schema(*config, "plugins.x.settings", config->plugins.at("x").settings, kSchema, diagnostics);
  std::string text = to_string(diagnostics.take());
  if (!text.empty()) text.pop_back();  // the last end of line
  return text;
}

}  // namespace

TEST_CASE("schema: what fits is right") {
  CHECK(found(R"(name = "ab"
color = "red"
level = 1
ratio = 1
free = { a = [1, "b"] }
by_name = { a = true }
shapes = [{ kind = "circle", radius = 2 }, { kind = "square" }])")
            .empty());
}

TEST_CASE("schema: each error is reported at its place") {
  CHECK(found("") == "g.toml:1:1: error: [plugins.x.settings] needs `name`: a string of at least 2 characters");
  CHECK(found("name = \"a\"") ==
        "g.toml:2:8: error: `plugins.x.settings.name` must be a string of at least 2 characters, not \"a\"");
  CHECK(found("name = \"ab\"\ncolor = \"gren\"") ==
        "g.toml:3:9: error: `plugins.x.settings.color` must be one of \"red\", \"green\", not \"gren\"; did you mean "
        "\"green\"?");
  CHECK(found("name = \"ab\"\nlevel = -1\nratio = 1.5") ==
        "g.toml:3:9: error: `plugins.x.settings.level` must be an integer of at least 0 or null, not -1\n"
        "g.toml:4:9: error: `plugins.x.settings.ratio` must be a number from 0 to 1, not 1.5");
  CHECK(found("name = \"ab\"\nby_name = { \"a.b\" = 1 }") ==
        "g.toml:3:21: error: `plugins.x.settings.by_name.\"a.b\"` must be true or false, not 1");
  CHECK(found("name = \"ab\"\nby_name = { a = true, b = true }") ==
        "g.toml:3:11: error: `plugins.x.settings.by_name` must be an object of at most 1 members, not "
        "{\"a\":true,\"b\":true}");
  CHECK(found("name = \"ab\"\nshapes = []") ==
        "g.toml:3:10: error: `plugins.x.settings.shapes` must be an array of at least 1 elements, not []");
}

TEST_CASE("schema: an alternative is chosen by its constant") {
  CHECK(found("name = \"ab\"\nshapes = [{ kind = \"square\", radius = 1 }]") ==
        "g.toml:3:39: error: unknown key `radius` in [plugins.x.settings.shapes[0]]");
  CHECK(found("name = \"ab\"\nshapes = [{ kind = \"circle\" }]") ==
        "g.toml:3:11: error: [plugins.x.settings.shapes[0]] needs `radius`: a number");
  CHECK(found("name = \"ab\"\nshapes = [{ kind = \"cirle\" }]") ==
        "g.toml:3:20: error: `plugins.x.settings.shapes[0].kind` must be one of \"circle\", \"square\", not \"cirle\"; "
        "did you mean \"circle\"?");
  CHECK(found("name = \"ab\"\nshapes = [{ }]") ==
        "g.toml:3:11: error: [plugins.x.settings.shapes[0]] needs `kind`: one of \"circle\", \"square\"");
  CHECK(found("name = \"ab\"\nshapes = [1]") ==
        "g.toml:3:11: error: `plugins.x.settings.shapes[0]` must be an object, not 1");
}
