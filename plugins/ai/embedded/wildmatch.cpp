// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/wildmatch.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace gantry::ai {

namespace {

using Byte = unsigned char;

bool in(Byte c, Byte low, Byte high) { return c >= low && c <= high; }
bool is_upper(Byte c) { return in(c, 'A', 'Z'); }
bool is_lower(Byte c) { return in(c, 'a', 'z'); }
bool is_digit(Byte c) { return in(c, '0', '9'); }
bool is_letter(Byte c) { return is_upper(c) || is_lower(c); }
Byte lowered(Byte c) { return is_upper(c) ? static_cast<Byte>(c + ('a' - 'A')) : c; }

// The POSIX classes of ASCII; no value: there is none of that name.
std::optional<bool> in_class(std::string_view name, Byte c) {
  const bool graph = in(c, '!', '~');
  if (name == "alnum") return is_letter(c) || is_digit(c);
  if (name == "alpha") return is_letter(c);
  if (name == "blank") return c == ' ' || c == '\t';
  if (name == "cntrl") return c < 0x20 || c == 0x7F;
  if (name == "digit") return is_digit(c);
  if (name == "graph") return graph;
  if (name == "lower") return is_lower(c);
  if (name == "print") return graph || c == ' ';
  if (name == "punct") return graph && !is_letter(c) && !is_digit(c);
  if (name == "space") return c == ' ' || c == '\t' || c == '\n' || c == '\r';  // git's own
  if (name == "upper") return is_upper(c);
  if (name == "xdigit") return is_digit(c) || in(c, 'a', 'f') || in(c, 'A', 'F');
  return std::nullopt;
}

// Reads the members of one [...]; `at` stands behind the [.
class SetReader {
 public:
  SetReader(std::string_view pattern, std::size_t& at, bool fold) : pattern_(pattern), at_(at), fold_(fold) {}

  // No value: it does not end, or names a class that is none; such a pattern matches nothing.
  std::optional<std::bitset<256>> read() {
    const bool negated = peek() == '!' || peek() == '^';
    if (negated) ++at_;
    // A ] that comes first is a member.
    for (bool first = true; first || peek() != ']'; first = false) {
      if (at_ >= pattern_.size() || !member()) return std::nullopt;
    }
    ++at_;
    if (negated) set_.flip();
    set_.reset('/');
    return set_;
  }

 private:
  [[nodiscard]] int peek(std::size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? static_cast<Byte>(pattern_[at_ + ahead]) : -1;
  }

  bool member() {
    if (peek() == '-' && before_ && peek(1) >= 0 && peek(1) != ']') return range();
    if (peek() == '[' && peek(1) == ':') {
      const std::size_t end = pattern_.find(']', at_ + 2);
      if (end == std::string_view::npos) return false;
      // Without a : before it the ] ends the set, and [ and : are members.
      if (end >= at_ + 3 && pattern_[end - 1] == ':') return named(pattern_.substr(at_ + 2, end - at_ - 3), end);
    }
    if (peek() == '\\') ++at_;
    if (peek() < 0) return false;
    before_ = static_cast<Byte>(peek());
    set_.set(*before_);
    ++at_;
    return true;
  }

  bool range() {
    ++at_;
    if (peek() == '\\') ++at_;
    if (peek() < 0) return false;
    for (int c = *before_; c <= peek(); ++c) {
      set_.set(static_cast<std::size_t>(c));
      if (fold_) set_.set(lowered(static_cast<Byte>(c)));
    }
    ++at_;
    before_.reset();
    return true;
  }

  bool named(std::string_view name, std::size_t end) {
    if (!in_class(name, 0)) return false;
    for (int c = 0; c < 256; ++c) {
      if (!*in_class(name, static_cast<Byte>(c))) continue;
      set_.set(static_cast<std::size_t>(c));
      if (fold_ && name == "upper") set_.set(lowered(static_cast<Byte>(c)));
    }
    at_ = end + 1;
    before_.reset();
    return true;
  }

