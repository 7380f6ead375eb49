// SPDX-License-Identifier: Apache-2.0
#include "envelope.hpp"

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
    out.append(kept, value.data());
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

long long own_id(std::string_view raw) {
  long long value = -1;
  const auto [end, failed] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
  return failed == std::errc() && end == raw.data() + raw.size() ? value : -1;
}

}  // namespace gantry::lsp
