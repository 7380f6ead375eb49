// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/envelope.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <gantry/json.hpp>

namespace gantry::lsp {

namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  void space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }
  [[nodiscard]] bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  /// Nothing but space is left.
  [[nodiscard]] bool ends() {
    space();
    return at_ == text_.size();
  }

  /// The token of the string that starts here, quotes included; empty when it does not end.
  [[nodiscard]] std::string_view string() {
    const std::size_t begin = at_;
    if (!take('"')) return {};
    while (true) {
      const void* quote = std::memchr(text_.data() + at_, '"', text_.size() - at_);
      if (quote == nullptr) return {};
      const auto found = static_cast<std::size_t>(static_cast<const char*>(quote) - text_.data());
      std::size_t slashes = 0;
      while (found - slashes > begin + 1 && text_[found - slashes - 1] == '\\') ++slashes;
      at_ = found + 1;
      if (slashes % 2 == 0) return text_.substr(begin, at_ - begin);
    }
  }

  /// The token of the value that starts here; empty when there is none.
  [[nodiscard]] std::string_view value() {
    if (at_ >= text_.size()) return {};
    const std::size_t begin = at_;
    switch (text_[at_]) {
      case '"':
        return string();
      case '{':
      case '[':
        return nested(begin);
      default:
        while (at_ < text_.size() && std::strchr(",}] \n\r\t", text_[at_]) == nullptr) ++at_;
        return text_.substr(begin, at_ - begin);
    }
  }

 private:
  [[nodiscard]] std::string_view nested(std::size_t begin) {
    std::size_t depth = 0;
    while (at_ < text_.size()) {
      switch (text_[at_]) {
        case '"':
          if (string().empty()) return {};
          continue;
        case '{':
        case '[':
          ++depth;
          break;
        case '}':
        case ']':
          --depth;
          break;
        default:
          break;
      }
      ++at_;
      if (depth == 0) return text_.substr(begin, at_ - begin);
    }
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

enum class Visited { on, stop, broken };

// A member's name may be written with escapes, though nobody does.
[[nodiscard]] std::string decoded(std::string_view token) {
  const auto doc = parse_json(token);
  return doc && doc->is_string() ? doc->get<std::string>() : std::string();
}

[[nodiscard]] std::string_view inside(std::string_view token) { return token.substr(1, token.size() - 2); }
[[nodiscard]] bool escaped(std::string_view token) { return token.find('\\') != std::string_view::npos; }

}  // namespace

namespace {

// Walks the members of one object. `visit(key, scanner)` says whether to go on; it reads the value itself.
// True: the object was sound to its end, or the visitor stopped.
template <class Visit>
[[nodiscard]] bool walk(std::string_view text, Visit&& visit) {
  Scanner s(text);
  s.space();
  if (!s.take('{')) return false;
  s.space();
  if (s.take('}')) return s.ends();
  while (true) {
    s.space();
    const auto key = s.string();
    if (key.size() < 2) return false;
    const std::string unescaped = escaped(key) ? decoded(key) : std::string();
    s.space();
    if (!s.take(':')) return false;
    s.space();
    switch (visit(unescaped.empty() ? inside(key) : std::string_view(unescaped), s)) {
      case Visited::stop:
        return true;
      case Visited::broken:
        return false;
      case Visited::on:
        break;
    }
    s.space();
    if (s.take(',')) continue;
    return s.take('}') && s.ends();
  }
}

}  // namespace

Envelope scan(std::string_view text, Scan how) {
  Envelope e;
  e.ok = walk(text, [&](std::string_view key, Scanner& s) {
    const bool answers = key == "result" || key == "error";
    if (how == Scan::route && !e.id.empty() && (answers || !e.method().empty())) return Visited::stop;
    const auto value = s.value();
    if (value.empty()) return Visited::broken;
    if (key == "id") {
      e.id = value;
    } else if (key == "method" && value.front() == '"') {
      e.raw_method = inside(value);
      if (escaped(value)) e.decoded_method = decoded(value);
    } else if (key == "params") {
      e.params = value;
    } else if (key == "result") {
      e.result = value;
    } else if (key == "error" && value != "null") {
      e.error = value;
    }
    return Visited::on;
  });
  return e;
}

std::string_view member(std::string_view object, std::string_view name) {
  std::string_view found;
  (void)walk(object, [&](std::string_view key, Scanner& s) {
    const auto value = s.value();
    if (value.empty()) return Visited::broken;
    if (key != name) return Visited::on;
    found = value;
    return Visited::stop;
  });
  return found;
}

