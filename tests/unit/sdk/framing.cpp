// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <gantry/framing.hpp>
#include <gantry/params.hpp>

using namespace gantry;
using Status = FrameDecoder::Status;

namespace {
std::vector<std::string> all(FrameDecoder& decoder) {
  std::vector<std::string> out;
  std::string_view message;
  while (decoder.next(message) == Status::message) out.emplace_back(message);
  return out;
}
}  // namespace

TEST_CASE("framing: the first byte decides between headers and lines") {
  FrameDecoder lines(100);
  lines.feed("  \n{\"a\":1}\r\n{}\n");
  REQUIRE(all(lines) == std::vector<std::string>{"{\"a\":1}", "{}"});
  REQUIRE(lines.framing() == Framing::lines);
  FrameDecoder headers(100);
  headers.feed("content-length: 2\r\nContent-Type: x\r\n\r\n{}Content-Length:3\r\n\r\n[1]");
  REQUIRE(all(headers) == std::vector<std::string>{"{}", "[1]"});
  REQUIRE(headers.framing() == Framing::headers);
}

TEST_CASE("framing: any split of the bytes gives the same messages") {
  std::string text;
  append_frame(text, Framing::headers, "{\"one\":1}");
  append_frame(text, Framing::headers, "");
  append_frame(text, Framing::headers, "{\"two\":2}");
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    CAPTURE(cut);
    FrameDecoder decoder(100);
    std::vector<std::string> got;
    for (std::size_t at = 0; at < text.size(); at += cut) {
      decoder.feed(std::string_view(text).substr(at, cut));
      for (auto& message : all(decoder)) got.push_back(std::move(message));
    }
    REQUIRE(got == std::vector<std::string>{"{\"one\":1}", "", "{\"two\":2}"});
  }
}

