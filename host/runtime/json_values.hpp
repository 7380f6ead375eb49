// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/json_values.hpp: walks the values of an object or array in the order of its text,
// which must be valid JSON: each value is the bytes that stand there, and nothing is rebuilt.
//
// Thread rule: a walk by one thread; views point into the text.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace gantry::host {

class JsonValues {
 public:
  struct Member {
    std::string_view name;  ///< as it stands between the quotes, escapes included
    std::string_view value;
  };

  explicit JsonValues(std::string_view container) : at_(container.data()) {
    skip_space();
    ++at_;  // past the bracket
  }
  /// True: there is no further value.
  [[nodiscard]] bool at_end() {
    skip_space();
    return *at_ == ']' || *at_ == '}';
  }
  /// The bytes of an array's next element. There must be one.
  [[nodiscard]] std::string_view next() {
    skip_space();
    const char* const begin = at_;
    at_ = end_of_value(at_);
    return {begin, static_cast<std::size_t>(at_ - begin)};
  }
  /// An object's next member. There must be one.
  [[nodiscard]] Member next_member() {
    skip_space();
    const char* const name = at_ + 1;
    at_ = end_of_string(at_);
    const std::string_view key(name, static_cast<std::size_t>(at_ - name) - 1);
    return {key, next()};  // which skips the colon
  }

 private:
  enum : std::uint8_t { kSeparates = 1, kEndsScalar = 2 };
  static constexpr std::array<std::uint8_t, 256> kClasses = [] {
    std::array<std::uint8_t, 256> classes{};
    for (const char c : {' ', '\t', '\n', '\r', ','}) classes[static_cast<unsigned char>(c)] = kSeparates | kEndsScalar;
    classes[':'] = kSeparates;
    classes[']'] = classes['}'] = kEndsScalar;
    return classes;
  }();
  [[nodiscard]] static bool is(char c, std::uint8_t wanted) {
    return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0;
  }
  void skip_space() {
    while (is(*at_, kSeparates)) ++at_;
  }
  [[nodiscard]] static const char* end_of_string(const char* at) {
    while (true) {
      at = static_cast<const char*>(::rawmemchr(at + 1, '"'));
      const char* before = at;
      while (before[-1] == '\\') --before;
      if ((at - before) % 2 == 0) return at + 1;
    }
  }
  [[nodiscard]] static const char* end_of_value(const char* at) {
    if (*at == '"') return end_of_string(at);
    if (*at != '{' && *at != '[') {
      while (!is(*at, kEndsScalar)) ++at;
      return at;
    }
    for (std::size_t depth = 0;;) {
      if (*at == '"') {
        at = end_of_string(at);
        continue;
      }
      if (*at == '{' || *at == '[') ++depth;
      if (*at == '}' || *at == ']') --depth;
      ++at;
      if (depth == 0) return at;
    }
  }
  const char* at_;
};

}  // namespace gantry::host
