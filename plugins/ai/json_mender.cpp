// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/json_mender.hpp"

#include <array>
#include <cctype>
#include <charconv>
#include <optional>

#include "plugins/ai/utf8.hpp"

namespace gantry::ai {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kReplacementEscape = "\\ufffd";
constexpr std::size_t kEscape = 6;  // bytes of \uXXXX

bool too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > JsonMender::kMaxDepth) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

// The code unit of the escape \uXXXX that `text` begins with.
std::optional<unsigned> unit_at(std::string_view text) {
  if (text.size() < kEscape || !text.starts_with("\\u")) return std::nullopt;
  unsigned unit = 0;
  const char* const end = text.data() + kEscape;
  const auto read = std::from_chars(text.data() + 2, end, unit, 16);
  return read.ec == std::errc() && read.ptr == end ? std::optional(unit) : std::nullopt;
}
bool is_high(std::optional<unsigned> unit) { return unit && *unit >= 0xD800 && *unit < 0xDC00; }
bool is_low(std::optional<unsigned> unit) { return unit && *unit >= 0xDC00 && *unit < 0xE000; }

class Mending {
 public:
  Mending(std::string_view text, std::string* half) : text_(text), half_(half) {}

  std::string run() {
    if (half_ != nullptr) before_ = std::exchange(*half_, {});
    while (at_ < text_.size()) {
      if (text_[at_] == '"') in_string_ = !in_string_;
      if (in_string_ && text_[at_] == '\\') {
        escape();
      } else if (!in_string_ && number_word()) {
        out_ += "null";
      } else {
        character();
      }
    }
    return std::move(out_);
  }

 private:
  void character() {
    const auto step = utf8_step(text_.substr(at_));
    out_ += step.valid ? text_.substr(at_, step.size) : kReplacement;
    at_ += step.size;
  }

  void copy(std::size_t bytes) {
    out_ += text_.substr(at_, bytes);
    at_ += bytes;
  }

  void escape() {
    const std::string_view rest = text_.substr(at_);
    const auto unit = unit_at(rest);
    if (is_high(unit)) {
      if (is_low(unit_at(rest.substr(kEscape)))) return copy(2 * kEscape);
      if (half_ != nullptr && rest.substr(kEscape).starts_with('"')) {
        *half_ = rest.substr(0, kEscape);
      } else {
        out_ += kReplacementEscape;
      }
      at_ += kEscape;
    } else if (is_low(unit)) {
      if (before_.empty()) {
        out_ += kReplacementEscape;
        at_ += kEscape;
      } else {
        out_ += std::exchange(before_, {});
        copy(kEscape);
      }
    } else {
      copy(1);
      if (at_ < text_.size()) character();
    }
  }

  // NaN, Infinity or -Infinity, alone: passes over it.
  bool number_word() {
    for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      const auto is_word = [&](std::size_t i) {
        return i < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[i])) != 0 || text_[i] == '_');
      };
      if ((at_ > 0 && is_word(at_ - 1)) || is_word(at_ + word.size())) continue;
      at_ += word.size();
      return true;
    }
    return false;
  }

  std::string_view text_;
  std::string* half_;  // null: nothing follows
  std::string before_;
  std::string out_;
  std::size_t at_ = 0;
  bool in_string_ = false;
};

Result<json> parse(std::string_view text, std::string* half) {
  if (too_deep(text)) return fail(ErrorKind::upstream_failed, "it is nested more than 128 levels deep");
  auto straight = parse_json(text);
  if (straight) {
    if (half != nullptr) half->clear();
    return straight;
  }
  auto mended = parse_json(Mending(text, half).run());
  return mended ? std::move(mended) : std::move(straight);
}

}  // namespace

Result<json> JsonMender::next(std::string_view text) { return parse(text, &half_); }
Result<json> JsonMender::read(std::string_view text) { return parse(text, nullptr); }

}  // namespace gantry::ai
