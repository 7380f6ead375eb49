// SPDX-License-Identifier: Apache-2.0
//
// told_languages.hpp: the languages of a session's documents. Each is published once, as
// lsp.language.ID, because plugins may start by it (`on_language:ID`).
//
// Thread rule: one thread at a time.
// Bounds: kMaxLanguages of kMaxName bytes; languages beyond that, or with a name that no topic may
// have, are not published.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <set>
#include <string>
#include <utility>

namespace gantry::lsp {

class ToldLanguages {
 public:
  static constexpr std::size_t kMaxName = 64;
  static constexpr std::size_t kMaxLanguages = 256;

  /// True: the language is to be published now.
  [[nodiscard]] bool add(const std::string& language) {
    const auto is_word = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
    };
    if (language.empty() || language.size() > kMaxName || !std::ranges::all_of(language, is_word)) return false;
    return told_.size() < kMaxLanguages && told_.insert(language).second;
  }
  [[nodiscard]] const std::set<std::string>& all() const { return told_; }
  void restore(std::set<std::string> told) { told_ = std::move(told); }

 private:
  std::set<std::string> told_;
};

}  // namespace gantry::lsp
