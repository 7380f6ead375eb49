// SPDX-License-Identifier: Apache-2.0
//
// Text that is no TOML, or hardly.
#include <catch2/catch.hpp>
#include <host/config/toml.hpp>
#include <tests/unit/config/support.hpp>

using namespace gantry;
using namespace gantry::host;
using config_test::diagnostics;

TEST_CASE("config: broken syntax is told with its place and the parser's words") {
  REQUIRE(diagnostics("[host]\nmax_batch =\n") ==
          "g.toml:2:12: error: Error while parsing key-value pair: expected value, saw '\\n'\n");
  REQUIRE(diagnostics("[host\n") == "g.toml:1:6: error: Error while parsing table header: expected ']', saw '\\n'\n");
  REQUIRE_THAT(diagnostics("a = \"x\nb = 1\n"), Catch::StartsWith("g.toml:1:7: error: "));
  REQUIRE_THAT(diagnostics("x"), Catch::StartsWith("g.toml:1:2: error: "));
}

TEST_CASE("config: duplicate keys and tables are refused") {
  REQUIRE(diagnostics("[host]\nmax_batch = 1\nmax_batch = 2\n") ==
          "g.toml:3:13: error: Error while parsing key-value pair: cannot redefine existing integer 'max_batch'\n");
  REQUIRE(diagnostics("[host]\n[log]\n[host]\n") ==
          "g.toml:3:1: error: Error while parsing table header: cannot redefine existing table 'host'\n");
}

TEST_CASE("config: text that is not UTF-8 is refused where it stops to be") {
  REQUIRE_THAT(diagnostics("[ai]\ndefault_model = \"\xff\"\n"), Catch::StartsWith("g.toml:2:17: error: "));
  REQUIRE_THAT(diagnostics("[ai]\ndefault_model = \"\xed\xa0\x80\"\n"), Catch::StartsWith("g.toml:2:"));
  REQUIRE_THAT(diagnostics(std::string("a = 1 \0 b\n", 10)), Catch::StartsWith("g.toml:1:7: error: "));
}

TEST_CASE("config: letters beyond ASCII are refused outside of quotes, and counted as one column") {
  REQUIRE(diagnostics("[host]\nmax_batch = \xe2\x80\x9c"
                      "12\xe2\x80\x9d\n") ==
          "g.toml:2:13: error: Error while parsing value: could not determine value type\n");
  REQUIRE(diagnostics("# \xc3\xa9\n[host]\nx\xc3\xa9 = 1\n") ==
          "g.toml:3:2: error: Error while parsing key-value pair: expected '=', saw '\xc3\xa9'\n");
  REQUIRE(diagnostics("[plugins.a]\nsettings = { s = '\xc3\xa9\xc3\xa9', t = inf }\n") ==
          "g.toml:2:28: error: `plugins.a.settings` must not contain inf or nan\n");
}

TEST_CASE("config: a text over many lines may go on with a letter beyond ASCII") {
  const auto config = parse_config("[plugins.a.settings]\ns = \"\"\"\\\n  \xc3\xa9\"\"\"\n", "g.toml");
  REQUIRE(config);
  REQUIRE(config->plugins.at("a").settings.at("s") == "\xc3\xa9");
}

TEST_CASE("config: a byte order mark and DOS lines are taken") {
  REQUIRE(diagnostics("\xef\xbb\xbf[host]\r\nmax_batch = 1\r\n").empty());
}

TEST_CASE("config: text at which the parser behind would crash is refused") {
  REQUIRE_THAT(diagnostics("[[[a]]]\n"), Catch::StartsWith("g.toml:1:3: error: Error while parsing"));
  std::string deep = "a";
  for (int i = 0; i < 400000; ++i) deep += ".a";
  REQUIRE(diagnostics("[" + deep + "]\n") == "g.toml:1:35: error: this key has more than 17 parts\n");
  REQUIRE(diagnostics("x = { " + deep + " = 1 }\n") == "g.toml:1:40: error: this key has more than 17 parts\n");
  REQUIRE_THAT(diagnostics("x = " + std::string(500000, '[')),
               Catch::Contains("exceeded maximum nested value depth of 32"));
}

TEST_CASE("config: what looks like an error inside of quotes and comments is none") {
  const std::string dots(40, '.');
  const std::string text = "# " + dots + " \xc3\xa9 \"\n" +                           //
                           "[plugins.a.settings]\n" +                                 //
                           "a = \"" + dots + "\\\" \xc3\xa9 # ' \"\n" +               //
                           "b = '" + dots + " \xc3\xa9 \\'\n" +                       //
                           "c = \"\"\"\n" + dots + " \xc3\xa9 \"\" \\\"\"\"\"\"\n" +  //
                           "d = '''\n" + dots + "\n'' \xc3\xa9 '''''\n" +             //
                           "e = \"\"\n" +                                             //
                           "f = [ '', \"\" ] # \xc3\xa9\n";
  const auto config = parse_config(text, "g.toml");
  INFO(diagnostics(text));
  REQUIRE(config);
  const auto& settings = config->plugins.at("a").settings;
  REQUIRE(settings.at("b") == dots + " \xc3\xa9 \\");
  REQUIRE(settings.at("c") == dots + " \xc3\xa9 \"\" \"\"");
  REQUIRE(settings.at("d") == dots + "\n'' \xc3\xa9 ''");
  REQUIRE(settings.at("f") == json{"", ""});
}

TEST_CASE("config: values are written as TOML that reads back the same") {
  const json value{{"text", "a\"\\\n\r\t\x01\x7f\xc3\xa9"},
                   {"with space", {1, -2, 9223372036854775807, 0.1, 1.0, 1e300, -2.5e-7, true}},
                   {"", {{"nested.key", json::array()}, {"empty", json::object()}}}};
  const auto config = parse_config("[plugins.a]\nsettings = " + toml_value(value) + "\n", "g.toml");
  INFO(toml_value(value));
  REQUIRE(config);
  REQUIRE(config->plugins.at("a").settings == value);
  REQUIRE(config->plugins.at("a").settings.at("with space").at(4).is_number_float());
}
