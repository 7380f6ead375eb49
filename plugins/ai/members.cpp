// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/members.hpp"

#include <cstddef>
#include <gantry/json.hpp>
#include <unordered_map>
#include <utility>

#include "plugins/ai/provider_words.hpp"

namespace gantry::ai {

namespace {

// Where the string ends whose opening quote is at `at`.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

// Where the value ends that begins at `at`: before the comma or the bracket behind it.
std::size_t end_of_value(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = end_of_string(text, at);
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}')) break;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    ++at;
  }
  return at;
}

}  // namespace

std::vector<Member> members_of(std::string_view object) {
  std::vector<Member> members;
  std::unordered_map<std::string, std::size_t> places;
  std::size_t at = object.find('"');
  while (at != std::string_view::npos && at < object.size()) {
    const std::size_t name_end = end_of_string(object, at);
    auto name = json::parse(object.substr(at, name_end - at)).get<std::string>();
    const std::size_t value = object.find(':', name_end) + 1;
    const std::size_t end = end_of_value(object, value);
    std::string text(trimmed(object.substr(value, end - value)));
    const auto [place, fresh] = places.emplace(name, members.size());
    if (fresh) members.push_back(Member{std::move(name), {}});
    members[place->second].text = std::move(text);
    at = object.find('"', end);
  }
  return members;
}

}  // namespace gantry::ai
