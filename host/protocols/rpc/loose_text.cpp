// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/loose_text.hpp"

namespace gantry::host {

namespace {

/// Reads from the front of a text; what does not fit leaves it failed, and at its end.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] bool at_end() {
    skip_space();
    return at_ == text_.size();
  }
  /// The next character that is no white space, if it is `c`.
  bool take(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  /// A string, with its quotes.
  std::string_view string() {
    skip_space();
    const auto begin = at_;
    if (at_ == text_.size() || text_[at_] != '"') return fail();
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
      } else if (text_[at_] == '"') {
        ++at_;
        return text_.substr(begin, at_ - begin);
      }
    }
    return fail();
  }
  std::string_view value() {
    skip_space();
    const auto begin = at_;
    for (std::size_t depth = 0; at_ < text_.size();) {
      const char c = text_[at_];
      if (depth == 0 && at_ != begin && (c == ',' || c == ']' || c == '}' || is_space(c))) break;
      if (c == '"') {
        (void)string();
        if (depth == 0) break;
        continue;
      }
      ++at_;
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') {
        if (depth == 0) return fail();
        if (--depth == 0) break;
      }
    }
    if (failed_ || at_ == begin) return fail();
    return text_.substr(begin, at_ - begin);
  }
  std::string_view fail() {
    failed_ = true;
    at_ = text_.size();
    return {};
  }

 private:
  [[nodiscard]] static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

/// What stands between two brackets, with commas between.
template <class Item>
[[nodiscard]] bool each(std::string_view text, char open, char close, const Item& item) {
  Reader in(text);
  if (!in.take(open)) return false;
  if (in.take(close)) return in.at_end();
  do {
    if (!item(in)) return false;
  } while (in.take(','));
  return in.take(close) && in.at_end();
}

}  // namespace

bool each_loose_member(std::string_view text,
                       const std::function<void(std::string_view key, std::string_view value)>& member) {
  return each(text, '{', '}', [&](Reader& in) {
    const auto key = in.string();
    if (in.failed() || !in.take(':')) return false;
    const auto value = in.value();
    if (in.failed()) return false;
    member(key.substr(1, key.size() - 2), value);
    return true;
  });
}

bool each_loose_element(std::string_view text, const std::function<void(std::string_view)>& element) {
  return each(text, '[', ']', [&](Reader& in) {
    const auto value = in.value();
    if (in.failed()) return false;
    element(value);
    return true;
  });
}

}  // namespace gantry::host
