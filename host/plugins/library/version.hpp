// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library/version.hpp: versions of plugins, and ranges of versions that other plugins
// demand.
//
// A version is one to three numbers, `1.2.3`; missing numbers are 0, and text after a `-` or `+` is
// ignored. A range consists of comparators with spaces between them, all of which must hold:
// `>=1.2`, `>1`, `<2`, `<=2.1`, `=1.2.3`, and `^1.2`: 1.2 or later, below the next version that may
// be incompatible (2.0; for 0.3 it is 0.4). `*` and the empty range accept every version.
//
// Thread rule: values; pure functions.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <gantry/result.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

struct Version {
  std::array<std::uint32_t, 3> parts{};
  auto operator<=>(const Version&) const = default;
};

[[nodiscard]] Result<Version> parse_version(std::string_view text);

class VersionRange {
 public:
  static constexpr std::size_t kMaxComparators = 8;

  [[nodiscard]] static Result<VersionRange> parse(std::string_view text);
  [[nodiscard]] bool holds(const Version& version) const;
  /// The text of the range; `*` for the empty one.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  struct Comparator {
    enum What : std::uint8_t { at_least, above, below, at_most, equal } what;
    Version version;
  };
  std::string text_ = "*";
  std::vector<Comparator> all_;
};

}  // namespace gantry::host
