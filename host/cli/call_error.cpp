// SPDX-License-Identifier: Apache-2.0
//
// How `gantry call` says what went wrong: to programs as one line of JSON, to people in lines of their own.
#include <unistd.h>

#include <cctype>
#include <cstdio>

#include "host/cli/commands.hpp"
#include "host/observe/printable.hpp"

namespace gantry::host {

namespace {

constexpr std::size_t kMaxShown = 2000;

[[nodiscard]] bool is_part_of_a_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// Is `word` said in `text`, and not as a part of a longer one?
[[nodiscard]] bool mentions(std::string_view text, std::string_view word) {
  for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const auto end = at + word.size();
    if ((at == 0 || !is_part_of_a_name(text[at - 1])) && (end == text.size() || !is_part_of_a_name(text[end])))
      return true;
  }
  return false;
}

/// key=3 says "3"; who meant the number says key:=3.
[[nodiscard]] std::string hint_of_text(const std::string& message, const std::vector<std::string>& params) {
  for (const auto& word : params) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0 || word[equals - 1] == ':') continue;
    const std::string key = word.substr(0, equals);
    const auto value = parse_json(std::string_view(word).substr(equals + 1));
    if (value && !value->is_string() && mentions(message, key))
      return key + "=... passes text; did you mean " + key + ":=" + word.substr(equals + 1) + "?";
  }
  return {};
}

[[nodiscard]] std::string as_text(const json& value) {
  if (!value.is_array()) return value.is_string() ? value.get<std::string>() : dump_json(value);
  std::string out;
  for (const auto& one : value) out += (out.empty() ? "" : ", ") + as_text(one);
  return out;
}

void print_for_people(const Error& error, const json& data, const std::vector<std::string>& notes) {
  const std::string head = "gantry: " + std::string(kind_name(error.kind)) + ": " + error.message;
  std::fprintf(stderr, "%s\n", printable_lines(head, kMaxShown).c_str());
  for (const auto& [name, value] : data.items())
    std::fprintf(stderr, "  %s: %s\n", printable(name, kMaxShown).c_str(),
                 printable(as_text(value), kMaxShown).c_str());
  for (const auto& note : notes) std::fprintf(stderr, "  note: %s\n", printable(note, kMaxShown).c_str());
}

}  // namespace

std::string hint_of(const Error& error, const CallArgs& args) {
  if (error.kind != ErrorKind::invalid_params && error.kind != ErrorKind::invalid_request) return {};
  const auto says = [&](const char* what) { return error.message.find(what) != std::string::npos; };
  if (!args.stream && (says("as a stream") || says("is a stream"))) return "open it with --stream";
  if (args.stream && says("is no stream")) return "leave out --stream";
  return error.kind == ErrorKind::invalid_params ? hint_of_text(error.message, args.params) : "";
}

int report_error(const Error& error, const CallArgs& args, const std::vector<std::string>& notes) {
  json data = json::object();
  if (!error.data.empty()) {
    if (auto doc = parse_json(error.data); doc && doc->is_object()) data = std::move(*doc);
  }
  if (auto hint = hint_of(error, args); !hint.empty()) data["hint"] = std::move(hint);
  if (!args.as_json && ::isatty(STDOUT_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1) {
    data.erase("kind");
    print_for_people(error, data, notes);
    return 1;
  }
  data["kind"] = kind_name(error.kind);
  if (!notes.empty()) data["notes"] = notes;
  std::fprintf(
      stderr, "%s\n",
      dump_json({{"code", static_cast<std::int32_t>(error.kind)}, {"message", error.message}, {"data", data}}).c_str());
  return 1;
}

}  // namespace gantry::host
