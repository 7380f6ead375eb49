// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>
#include <cstdio>
#include <host/config/toml.hpp>

namespace gantry::host {
namespace {

constexpr int kMaxDots = 16;

bool is_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// Walks over the text in the steps that matter here: quoted strings and comments as a whole, all else by character.
class Scan {
 public:
  explicit Scan(std::string_view text) : text_(text) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    line_start_ = at_;
  }

  std::optional<TomlError> run() {
    int dots = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == '"' || c == '\'') {
        skip_string(c);
      } else {
        if (c == '.' && ++dots > kMaxDots) {
          return error("this key has more than " + std::to_string(kMaxDots + 1) + " parts");
        }
        if (c == '\n' || c == '=' || c == ',' || c == '[' || c == ']' || c == '{' || c == '}') dots = 0;
        step();
      }
    }
    return std::nullopt;
  }

 private:
  void step() {
    if (text_[at_] == '\n') {
      ++line_;
      line_start_ = at_ + 1;
    }
    ++at_;
  }

  // To behind the closing quotes. A one-line string also ends where its line does: toml++ tells what is wrong with it.
  void skip_string(char quote) {
    const std::string three(3, quote);
    const bool multi = text_.substr(at_).starts_with(three);
    at_ += multi ? 3 : 1;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\\' && quote == '"' && at_ + 1 < text_.size()) {
        step();
        if (!multi && text_[at_] == '\n') return;
        step();
      } else if (!multi && c == '\n') {
        return;
      } else if (!multi && c == quote) {
        ++at_;
        return;
      } else if (multi && c == quote && text_.substr(at_).starts_with(three)) {
        at_ += 3;
        for (int more = 0; more < 2 && at_ < text_.size() && text_[at_] == quote; ++more) ++at_;
        return;
      } else {
        step();
      }
    }
  }

  [[nodiscard]] TomlError error(std::string message) const {
    std::uint32_t column = 1;
    for (std::size_t i = line_start_; i < at_; ++i) {
      if ((static_cast<unsigned char>(text_[i]) & 0xC0U) != 0x80U) ++column;
    }
    return TomlError{Place{line_, column}, std::move(message)};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_start_ = 0;
  std::uint32_t line_ = 1;
};

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          std::array<char, 8> code{};
          std::snprintf(code.data(), code.size(), "\\u%04X", static_cast<unsigned>(c));
          out += code.data();
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

std::string real(double value) {
  std::array<char, 40> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  std::string out(text.data(), end);
  if (out.find_first_of(".en") == std::string::npos) out += ".0";
  return out;
}

}  // namespace

std::optional<TomlError> refuse_toml(std::string_view text) { return Scan(text).run(); }

std::string toml_key(std::string_view name) {
  const bool bare = !name.empty() && std::all_of(name.begin(), name.end(), is_bare);
  return bare ? std::string(name) : in_quotes(name);
}

std::string toml_value(const json& value) {
  std::string out;
  switch (value.type()) {
    case json::value_t::string:
      return in_quotes(value.get_ref<const std::string&>());
    case json::value_t::number_float:
      return real(value.get<double>());
    case json::value_t::null:
      return "\"\"";
    case json::value_t::array:
      for (const auto& item : value) out += (out.empty() ? "" : ", ") + toml_value(item);
      return "[" + out + "]";
    case json::value_t::object:
      for (const auto& [name, item] : value.items()) {
        out += (out.empty() ? "" : ", ") + toml_key(name) + " = " + toml_value(item);
      }
      return out.empty() ? "{}" : "{ " + out + " }";
    default:
      return value.dump();
  }
}

}  // namespace gantry::host