TEST_CASE("framing: a message over the limit is told once, skipped, and the next one arrives") {
  for (const auto framing : {Framing::headers, Framing::lines}) {
    CAPTURE(framing);
    FrameDecoder decoder(10, framing);
    std::string text;
    append_frame(text, framing, std::string(100'000, 'x'));
    append_frame(text, framing, "{}");
    int too_large = 0;
    std::vector<std::string> got;
    for (std::size_t at = 0; at < text.size(); at += 1000) {
      decoder.feed(std::string_view(text).substr(at, 1000));
      std::string_view message;
      for (auto status = decoder.next(message); status != Status::need_more; status = decoder.next(message)) {
        if (status == Status::too_large) ++too_large;
        if (status == Status::message) got.emplace_back(message);
      }
      REQUIRE(decoder.buffered() < 3000);
    }
    REQUIRE(too_large == 1);
    REQUIRE(got == std::vector<std::string>{"{}"});
  }
}

TEST_CASE("framing: a message that is given up half-way is skipped to its end, and the next one arrives") {
  const std::string message(1000, 'x');
  for (const auto framing : {Framing::lines, Framing::headers}) {
    CAPTURE(framing);
    std::string text;
    append_frame(text, framing, message);
    for (const std::size_t half : {std::size_t{40}, std::size_t{500}, text.size() - 1}) {
      CAPTURE(half);
      FrameDecoder decoder(4000, framing);
      REQUIRE_FALSE(decoder.abandon());
      decoder.feed(std::string_view(text).substr(0, half));
      REQUIRE(all(decoder).empty());
      REQUIRE(decoder.abandon());
      REQUIRE(decoder.buffered() == 0);
      decoder.feed(std::string_view(text).substr(half));
      REQUIRE(all(decoder).empty());
      decoder.feed(text);
      REQUIRE(all(decoder) == std::vector<std::string>{message});
    }
  }
}

TEST_CASE("framing: the memory of a decoder is what its largest message needs, and is given back") {
  constexpr std::size_t kMost = std::size_t{3} << 20;
  constexpr std::size_t kChunk = std::size_t{64} << 10;
  FrameDecoder decoder(kMost, Framing::lines);
  const std::string chunk(kChunk, 'x');
  for (std::size_t sent = 0; sent < kMost; sent += kChunk) decoder.feed(chunk);
  REQUIRE(decoder.allocated() >= kMost);
  REQUIRE(decoder.allocated() <= kMost + 2 * kChunk);
  decoder.feed("\nnext");
  REQUIRE(all(decoder).size() == 1);
  decoder.release();
  REQUIRE(decoder.allocated() < kChunk);
  decoder.feed(" one\n");
  REQUIRE(all(decoder) == std::vector<std::string>{"next one"});
}

TEST_CASE("framing: headers that make no sense, or never end, break the stream") {
  for (const std::string bad :
       {"Content-Length: x\r\n\r\n", "Content-Length: -1\r\n\r\n", "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "Content-Type: a\r\n\r\n", "Content-Length\r\n\r\n", "Content-Length: 99999999999999999999999\r\n\r\n"}) {
    CAPTURE(bad);
    FrameDecoder decoder(100);
    decoder.feed(bad);
    std::string_view message;
    REQUIRE(decoder.next(message) == Status::broken);
    REQUIRE(!decoder.error().empty());
  }
  FrameDecoder endless(100);
  std::string_view message;
  endless.feed("Content-Length: 1\r\n");
  while (endless.next(message) == Status::need_more) {
    endless.feed("X-Filler: yes\r\n");
    REQUIRE(endless.buffered() <= FrameDecoder::kMaxHeader + 100);
  }
  REQUIRE(endless.next(message) == Status::broken);
}

namespace {
const std::string kAmidNoise =
    "Starting up\n\nContent-Type: x\r\nContent-Length: 2\r\n\r\n{}\n"           // a newline behind the body
    "content-length:3\n\n[1]saw Content-Length: 9 in a line\r\n\r\nContent-\n"  // header-like text
    "Content-Length: 7\r\nContent-Type: x\n\r\n\"a\nb\\n\"\r\n"                 // both ends of lines
    "\x01\xff noise\n\xEF\xBB\xBF"
    "CONTENT-LENGTH: 2\n\n{}";  // a byte order mark
const std::vector<std::string> kAmidIt{"{}", "[1]", "\"a\nb\\n\"", "{}"};
FrameDecoder lenient() { return FrameDecoder(100, Framing::headers, Noise::skipped); }
}  // namespace

TEST_CASE("framing: lines between messages are skipped where that is wanted, in any split, and the first are told") {
  for (std::size_t cut = 1; cut <= kAmidNoise.size(); ++cut) {
    FrameDecoder decoder = lenient();
    std::vector<std::string> got, noise;
    for (std::size_t at = 0; at < kAmidNoise.size(); at += cut) {
      decoder.feed(std::string_view(kAmidNoise).substr(at, cut));
      std::string_view message;
      while (decoder.next(message) == Status::message) {
        got.emplace_back(message);
        noise.push_back(decoder.noise());
      }
    }
    CAPTURE(cut);
    REQUIRE(decoder.error().empty());
    REQUIRE(got == kAmidIt);
    REQUIRE(noise[0] == "Starting up\n");
    REQUIRE(noise[1].empty());
    REQUIRE(noise[2] == "saw Content-Length: 9 in a line\r\nContent-\n");
  }
  FrameDecoder strict(100, Framing::headers);
  std::string_view message;
  strict.feed("hello\nContent-Length: 2\n\n{}\r\n\r\n");
  REQUIRE(strict.next(message) == Status::broken);
}

TEST_CASE("framing: what a decoder holds amid noise goes on in another") {
  for (std::size_t cut = 1; cut < kAmidNoise.size(); ++cut) {
    CAPTURE(cut);
    FrameDecoder before = lenient(), after = lenient();
    before.feed(std::string_view(kAmidNoise).substr(0, cut));
    auto got = all(before);
    REQUIRE_FALSE(before.skipping());
    after.feed(before.held());
    after.feed(std::string_view(kAmidNoise).substr(cut));
    for (auto& message : all(after)) got.push_back(std::move(message));
    REQUIRE(got == kAmidIt);
  }
}

TEST_CASE("framing: noise without an end breaks the stream, and its beginning is kept") {
  const std::string line(1000, 'x');
  for (const auto& noise : {"one\n" + line + "\n", "one" + line, std::string("one\n"), std::string("\r\n")}) {
    CAPTURE(noise);
    FrameDecoder decoder = lenient();
    std::string_view message;
    decoder.feed("Content-Length: 2\n\n{}");
    REQUIRE(all(decoder).size() == 1);
    std::size_t fed = 0;
    for (; decoder.next(message) == Status::need_more; fed += noise.size()) {
      decoder.feed(noise);
      REQUIRE(decoder.buffered() <= FrameDecoder::kMaxNoise + noise.size());
    }
    REQUIRE(fed > FrameDecoder::kMaxNoise);
    REQUIRE(fed <= FrameDecoder::kMaxNoise + noise.size());
    REQUIRE(decoder.next(message) == Status::broken);
    REQUIRE(decoder.noise().size() <= FrameDecoder::kNoiseKept);
    REQUIRE(decoder.noise().starts_with(noise.substr(0, 3)));
  }
  // What is skipped between two messages counts, not all of it.
  FrameDecoder talks = lenient();
  for (std::size_t n = 0; n < 200; ++n) {
    CAPTURE(n);
    talks.feed(line + "\nContent-Length: 2\n\n{}");
    REQUIRE(all(talks).size() == 1);
  }
  // A header that makes no sense is no noise.
  FrameDecoder bad = lenient();
  std::string_view message;
  bad.feed("hello\nContent-Length: x\n\n{}");
  REQUIRE(bad.next(message) == Status::broken);
  REQUIRE(bad.noise() == "hello\nContent-Length: x\n\n{}");
}

TEST_CASE("framing: a message amid noise that is too large or given up is skipped to its end") {
  FrameDecoder decoder = lenient();
  std::string_view message;
  decoder.feed("hello\nContent-Length: 500\n\n" + std::string(100, '\n'));
  REQUIRE(decoder.next(message) == Status::too_large);
  decoder.feed(std::string(400, 'x') + "\nContent-Length: 50\n\n");
  REQUIRE(decoder.next(message) == Status::need_more);
  REQUIRE(decoder.abandon());
  decoder.feed(std::string(50, '\n') + "bye");
  REQUIRE(decoder.next(message) == Status::need_more);
  REQUIRE_FALSE(decoder.abandon());
  decoder.feed("\nContent-Length: 2\n\n{}");
  REQUIRE(all(decoder) == std::vector<std::string>{"{}"});
}

TEST_CASE("params: a whole number is an integer however it is written, and nothing else is") {
  const auto read = [](const std::string& text) -> std::optional<std::int64_t> {
    Params p(json{{"n", json::parse(text)}});
    const auto n = p.integer("n", -100, std::int64_t{1} << 53);
    return p.done() ? std::optional(n) : std::nullopt;
  };
  REQUIRE(read("2") == 2);
  REQUIRE(read("2.0") == 2);
  REQUIRE(read("-0.0") == 0);
  REQUIRE(read("2e1") == 20);
  REQUIRE(read("9007199254740992.0") == std::int64_t{1} << 53);
  for (const char* text : {"2.5", "1e300", "-101.0", "18446744073709551615", "18446744073709551616", "\"2\"", "true",
                           "[]", "9007199254740994.0"}) {
    CAPTURE(text);
    REQUIRE(read(text) == std::nullopt);
  }
}

TEST_CASE("params: the first error is reported with the member's name, and an unknown member with its neighbour") {
  Params missing(json{{"b", 1}});
  (void)missing.string("a");
  REQUIRE(missing.done().error().message.find("a is missing") != std::string::npos);
  Params wrong(json{{"a", 1}});
  (void)wrong.string("a");
  REQUIRE(wrong.done().error().message == "a must be a string, not 1");
  Params range(json{{"n", 11}});
  (void)range.integer("n", 0, 10);
  REQUIRE(range.done().error().message == "n must be an integer from 0 to 10, not 11");
  Params null(json{{"n", nullptr}});
  (void)null.integer("n", 0, 10);
  REQUIRE(null.done().error().message == "n is missing; it must be an integer");
  Params unknown(json{{"topcs", 1}, {"_meta", 1}});
  (void)unknown.maybe_value("topics");
  REQUIRE(unknown.done().error().message == "unknown member \"topcs\"; did you mean \"topics\"?");
  REQUIRE(Params(json::array()).done().error().kind == ErrorKind::invalid_params);
}
