// SPDX-License-Identifier: Apache-2.0
//
// Keys in words, for people.
#include <algorithm>
#include <host/config/keys.hpp>
#include <host/config/toml.hpp>

namespace gantry::host {
namespace {

using enum KeyType;

std::string choice_of(const Key& key) {
  std::vector<std::string> names;
  for (const auto name : key.choices) {
    const bool built = std::find(key.not_built.begin(), key.not_built.end(), name) == key.not_built.end();
    if (built) names.push_back(toml_value(std::string(name)));
  }
  std::string out = names.size() > 2 ? "one of " + names.front() : names.front();
  for (std::size_t i = 1; i < names.size(); ++i) out += (names.size() == 2 ? " or " : ", ") + names[i];
  return out;
}

}  // namespace

std::string Section::table(std::string_view name) const {
  if (!named()) return std::string(path);
  return std::string(path.substr(0, path.size() - 1)) + toml_key(name);
}

std::string_view project_note(ProjectUse use) {
  switch (use) {
    case ProjectUse::never:
      return "";
    case ProjectUse::trusted:
      return "a project may set it once it is trusted";
    case ProjectUse::safe_if_known:
      return "a project may set it: for clangd, for others once it is trusted";
    case ProjectUse::safe:
      return "a project may set it";
  }
  return "";
}

std::string expected_value(const Key& key) {
  switch (key.type) {
    case boolean:
      return "true or false";
    case integer:
      return "an integer from " + std::to_string(key.min) + " to " + std::to_string(key.max);
    case text:
      return "a string that is not empty";
    case choice:
      return choice_of(key);
    case path:
      return "an absolute path, or one that begins with ~/";
    case url:
      return "a URL that begins with http:// or https://";
    case env_name:
      return "the name of an environment variable: letters, digits and _";
    case texts:
      return "an array of strings";
    case paths:
      return "an array of absolute paths, or of such that begin with ~/";
    case command:
      return "a program and its arguments: an array of strings, or one string that is split at spaces";
    case table:
      return "a table";
  }
  return "";
}

}  // namespace gantry::host
