// SPDX-License-Identifier: Apache-2.0
//
// What a record looks like, whatever its text.
#include <host/observe/printable.hpp>
#include <tests/unit/observe/log_support.hpp>

using namespace gantry;
using namespace gantry::host;
using namespace log_test;

namespace {

std::string logged(Level level, std::string_view component, std::string_view line) {
  const Folder folder;
  auto options = log_test::options(folder.path / "g.log");
  options.level = Level::trace;
  opened(std::move(options))->write(level, component, line);
  return text_of(folder.path / "g.log");
}

}  // namespace

TEST_CASE("log: a record is one line with UTC time, level, component and text") {
  REQUIRE(logged(Level::info, "router", "ready") == "2026-01-31T12:00:00.123Z INFO  router: ready\n");
  REQUIRE(logged(Level::trace, "a", "") == "2026-01-31T12:00:00.123Z TRACE a: \n");
  REQUIRE(logged(Level::debug, "a", "x") == "2026-01-31T12:00:00.123Z DEBUG a: x\n");
  REQUIRE(logged(Level::warn, "a", "x") == "2026-01-31T12:00:00.123Z WARN  a: x\n");
  REQUIRE(logged(Level::error, "a", "x") == "2026-01-31T12:00:00.123Z ERROR a: x\n");
}

TEST_CASE("log: text cannot forge a line or reach the terminal") {
  REQUIRE(logged(Level::info, "a", "x\n2026-01-31T12:00:00.123Z ERROR a: fake\r\x1b[2J\x07\t\x7f") ==
          "2026-01-31T12:00:00.123Z INFO  a: x\\n2026-01-31T12:00:00.123Z ERROR a: "
          "fake\\r\\x1b[2J\\x07\\t\\x7f\n");
  REQUIRE(logged(Level::info, "a\nb\x1b", "x") == "2026-01-31T12:00:00.123Z INFO  a\\nb\\x1b: x\n");
  REQUIRE(logged(Level::info, "a", std::string_view("\0x", 2)) == "2026-01-31T12:00:00.123Z INFO  a: \\x00x\n");
}

TEST_CASE("log: the text is no format string") {
  REQUIRE(logged(Level::info, "a{}", "{} %v %n {0}") == "2026-01-31T12:00:00.123Z INFO  a{}: {} %v %n {0}\n");
}

TEST_CASE("log: a long text is cut, and the line says so") {
  const std::string line = logged(Level::info, "a", std::string(100000, 'x'));
  REQUIRE(line.size() <= kMaxLogLine);
  REQUIRE(line.size() > kMaxLogLine - 200);
  const auto kept = static_cast<std::size_t>(std::count(line.begin(), line.end(), 'x'));
  REQUIRE_THAT(line, Catch::EndsWith("x [cut: " + std::to_string(100000 - kept) + " bytes]\n"));
}

TEST_CASE("log: a long component is cut") {
  const std::string line = logged(Level::info, std::string(1000, 'c'), std::string(100000, '\x01'));
  REQUIRE(line.size() <= kMaxLogLine);
  REQUIRE(std::count(line.begin(), line.end(), '\n') == 1);
}

TEST_CASE("printable: text in any language stays as it is") {
  const std::string text = "a\\b \xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\x89 \xe6\xbc\xa2";
  REQUIRE(printable(text, 1000) == text);
}

TEST_CASE("printable: bytes that are not UTF-8 are shown one by one") {
  REQUIRE(printable("\xff|\xc3|\xc3(|\xe2\x82|\xf0\x9f\x8e", 1000) == "\\xff|\\xc3|\\xc3(|\\xe2\\x82|\\xf0\\x9f\\x8e");
  REQUIRE(printable("\xc0\x8a", 1000) == "\\xc0\\x8a");  // an overlong newline
  REQUIRE(printable("\xe0\x80\x8a", 1000) == "\\xe0\\x80\\x8a");
  REQUIRE(printable("\xed\xa0\x80", 1000) == "\\xed\\xa0\\x80");           // a surrogate
  REQUIRE(printable("\xf4\x90\x80\x80", 1000) == "\\xf4\\x90\\x80\\x80");  // beyond the last character
}

TEST_CASE("printable: C1 controls, line separators and marks of direction are escaped") {
  REQUIRE(printable("\xc2\x9b"
                    "31m",
                    1000) == "\\u009b31m");
  REQUIRE(printable("\xe2\x80\xa8\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8f", 1000) == "\\u2028\\u202e\\u2066\\u200f");
}

TEST_CASE("printable: the result is bounded, cut between characters, and says how much is missing") {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "\xe2\x82\xac";
  REQUIRE(printable(text, 150) == text);
  for (std::size_t max = 0; max < 150; ++max) {
    CAPTURE(max);
    const std::string out = printable(text, max);
    REQUIRE(out.size() <= max);
    REQUIRE(printable(out, 1000) == out);  // no half character
    if (max > 40) REQUIRE_THAT(out, Catch::EndsWith(" bytes]"));
  }
  REQUIRE(printable(text, 80) == text.substr(0, 48) + " [cut: 102 bytes]");
}
