// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"
#include "host/observe/printable.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host {

namespace {

constexpr std::uint32_t kWindow = 64;

void print(const json& value, bool as_json) {
  const bool for_people = !as_json && ::isatty(STDOUT_FILENO) == 1;
  const std::string text = for_people ? value.dump(2, ' ', false, json::error_handler_t::replace) : dump_json(value);
  std::printf("%s\n", text.c_str());
  if (!output_is_written()) std::exit(1);
}

[[nodiscard]] Result<nlohmann::ordered_json> parse_in_order(const std::string& text) {
  if (auto doc = parse_json(text); !doc) return std::unexpected(doc.error());
  return nlohmann::ordered_json::parse(text);
}

/// What `-` stands for.
[[nodiscard]] Result<std::string> read_input() {
  constexpr std::size_t kMost = std::size_t{64} << 20;
  std::string text;
  std::array<char, 65536> buffer{};
  while (text.size() <= kMost) {
    const auto got = std::fread(buffer.data(), 1, buffer.size(), stdin);
    if (got == 0) break;
    text.append(buffer.data(), got);
  }
  if (std::ferror(stdin) != 0) return fail(ErrorKind::invalid_params, "the input cannot be read");
  if (text.size() > kMost) return fail(ErrorKind::too_large, "the input is larger than 64 MiB");
  text.erase(0, text.find_first_not_of(" \t\r\n"));
  return text;
}

/// Refused before it was begun: the host that comes after this one may be asked.
[[nodiscard]] bool is_stopping(const Error& error) {
  const auto data = parse_json(error.data);
  return error.kind == ErrorKind::unavailable && data && data->is_object() &&
         data->value("reason", json()) == "stopping";
}

}  // namespace

bool output_is_written() {
  if (std::ferror(stdout) != 0) {
    // When a buffer was full before: nobody has kept the reason.
    std::fprintf(stderr, "gantry: the output cannot be written\n");
    return false;
  }
  if (std::fflush(stdout) == 0) return true;
  if (errno != EPIPE)
    std::fprintf(stderr, "gantry: the output cannot be written: %s\n", std::system_category().message(errno).c_str());
  return false;
}

std::string shown(std::string_view text) {
  constexpr std::size_t kMaxLine = 4096;
  return printable_lines(text, kMaxLine);
}

json shown(json value) {
  if (value.is_string()) return shown(std::string_view(value.get_ref<const std::string&>()));
  for (auto& element : value) {
    if (value.is_structured()) element = shown(std::move(element));
  }
  return value;
}

int complain(const Error& error) {
  std::fprintf(stderr, "gantry: %s\n", shown(std::string_view(error.message)).c_str());
  return 1;
}

Result<void> check_utf8(const std::vector<std::string>& words) {
  for (const auto& word : words) {
    if (!is_utf8(word))
      return fail(ErrorKind::invalid_params,
                  "\"" + shown(std::string_view(word)) + "\" is no UTF-8; give it in UTF-8, or rename what it names");
  }
  return {};
}

Result<nlohmann::ordered_json> parse_params(const std::vector<std::string>& words) {
  using nlohmann::ordered_json;
  if (auto ok = check_utf8(words); !ok) return std::unexpected(ok.error());
  if (words.empty()) return ordered_json::object();
  if (words.size() == 1 && !words[0].empty() && (words[0][0] == '{' || words[0][0] == '[')) {
    auto doc = parse_in_order(words[0]);
    if (doc && !doc->is_object())
      return fail(ErrorKind::invalid_params, "params must be one JSON object, not an array");
    return doc;
  }
  ordered_json params = ordered_json::object();
  for (const auto& word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(ErrorKind::invalid_params, "\"" + word + "\" is neither a JSON object nor key=text nor key:=json");
    const bool is_json = word[equals - 1] == ':';
    const std::string key = word.substr(0, equals - (is_json ? 1 : 0));
    if (!is_json) {
      params[key] = word.substr(equals + 1);
      continue;
    }
    auto value = parse_in_order(word.substr(equals + 1));
    if (!value) return fail(ErrorKind::invalid_params, key + ": " + value.error().message);
    params[key] = std::move(*value);
  }
  return params;
}

int call(const Common& common, const CallArgs& given) {
  CallArgs args = given;
  if (args.params == std::vector<std::string>{"-"}) {
    auto input = read_input();
    if (!input) return report_error(input.error(), args);
    args.params = {std::move(*input)};
  }
  auto params = parse_params(args.params);
  if (!params) return report_error(params.error(), args);
  if (auto ok = check_utf8({args.method}); !ok) return report_error(ok.error(), args);
  if (params->contains("_meta") && !(*params)["_meta"].is_object())
    return report_error(Error{ErrorKind::invalid_params, "_meta must be an object", {}}, args);
  auto options = connect_options(common, "gantry call");
  if (args.timeout_seconds)
    options.timeout =
        std::min(options.timeout, std::chrono::milliseconds(static_cast<std::int64_t>(*args.timeout_seconds * 1000)));
  auto timeout = std::chrono::milliseconds(-1);
  if (args.timeout_seconds) {
    const auto ms = static_cast<std::int64_t>(*args.timeout_seconds * 1000);
    (*params)["_meta"]["timeout_ms"] = ms;
    timeout = std::chrono::milliseconds(ms + 2000);  // the host's own answer comes first
  }
  if (args.stream) (*params)["_meta"]["stream"] = {{"credit", kWindow}};
  Client* client = nullptr;
  const auto on_notification = [&](const std::string& method, const json& p) {
    if (method == "$/stream" && p.contains("item")) {
      print(p["item"], args.as_json);
      (void)client->notify("$/credit", {{"id", p["id"]}, {"n", 1}});
    } else if (method == "$/progress" && p.contains("message") && p["message"].is_string()) {
      std::string text = p["message"];
      if (const auto percentage = p.find("percentage"); percentage != p.end() && percentage->is_number())
        text += (text.empty() ? "" : ", ") + std::to_string(static_cast<int>(percentage->get<double>())) + " %";
      std::fprintf(stderr, "%s\n", shown(std::string_view(text)).c_str());
    }
  };
  const std::string text = params->dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  constexpr int kHosts = 3;
  for (int i = 1;; ++i) {
    auto connected = connect_or_start(options);
    if (!connected) return report_error(connected.error(), args);
    client = &connected->client;
    const auto result = client->call_with_text(args.method, text, timeout, on_notification);
    if (!result && i < kHosts && is_stopping(result.error())) continue;
    if (!result) return report_error(result.error(), args, connected->notes);
    print_notes(connected->notes);
    print(*result, args.as_json);
    return 0;
  }
}

}  // namespace gantry::host
