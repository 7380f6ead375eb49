// SPDX-License-Identifier: Apache-2.0
//
// One value against its row in the table of keys.
#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <cmath>
#include <filesystem>
#include <host/config/check.hpp>
#include <host/observe/printable.hpp>

namespace gantry::host {
namespace {

using Checked = std::expected<json, TomlError>;

constexpr std::size_t kMaxShown = 60;

std::string shown(const TomlNode& node) {
  switch (node.kind) {
    case TomlKind::text:
      return "the string " + toml_value(printable(node.scalar.get_ref<const std::string&>(), kMaxShown));
    case TomlKind::integer:
    case TomlKind::boolean:
      return node.scalar.dump();
    case TomlKind::real:
      return std::isfinite(node.scalar.get<double>()) ? node.scalar.dump() : "a number that is not finite";
    case TomlKind::moment:
      return "the date or time " + node.scalar.get<std::string>();
    case TomlKind::array:
      return "an array";
    case TomlKind::table:
      return "a table";
  }
  return "";
}

std::unexpected<TomlError> refuse(const TomlNode& node, std::string message) {
  return std::unexpected(TomlError{node.place, std::move(message)});
}

std::unexpected<TomlError> expected_here(const Key& key, const TomlNode& node) {
  // A string in the place of a variable's name may well be the secret itself.
  const bool secret = key.type == KeyType::env_name && node.kind == TomlKind::text;
  return refuse(node, "must be " + expected_value(key) + (secret ? "; it is not shown here" : ", not " + shown(node)));
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

Checked check_text(const Key& key, const TomlNode& node) {
  if (node.kind != TomlKind::text) return expected_here(key, node);
  const auto& text = node.scalar.get_ref<const std::string&>();
  if (text.empty()) return refuse(node, "must be " + expected_value(key) + ", not empty");
  if (text.size() > kMaxTextBytes) {
    return refuse(
        node, "must be at most " + std::to_string(kMaxTextBytes) + " bytes long, not " + std::to_string(text.size()));
  }
  if (has_control(text)) return refuse(node, "must not contain control characters");
  return node.scalar;
}

Checked from_home(const TomlNode& node, const std::string& text, const EnvLookup& env) {
  const auto home = env("HOME");
  if (!home || !home->starts_with('/')) {
    return refuse(node, "begins with ~, but HOME names no folder; write the whole path");
  }
  return *home + text.substr(1);
}

Checked check_path(const Key& key, const TomlNode& node, const EnvLookup& env) {
  auto checked = check_text(key, node);
  if (!checked) return checked;
  const auto& text = node.scalar.get_ref<const std::string&>();
  if (text.starts_with('/')) return checked;
  if (text != "~" && !text.starts_with("~/")) return expected_here(key, node);
  return from_home(node, text, env);
}

Checked check_url(const Key& key, const TomlNode& node) {
  auto checked = check_text(key, node);
  if (!checked) return checked;
  const auto url = boost::urls::parse_uri(node.scalar.get_ref<const std::string&>());
  if (!url) return refuse(node, "is no URL as RFC 3986 has them; a space or a % must be written as %20 or %25");
  const bool http = url->scheme_id() == boost::urls::scheme::http || url->scheme_id() == boost::urls::scheme::https;
  if (!http || !url->has_authority()) return expected_here(key, node);
  // Such an address could carry a secret into a log line.
  if (url->has_userinfo() || url->has_query() || url->has_fragment()) {
    return refuse(node, "must not have a user, a query or a fragment; a key has a place of its own (api_key_env)");
  }
  if (url->host().empty()) return refuse(node, "names no host");
  if (url->has_port() && url->port_number() == 0) return refuse(node, "names no port from 1 to 65535");
  return checked;
}

Checked check_env_name(const Key& key, const TomlNode& node) {
  auto checked = check_text(key, node);
  if (!checked) return checked;
  const auto& text = node.scalar.get_ref<const std::string&>();
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  const bool digit_first = text.front() >= '0' && text.front() <= '9';
  if (digit_first || !std::all_of(text.begin(), text.end(), fits)) return expected_here(key, node);
  return checked;
}

Checked check_integer(const Key& key, const TomlNode& node) {
  if (node.kind != TomlKind::integer) return expected_here(key, node);
  const auto value = node.scalar.get<std::int64_t>();
  if (value < key.min || value > key.max) return expected_here(key, node);
  return node.scalar;
}

Checked check_choice(const Key& key, const TomlNode& node) {
  if (node.kind != TomlKind::text) return expected_here(key, node);
  const std::string_view text = node.scalar.get_ref<const std::string&>();
  if (std::find(key.not_built.begin(), key.not_built.end(), text) != key.not_built.end()) {
    return refuse(node, ": " + toml_value(std::string(text)) + " is not built yet; use " + expected_value(key));
  }
  if (std::find(key.choices.begin(), key.choices.end(), text) == key.choices.end()) return expected_here(key, node);
  return node.scalar;
}

template <class Check>
Checked check_items(const Key& key, const TomlNode& node, Check check) {
  if (node.kind != TomlKind::array) return expected_here(key, node);
  if (node.items.size() > kMaxItems) {
    return refuse(
        node, "must have at most " + std::to_string(kMaxItems) + " entries, not " + std::to_string(node.items.size()));
  }
  json out = json::array();
  for (const auto& item : node.items) {
    if (item.kind != TomlKind::text) {
      return refuse(item, "must be " + expected_value(key) + "; this entry is " + shown(item));
    }
    auto checked = check(item);
    if (!checked) {
      checked.error().message = "has a bad entry, which " + checked.error().message;
      return checked;
    }
    out.push_back(std::move(*checked));
  }
  return out;
}

Checked split_command(const Key& key, const TomlNode& node) {
  const auto checked = check_text(key, node);
  if (!checked) return checked;
  const std::string_view text = node.scalar.get_ref<const std::string&>();
  if (text.find_first_of("\"'\\`$|&;<>") != std::string_view::npos) {
    return refuse(node,
                  "is run without a shell, so quotes and shell signs mean nothing in it; write an array of strings");
  }
  json words = json::array();
  for (std::size_t at = text.find_first_not_of(' '); at < text.size(); at = text.find_first_not_of(' ', at)) {
    const auto end = std::min(text.find(' ', at), text.size());
    words.push_back(std::string(text.substr(at, end - at)));
    at = end;
  }
  if (words.empty()) return refuse(node, "must name a program, not be empty");
  return words;
}

Checked check_words(const Key& key, const TomlNode& node) {
  if (node.kind == TomlKind::text) return split_command(key, node);
  // An argument, unlike the program, may be empty or have a newline in it.
  const auto check = [&](const TomlNode& item) -> Checked {
    const auto& text = item.scalar.get_ref<const std::string&>();
    if (&item == &node.items.front() || text.size() > kMaxTextBytes) return check_text(key, item);
    if (text.find('\0') != std::string::npos) return refuse(item, "must not contain a zero byte");
    return item.scalar;
  };
  auto checked = check_items(key, node, check);
  if (checked && checked->empty()) return refuse(node, "must name a program, not be empty");
  return checked;
}

// A word without a slash is looked for on PATH.
Checked check_command(const Key& key, const TomlNode& node, const EnvLookup& env, const std::string& folder) {
  auto words = check_words(key, node);
  if (!words) return words;
  json& program = words->front();
  const auto& text = program.get_ref<const std::string&>();
  if (text.starts_with('/') || text.find('/') == std::string::npos) return words;
  const TomlNode& place = node.kind == TomlKind::array ? node.items.front() : node;
  if (text.starts_with("~/")) {
    auto whole = from_home(place, text, env);
    if (!whole) return whole;
    program = std::move(*whole);
  } else if (!folder.empty()) {
    program = (std::filesystem::path(folder) / text).lexically_normal().string();
  } else {
    return refuse(place, "names the program " + toml_value(printable(text, kMaxShown)) +
                             " by a path from no folder; write the whole path, from / or ~/, or a program on PATH");
  }
  return words;
}

}  // namespace

Checked free_value(const TomlNode& node) {
  switch (node.kind) {
    case TomlKind::array: {
      json out = json::array();
      for (const auto& item : node.items) {
        auto value = free_value(item);
        if (!value) return value;
        out.push_back(std::move(*value));
      }
      return out;
    }
    case TomlKind::table: {
      json out = json::object();
      for (const auto& member : node.members) {
        auto value = free_value(member.node);
        if (!value) return value;
        out[member.name] = std::move(*value);
      }
      return out;
    }
    case TomlKind::real:
      if (!std::isfinite(node.scalar.get<double>())) return refuse(node, "must not contain inf or nan");
      return node.scalar;
    default:
      return node.scalar;
  }
}

Checked checked_value(const Key& key, const TomlNode& node, const EnvLookup& env, const std::string& folder) {
  switch (key.type) {
    case KeyType::boolean:
      if (node.kind != TomlKind::boolean) return expected_here(key, node);
      return node.scalar;
    case KeyType::integer:
      return check_integer(key, node);
    case KeyType::text:
      return check_text(key, node);
    case KeyType::choice:
      return check_choice(key, node);
    case KeyType::path:
      return check_path(key, node, env);
    case KeyType::url:
      return check_url(key, node);
    case KeyType::env_name:
      return check_env_name(key, node);
    case KeyType::texts:
      return check_items(key, node, [&](const TomlNode& item) { return check_text(key, item); });
    case KeyType::paths:
      return check_items(key, node, [&](const TomlNode& item) { return check_path(key, item, env); });
    case KeyType::command:
      return check_command(key, node, env, folder);
    case KeyType::table:
      if (node.kind != TomlKind::table) return expected_here(key, node);
      return free_value(node);
  }
  return node.scalar;
}

}  // namespace gantry::host
