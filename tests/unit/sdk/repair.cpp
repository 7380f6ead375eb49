// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <gantry/json.hpp>
#include <gantry/repair.hpp>
#include <string>

using namespace gantry;

TEST_CASE("repair: half a surrogate pair becomes U+FFFD, and whole ones stay") {
  const auto repaired = [](const char* text) { return repaired_json(text).value_or("unchanged"); };
  REQUIRE(repaired(R"("\ud83d")") == R"("\ufffd")");
  REQUIRE(repaired(R"("\uDE00 x")") == R"("\ufffd x")");
  REQUIRE(repaired(R"("\ud83d\ud83d\ude00")") == R"("\ufffd\ud83d\ude00")");
  REQUIRE(repaired(R"("\ud83d\n")") == R"("\ufffd\n")");
  REQUIRE(repaired(R"("\ud83d\ude00 \u00e9 \\ud83d \\")") == "unchanged");
  REQUIRE(repaired(R"("\\\ud83d")") == R"("\\\ufffd")");
}

TEST_CASE("repair: bytes that are no UTF-8 become U+FFFD, one each, wherever they stand") {
  const std::string mark = "\xEF\xBF\xBD";
  for (const std::string bad : {"\xC3", "\xFF", "\x80", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\xBD", "\xF0\x8F\xBF\xBF",
                                "\xF4\x90\x80\x80", "\xE2\x82", "\xF0\x9F\x98"}) {
    CAPTURE(bad);
    std::string marks;
    for (std::size_t i = 0; i < bad.size(); ++i) marks += mark;
    for (std::size_t before = 0; before < 20; ++before) {
      CAPTURE(before);
      const std::string head = "\"" + std::string(before, 'x'), tail = "\xC3\xA9 y\"";
      REQUIRE(repaired_json(head + bad + tail) == head + marks + tail);
      REQUIRE(parse_json(head + marks + tail));
    }
  }
}

TEST_CASE("repair: a text that needs none is left alone, however long") {
  std::string text = "\"";
  for (int i = 0; i < 1000; ++i) text += "plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \\\" \\u00e9 \\ud83d\\ude00 ";
  text += '"';
  REQUIRE(parse_json(text));
  REQUIRE_FALSE(repaired_json(text));
  REQUIRE_FALSE(repaired_json(""));
  REQUIRE_FALSE(repaired_json("\\"));
}