  std::string_view pattern_;
  std::size_t& at_;
  bool fold_;
  std::bitset<256> set_;
  std::optional<Byte> before_;  // may begin a range
};

}  // namespace

Wildmatch::Wildmatch(std::string_view pattern, bool in_path, bool fold) : in_path_(in_path), fold_(fold) {
  for (std::size_t at = 0; at < pattern.size();) {
    const char c = pattern[at];
    if (c == '*') {
      add_stars(pattern, at);
    } else if (c == '?') {
      steps_.push_back({Kind::any});
      ++at;
    } else if (c == '[') {
      add_set(pattern, ++at);
    } else {
      const bool escape = c == '\\';
      if (escape && at + 1 == pattern.size()) {
        steps_.push_back({Kind::never});
        return;
      }
      const auto byte = static_cast<Byte>(pattern[at + (escape ? 1 : 0)]);
      steps_.push_back({Kind::literal, fold_ ? lowered(byte) : byte});
      at += escape ? 2 : 1;
    }
  }
}

void Wildmatch::add_stars(std::string_view pattern, std::size_t& at) {
  const std::size_t begin = at;
  while (at < pattern.size() && pattern[at] == '*') ++at;
  const std::string_view rest = pattern.substr(at);
  const bool component = at - begin > 1 && (begin == 0 || pattern[begin - 1] == '/') &&
                         (rest.empty() || rest.starts_with('/') || rest.starts_with("\\/"));
  if (!in_path_ || (component && !rest.starts_with('/'))) {
    steps_.push_back({Kind::all});
  } else if (component) {
    steps_.push_back({Kind::enter});
    steps_.push_back({Kind::folders});
    ++at;  // with its /
  } else {
    steps_.push_back({Kind::star});
  }
}

void Wildmatch::add_set(std::string_view pattern, std::size_t& at) {
  const auto set = SetReader(pattern, at, fold_).read();
  if (!set) {
    steps_.push_back({Kind::never});
    at = pattern.size();
    return;
  }
  steps_.push_back({Kind::set, 0, static_cast<std::uint32_t>(sets_.size())});
  sets_.push_back(*set);
}

bool Wildmatch::takes(const Step& step, Byte byte) const {
  switch (step.kind) {
    case Kind::literal:
      return byte == step.byte;
    case Kind::any:
      return byte != '/' || !in_path_;
    case Kind::set:
      return sets_[step.set][byte];
    case Kind::star:
      return byte != '/';
    case Kind::folders:
    case Kind::all:
      return true;
    case Kind::enter:
    case Kind::never:
      break;
  }
  return false;
}

void Wildmatch::pass(std::vector<bool>& places) const {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (!places[i]) continue;
    const Kind kind = steps_[i].kind;
    if (kind == Kind::star || kind == Kind::all || kind == Kind::enter) places[i + 1] = true;
    if (kind == Kind::enter) places[i + 2] = true;
  }
}

bool Wildmatch::matches(std::string_view text) const {
  std::vector<bool> here(steps_.size() + 1);  // here[i]: the bytes so far may have led to step i
  std::vector<bool> next(steps_.size() + 1);
  here[0] = true;
  pass(here);
  for (const char c : text) {
    const Byte byte = fold_ ? lowered(static_cast<Byte>(c)) : static_cast<Byte>(c);
    bool any = false;
    std::fill(next.begin(), next.end(), false);
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (!here[i] || !takes(steps_[i], byte)) continue;
      const Kind kind = steps_[i].kind;
      const bool stays = kind == Kind::star || kind == Kind::all || kind == Kind::folders;
      if (stays) next[i] = true;
      if (!stays || (kind == Kind::folders && byte == '/')) next[i + 1] = true;
      any = true;
    }
    if (!any) return false;
    std::swap(here, next);
    pass(here);
  }
  return here[steps_.size()];
}

}  // namespace gantry::ai
