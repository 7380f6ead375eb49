// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/questions.hpp"

#include <utility>

#include "host/protocols/mcp/protocol.hpp"

namespace gantry::host::mcp {

namespace {

[[nodiscard]] bool has(const json& capabilities, const char* name) {
  return capabilities.is_object() && capabilities.contains(name) && capabilities.at(name).is_object();
}

}  // namespace

Result<std::optional<json>> lacking(const json& question, const json& capabilities) {
  const std::string method = text_member(question, "method");
  const json params = question.is_object() ? question.value("params", json::object()) : json();
  if (!params.is_object()) return fail(ErrorKind::invalid_params, "a question must be {method, params}");
  if (method == "roots/list") {
    if (!has(capabilities, "roots")) return json{{"roots", json::object()}};
    return std::nullopt;
  }
  if (method == "sampling/createMessage") {
    if (!has(capabilities, "sampling")) return json{{"sampling", json::object()}};
    if (params.contains("tools") && !has(capabilities["sampling"], "tools"))
      return json{{"sampling", {{"tools", json::object()}}}};
    return std::nullopt;
  }
  if (method != "elicitation/create")
    return fail(ErrorKind::invalid_params, "\"" + method + "\" is nothing that a client is asked");
  const bool by_url = params.value("mode", json("form")) == "url";
  if (!has(capabilities, "elicitation"))
    return json{{"elicitation", by_url ? json{{"url", json::object()}} : json::object()}};
  const json& modes = capabilities["elicitation"];
  if (by_url && !has(modes, "url")) return json{{"elicitation", {{"url", json::object()}}}};
  // A client that names no mode can show forms.
  if (!by_url && !modes.empty() && has(modes, "url") && !has(modes, "form"))
    return json{{"elicitation", {{"form", json::object()}}}};
  return std::nullopt;
}

Result<std::string> Questions::ask(const json& question, std::string_view request, Done done) {
  if (open_.size() >= kMaxOpen)
    return fail(ErrorKind::overloaded, "the client has " + std::to_string(kMaxOpen) + " questions open");
  std::string id = "\"g" + std::to_string(++last_) + "\"";
  open_.emplace(id, Open{std::string(request), std::move(done)});
  client_.send(request_text(id, question.value("method", ""), question.value("params", json::object())), request);
  return id;
}

void Questions::answered(const std::string& id, std::string_view result, std::string_view error) {
  auto node = open_.extract(id);
  if (!node) return;
  if (error.empty()) return node.mapped().done(parse_json(result));
  const auto said = parse_json(error);
  const std::string message = said ? text_member(*said, "message") : std::string(error);
  node.mapped().done(gantry::fail(ErrorKind::upstream_failed, "the client could not answer: " + message));
}

void Questions::cancel(const std::string& id) {
  auto node = open_.extract(id);
  if (!node) return;
  const json params{{"requestId", json::parse(id)}, {"reason", "nobody waits for the answer any more"}};
  client_.send(notification_text("notifications/cancelled", params), node.mapped().request);
}

}  // namespace gantry::host::mcp
