// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/library/version.hpp"

#include <charconv>

namespace gantry::host {

Result<Version> parse_version(std::string_view text) {
  const auto wrong = [&] {
    return fail(ErrorKind::invalid_params,
                "\"" + std::string(text.substr(0, 64)) + "\" is no version; write one to three numbers, as 1.2.3");
  };
  std::string_view rest = text.substr(0, text.find_first_of("-+"));
  Version version;
  for (std::size_t i = 0; i < version.parts.size(); ++i) {
    const auto* const end = rest.data() + rest.size();
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): `end` bounds it
    const auto [after, failed] = std::from_chars(rest.data(), end, version.parts[i]);
    if (failed != std::errc()) return wrong();
    rest = std::string_view(after, end);
    if (rest.empty()) return version;
    if (rest.front() != '.') return wrong();
    rest.remove_prefix(1);
  }
  return wrong();
}

namespace {

// The first version that may break what relies on `from`: the leftmost number that is not 0 is one more.
[[nodiscard]] Version next_breaking(const Version& from) {
  Version next;
  for (std::size_t i = 0; i < next.parts.size(); ++i) {
    if (from.parts[i] == 0 && i + 1 < next.parts.size()) continue;
    next.parts[i] = from.parts[i] + 1;
    break;
  }
  return next;
}

}  // namespace

Result<VersionRange> VersionRange::parse(std::string_view text) {
  VersionRange range;
  std::string_view rest = text;
  while (true) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    if (rest.empty()) break;
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(word.size());
    if (word == "*") continue;
    const auto sign_size = std::min(word.find_first_of("0123456789"), word.size());
    const std::string_view sign = word.substr(0, sign_size);
    auto version = parse_version(word.substr(sign_size));
    if (!version) return std::unexpected(version.error());
    if (sign == "^") {
      range.all_.push_back({Comparator::at_least, *version});
      range.all_.push_back({Comparator::below, next_breaking(*version)});
    } else if (sign == ">=" || sign == ">" || sign == "<" || sign == "<=" || sign == "=") {
      range.all_.push_back({sign == ">="  ? Comparator::at_least
                            : sign == ">" ? Comparator::above
                            : sign == "<" ? Comparator::below
                            : sign == "=" ? Comparator::equal
                                          : Comparator::at_most,
                            *version});
    } else {
      return fail(ErrorKind::invalid_params, "\"" + std::string(word.substr(0, 64)) +
                                                 "\" is no comparator; write >=1.2, >1, <2, <=2.1, =1.2.3 or ^1.2");
    }
    if (range.all_.size() > kMaxComparators)
      return fail(ErrorKind::invalid_params, "a version range has at most 8 comparators");
  }
  if (!range.all_.empty()) range.text_ = text;
  return range;
}

bool VersionRange::holds(const Version& version) const {
  for (const auto& c : all_) {
    const bool ok = c.what == Comparator::at_least  ? version >= c.version
                    : c.what == Comparator::above   ? version > c.version
                    : c.what == Comparator::below   ? version < c.version
                    : c.what == Comparator::at_most ? version <= c.version
                                                    : version == c.version;
    if (!ok) return false;
  }
  return true;
}

}  // namespace gantry::host
