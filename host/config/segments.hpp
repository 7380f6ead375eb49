// SPDX-License-Identifier: Apache-2.0
//
// host/config/segments.hpp: dotted names and their patterns: `*` matches one segment, `**` any
// number, also none.
//
// Thread rule: values; pure functions.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace gantry::host {

/// The segments of a dotted text, one after the other. An empty text has none.
class Segments {
 public:
  explicit Segments(std::string_view text) : rest_(text), over_(text.empty()) { cut(); }
  [[nodiscard]] bool at_end() const { return over_; }
  [[nodiscard]] std::string_view front() const { return rest_.substr(0, size_); }
  void next() {
    over_ = size_ == rest_.size();
    if (!over_) rest_.remove_prefix(size_ + 1);
    cut();
  }

 private:
  void cut() { size_ = std::min(rest_.find('.'), rest_.size()); }
  std::string_view rest_;
  std::size_t size_ = 0;
  bool over_;
};

/// `fits` compares a segment of the pattern, except `**`, with a segment of the name. It is called
/// at most once for each pair, so the time is linear in the name for any given pattern: when the
/// rest after a `**` does not fit, that `**` takes one segment more, and no earlier `**` ever has
/// to.
template <class Fits>
[[nodiscard]] bool segments_match(std::string_view pattern, std::string_view name, Fits fits) {
  Segments want(pattern);
  Segments have(name);
  std::optional<std::pair<Segments, Segments>> again;  // the pattern and the name behind the last `**`
  while (true) {
    if (!want.at_end() && want.front() == "**") {
      want.next();
      if (want.at_end()) return true;
      again.emplace(want, have);
    } else if (want.at_end() && have.at_end()) {
      return true;
    } else if (!want.at_end() && !have.at_end() && fits(want.front(), have.front())) {
      want.next();
      have.next();
    } else {
      if (!again || again->second.at_end()) return false;
      again->second.next();
      want = again->first;
      have = again->second;
    }
  }
}

}  // namespace gantry::host
