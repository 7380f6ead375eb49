// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/protocol.hpp"

#include <algorithm>
#include <gantry/version.hpp>

#include "host/runtime/json_text.hpp"

namespace gantry::host::mcp {

const Revision& negotiated(std::string_view asked) {
  const auto found = std::ranges::find(kLegacy, asked, &Revision::name);
  return found == kLegacy.end() ? kLegacy.front() : *found;
}

Failure failure_of(const Error& error) {
  Failure failure{code::kInternal, error.message, {{"kind", kind_name(error.kind)}}};
  if (error.kind == ErrorKind::invalid_params) failure.code = code::kInvalidParams;
  if (auto data = parse_json(error.data); data && data->is_object()) {
    data->update(failure.data);
    failure.data = std::move(*data);
  }
  return failure;
}

std::optional<int> log_level(std::string_view name) {
  constexpr std::array<std::string_view, 8> kLevels{"debug", "info",     "notice", "warning",
                                                    "error", "critical", "alert",  "emergency"};
  const auto found = std::ranges::find(kLevels, name);
  if (found == kLevels.end()) return std::nullopt;
  return static_cast<int>(found - kLevels.begin());
}

std::string result_text(std::string_view id, std::string_view result) {
  std::string text = R"({"jsonrpc":"2.0","id":)";
  text.reserve(text.size() + id.size() + result.size() + 16);
  text += id;
  text += R"(,"result":)";
  text += result;
  text += '}';
  return text;
}

std::string error_text(std::string_view id, const Failure& failure) {
  json error{{"code", failure.code}, {"message", failure.message}};
  if (!failure.data.is_null()) error["data"] = failure.data;
  std::string text = R"({"jsonrpc":"2.0",)";
  if (!id.empty()) (text += R"("id":)").append(id) += ',';
  return text + R"("error":)" + dump_json(error) + "}";
}

std::string request_text(std::string_view id, std::string_view method, const json& params) {
  std::string text = R"({"jsonrpc":"2.0","id":)";
  return text.append(id) + R"(,"method":)" + quote_json(method) + R"(,"params":)" + dump_json(params) + "}";
}

std::string notification_text(std::string_view method, const json& params) {
  std::string text = R"({"jsonrpc":"2.0","method":)" + quote_json(method);
  if (!params.empty()) text += R"(,"params":)" + dump_json(params);
  return text + "}";
}

std::string text_member(const json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

json server_info(const Revision& revision) {
  json info{{"name", "gantry"}, {"version", kVersion}};
  if (revision.structured) info["title"] = "Gantry";
  return info;
}

json server_capabilities(const Revision& revision) {
  json out{{"tools", {{"listChanged", true}}},
           {"resources", {{"listChanged", true}, {"subscribe", true}}},
           {"prompts", {{"listChanged", true}}},
           {"logging", json::object()}};
  if (revision.annotations) out["completions"] = json::object();
  return out;
}

}  // namespace gantry::host::mcp