bool is_deeper_than(std::string_view text, std::size_t levels) {
  const auto openers = std::ranges::count(text, '[') + std::ranges::count(text, '{');
  if (static_cast<std::size_t>(openers) <= levels) return false;  // of nearly all messages
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > levels) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

bool is_empty_array(std::string_view value) {
  const auto first = value.find_first_not_of(" \t\r\n", value.find('[') == 0 ? 1 : value.size());
  return first != std::string_view::npos && value[first] == ']';
}

std::string with_null(std::string_view object, std::string_view name) {
  std::string out;
  const char* kept = object.data();
  (void)walk(object, [&](std::string_view key, Scanner& s) {
    const auto value = s.value();
    if (value.empty()) return Visited::broken;
    if (key != name) return Visited::on;  // on: the last of several would count
    out.append(kept, value.data());       // NOLINT(bugprone-suspicious-stringview-data-usage): up to where it begins
    out += "null";
    kept = value.data() + value.size();
    return Visited::on;
  });
  out.append(kept, object.data() + object.size());
  return out;
}

void append_with_id(std::string& out, std::string_view text, std::string_view id, std::string_view new_id) {
  const auto at = static_cast<std::size_t>(id.data() - text.data());
  out.append(text.substr(0, at));
  out.append(new_id);
  out.append(text.substr(at + id.size()));
}

namespace {

// A number is `digits` times 10 to the power of `exponent`; zero has no digits.
struct Decimal {
  bool negative = false;
  std::string digits;  // neither the first nor the last is 0
  long long exponent = 0;

  [[nodiscard]] bool operator==(const Decimal&) const = default;
};

// Nothing: it is no number, or its exponent has more than 18 digits.
[[nodiscard]] std::optional<Decimal> decimal_of(std::string_view raw) {
  constexpr std::size_t kMostOfExponent = 19;  // with its sign
  Decimal out;
  const auto mark = std::min(raw.find_first_of("eE"), raw.size());
  if (auto exponent = raw.substr(mark); !exponent.empty()) {
    exponent.remove_prefix(1);
    if (exponent.starts_with('+')) exponent.remove_prefix(1);
    const auto [end, failed] = std::from_chars(exponent.data(), exponent.data() + exponent.size(), out.exponent);
    if (failed != std::errc() || end != exponent.data() + exponent.size() || exponent.size() > kMostOfExponent)
      return {};
  }
  auto mantissa = raw.substr(0, mark);
  out.negative = mantissa.starts_with('-');
  mantissa.remove_prefix(out.negative ? 1 : 0);
  const auto point = std::min(mantissa.find('.'), mantissa.size());
  const auto fraction = mantissa.substr(std::min(point + 1, mantissa.size()));
  out.digits = mantissa.substr(0, point);
  if (out.digits.empty() || (point < mantissa.size() && fraction.empty())) return {};
  out.digits += fraction;
  if (out.digits.find_first_not_of("0123456789") != std::string::npos) return {};
  out.exponent -= static_cast<long long>(fraction.size());
  const auto last = out.digits.find_last_not_of('0');
  if (last == std::string::npos) return Decimal{};
  out.exponent += static_cast<long long>(out.digits.size() - 1 - last);
  out.digits = out.digits.substr(0, last + 1).substr(out.digits.find_first_not_of('0'));
  return out;
}

}  // namespace

std::optional<long long> whole_number(std::string_view raw) {
  constexpr std::size_t kMostDigits = 19;
  auto number = decimal_of(raw);
  if (!number || number->exponent < 0) return std::nullopt;
  const auto zeros = number->digits.empty() ? std::size_t{0} : static_cast<std::size_t>(number->exponent);
  if (zeros > kMostDigits || number->digits.size() + zeros > kMostDigits) return std::nullopt;
  const std::string text = (number->negative ? "-" : "") + number->digits + std::string(zeros, '0');
  if (text.empty()) return 0;
  long long value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

long long own_id(std::string_view raw) {
  const auto value = whole_number(raw);
  return value && *value >= 0 ? *value : -1;
}

bool same_id(std::string_view a, std::string_view b) {
  if (a == b) return true;
  if (a.empty() || b.empty()) return false;
  if (a.front() == '"') return b.front() == '"' && (escaped(a) || escaped(b)) && decoded(a) == decoded(b);
  const auto number = decimal_of(a);
  return number && number == decimal_of(b);
}

}  // namespace gantry::lsp
