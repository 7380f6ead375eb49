// SPDX-License-Identifier: Apache-2.0
//
// embedded/wildmatch.hpp: matches one pattern of gitignore(5) with wildcards as git does, in linear
// time.
//
//   *      any bytes but /                   ?   one byte but /
//   [...]  one byte of a set, never /        \c  c itself
//   **     as a whole component: any folders, none included; at the end: all that is inside
//
// A pattern is a chain of steps. All places in the chain that the bytes so far may lead to are
// followed at once, so that no pattern backtracks: the cost for each byte of the path is at most
// the length of the pattern.
//
// Thread rule: immutable after construction.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

namespace gantry::ai {

class Wildmatch {
 public:
  /// `in_path`: the pattern is matched against a path; else against one name, which contains no /.
  /// `fold`: the case of ASCII letters is ignored.
  Wildmatch(std::string_view pattern, bool in_path, bool fold);

  [[nodiscard]] bool matches(std::string_view text) const;

 private:
  enum class Kind : std::uint8_t { literal, any, set, star, enter, folders, all, never };
  using Set = std::bitset<256>;
  struct Step {
    Kind kind;
    unsigned char byte = 0;  // for a literal
    std::uint32_t set = 0;   // for a set
  };
  void add_stars(std::string_view pattern, std::size_t& at);
  void add_set(std::string_view pattern, std::size_t& at);
  /// Adds the places that are reachable without a byte.
  void pass(std::vector<bool>& places) const;
  [[nodiscard]] bool takes(const Step& step, unsigned char byte) const;

  bool in_path_;
  bool fold_;
  std::vector<Step> steps_;
  std::vector<Set> sets_;
};

}  // namespace gantry::ai
