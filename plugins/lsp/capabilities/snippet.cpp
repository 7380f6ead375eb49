// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/capabilities/snippet.hpp"

#include <map>
#include <optional>
#include <set>

namespace gantry::lsp {

namespace {

[[nodiscard]] bool is_digit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}
// Of the protocol's list; none has a value without an editor.
[[nodiscard]] bool is_known(std::string_view name) {
  for (const std::string_view each :
       {"TM_SELECTED_TEXT", "TM_CURRENT_LINE", "TM_CURRENT_WORD", "TM_LINE_INDEX", "TM_LINE_NUMBER", "TM_FILENAME",
        "TM_FILENAME_BASE", "TM_DIRECTORY", "TM_FILEPATH"}) {
    if (name == each) return true;
  }
  return false;
}

// Two passes over the text: the first learns the defaults, for a tabstop may stand before its placeholder.
class Expansion {
 public:
  explicit Expansion(std::string_view text) : text_(text) {}

  [[nodiscard]] std::string run() {
    for (at_ = 0; at_ < text_.size();) (void)any("", 0);
    at_ = 0;
    return any("", 0);
  }

 private:
  // Text, tabstops and all else up to one of `ends`, which is left.
  std::string any(std::string_view ends, std::size_t depth) {
    std::string out;
    while (at_ < text_.size() && ends.find(text_[at_]) == std::string_view::npos) {
      const char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size() &&
          std::string_view("$}\\").find(text_[at_ + 1]) != std::string_view::npos) {
        out += text_[at_ + 1];
        at_ += 2;
        continue;
      }
      if (c == '$') {
        const auto from = at_;
        const auto part = failed_.contains(from) ? std::nullopt : variable_part(depth);
        if (part) {
          out += *part;
          continue;
        }
        failed_.insert(from);  // once: else unclosed braces within each other take exponential time
        at_ = from;
      }
      out += c;
      ++at_;
    }
    return out;
  }

  // What begins with `$`; nothing: that is text.
  std::optional<std::string> variable_part(std::size_t depth) {
    ++at_;
    const bool braces = at_ < text_.size() && text_[at_] == '{';
    if (braces) ++at_;
    const auto from = at_;
    const bool number = at_ < text_.size() && is_digit(text_[at_]);
    while (at_ < text_.size() && (number ? is_digit(text_[at_]) : is_name(text_[at_]))) ++at_;
    const std::string name(text_.substr(from, at_ - from));
    if (name.empty()) return std::nullopt;
    if (!braces) return value(name, number, std::nullopt);
    if (at_ >= text_.size()) return std::nullopt;
    const char kind = text_[at_++];
    std::optional<std::string> given;
    if (kind == ':') {
      if (depth >= kMaxSnippetDepth) return std::nullopt;
      given = any("}", depth + 1);
    } else if (kind == '|' && number) {
      given = choice();
    } else if (kind == '/') {
      if (!transform()) return std::nullopt;
    } else if (kind == '}') {
      return value(name, number, std::nullopt);
    } else {
      return std::nullopt;
    }
    if (at_ >= text_.size() || text_[at_] != '}') return std::nullopt;
    ++at_;
    return value(name, number, given);
  }

  std::string value(const std::string& name, bool number, const std::optional<std::string>& given) {
    if (!number) return given ? *given : is_known(name) ? std::string() : name;
    if (given) return defaults_.emplace(name, *given).first->second;
    const auto it = defaults_.find(name);
    return it == defaults_.end() ? std::string() : it->second;
  }

  // The first of them, up to the `}`.
  std::optional<std::string> choice() {
    std::string first;
    for (bool is_first = true; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == '|') {
        ++at_;
        return first;
      }
      if (c == ',') {
        is_first = false;
        continue;
      }
      if (c == '\\' && at_ + 1 < text_.size()) c = text_[++at_];
      if (is_first) first += c;
    }
    return first;
  }

  // Steps over `regex/format/options`.
  [[nodiscard]] bool transform() {
    for (int slashes = 0; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
      } else if (text_[at_] == '$' && at_ + 1 < text_.size() && text_[at_ + 1] == '{') {
        while (at_ < text_.size() && text_[at_] != '}') ++at_;
      } else if (text_[at_] == '/') {
        ++slashes;
      } else if (text_[at_] == '}' && slashes >= 2) {
        return true;
      }
    }
    return false;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::map<std::string, std::string> defaults_;
  std::set<std::size_t> failed_;
};

}  // namespace

std::string plain_snippet(std::string_view snippet) { return Expansion(snippet).run(); }

}  // namespace gantry::lsp
