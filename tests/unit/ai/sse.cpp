// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "plugins/ai/sse_parser.hpp"

using namespace gantry;
using namespace gantry::ai;

namespace {

// Feeds in pieces of `step` bytes; "name|data" of each event.
std::vector<std::string> events(std::string_view bytes, std::size_t step) {
  SseParser parser;
  std::vector<std::string> seen;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const auto fed = parser.feed(bytes.substr(at, step), [&](const SseEvent& event) -> Result<void> {
      seen.push_back(event.name + "|" + event.data);
      return {};
    });
    REQUIRE(fed);
  }
  return seen;
}

}  // namespace

TEST_CASE("sse: the rules of the WHATWG hold however the bytes are cut") {
  const std::string text =
      "\xEF\xBB\xBF"
      "data: first\r\n\r\n"
      ": a comment\n\n"
      "event: named\rdata:no space\rdata:  two spaces\r\r"
      "id: 7\nretry: 10\nunknown: x\n\n"
      "data\n\n"
      "data: half \xC3\xA9 char\n\n"
      "event: lost name\n\ndata: plain\n\n"
      "data: unfinished";
  const std::vector<std::string> expected{"|first", "named|no space\n two spaces", "|half \xC3\xA9 char", "|plain"};
  for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, text.size()}) {
    CAPTURE(step);
    REQUIRE(events(text, step) == expected);
  }
}

TEST_CASE("sse: a line without an end is refused at its bound, not stored") {
  SseParser parser;
  const auto ignore = [](const SseEvent&) -> Result<void> { return {}; };
  const std::string mebibyte(SseParser::kMaxLine, 'x');
  REQUIRE(parser.feed(mebibyte, ignore));
  const auto fed = parser.feed("x", ignore);
  REQUIRE(!fed);
  REQUIRE(fed.error().kind == ErrorKind::too_large);
}

TEST_CASE("sse: an event of very many lines is refused at its bound") {
  SseParser parser;
  const std::string line = "data: " + std::string(1U << 19U, 'x') + "\n";
  Result<void> fed;
  int lines = 0;
  for (; fed && lines < 100; ++lines) {
    fed = parser.feed(line, [](const SseEvent&) -> Result<void> { return {}; });
  }
  REQUIRE(!fed);
  REQUIRE(lines <= 9);
}

TEST_CASE("sse: what the sink refuses ends the feeding") {
  SseParser parser;
  int taken = 0;
  const auto fed = parser.feed("data: a\n\ndata: b\n\n", [&](const SseEvent&) -> Result<void> {
    ++taken;
    return fail(ErrorKind::upstream_failed, "no");
  });
  REQUIRE(!fed);
  REQUIRE(taken == 1);
}
