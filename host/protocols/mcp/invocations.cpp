// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/invocations.hpp"

#include <utility>

#include "host/runtime/json_text.hpp"

namespace gantry::host::mcp {

namespace {

constexpr std::uint32_t kLogCredit = 16;

/// What a state is sealed with: it belongs to one request.
[[nodiscard]] std::string label(const Request& request, const Invocation& what) {
  return request.method + "\n" + what.name + "\n" + minify_json(what.arguments);
}

[[nodiscard]] json text_content(std::string text) {
  return json::array({{{"type", "text"}, {"text", std::move(text)}}});
}

}  // namespace

struct Invocations::Run {
  RequestPtr request;
  Invocation what;
  int rounds = 0;
  std::uint64_t call = 0;
  std::vector<std::string> questions{};  ///< ids of those that are open
  std::size_t waiting = 0;
};

std::string with_meta(const json& meta, std::string_view object) {
  object.remove_prefix(object.find('{') + 1);
  const auto first = object.find_first_not_of(" \t\r\n");
  std::string text = R"({"_meta":)" + dump_json(meta);
  if (object[first] != '}') text += ',';
  return text.append(object.substr(first));
}

void Invocations::start(const RequestPtr& request, Invocation what, const json& input) {
  if (const auto it = input.find("requestState"); it != input.end()) {
    const auto opened =
        it->is_string() ? seal_.opened(it->get_ref<const std::string&>(), label(*request, what)) : std::nullopt;
    if (!opened)
      return requests_.fail(request, {code::kInvalidParams,
                                      "requestState is not from this server, belongs to another request, or is too "
                                      "old; send the request without it"});
    what.state = *opened;
  }
  if (const auto it = input.find("inputResponses"); it != input.end()) {
    if (!it->is_object()) return requests_.fail(request, {code::kInvalidParams, "inputResponses must be an object"});
    what.responses = *it;
  }
  auto run = std::make_shared<Run>(request, std::move(what));
  request->on_cancel = [this, run] {
    host_.cancel(run->call);
    for (const auto& id : run->questions) questions_.cancel(id);
  };
  call(run);
}

void Invocations::call(const RunPtr& run) {
  const Invocation& what = run->what;
  json agent{{"capabilities", run->request->capabilities}};
  if (!what.responses.empty()) agent["responses"] = what.responses;
  if (!what.state.empty()) agent["state"] = what.state;
  json meta{{"agent", std::move(agent)}};
  if (what.logs && run->request->log_level) meta["stream"] = {{"credit", kLogCredit}};
  if (!run->request->traceparent.empty()) meta["traceparent"] = run->request->traceparent;
  run->call = host_.call(what.method, with_meta(meta, what.arguments),
                         {.answered = [this, run](const Result<std::string_view>& answer) { ended(run, answer); },
                          .progress =
                              [this, run](std::string_view message, std::optional<double> percentage) {
                                requests_.progress(run->request, message, percentage);
                              },
                          .item = [this, run](std::string_view item) { requests_.log(run->request, item); }});
}

void Invocations::ended(const RunPtr& run, const Result<std::string_view>& answer) {
  if (!answer) return failed(run, answer.error());
  const Invocation& what = run->what;
  const auto first = answer->find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || (*answer)[first] != '{')
    return failed(run, Error{ErrorKind::internal, "method " + what.method + " has answered with no object", {}});
  if (what.kind == Invocation::Kind::tool && !what.content) {
    // The result is passed on as the bytes that it is: as text for the model, as it is for the client.
    std::string members = R"("content":[{"type":"text","text":)" + quote_json(*answer) + "}]";
    if (run->request->revision->structured) members.append(R"(,"structuredContent":)").append(*answer);
    return requests_.reply_members(run->request, std::move(members));
  }
  auto result = parse_json(*answer);
  if (!result) return failed(run, result.error());
  if (result->value("resultType", json()) == "input_required") return ask(run, *result);
  finish(run, std::move(*result));
}

void Invocations::finish(const RunPtr& run, json result) {
  const Revision& revision = *run->request->revision;
  const auto lacks = [&](const char* member) {
    const bool absent = !result.contains(member) || !result[member].is_array();
    if (absent)
      failed(run, Error{ErrorKind::internal, "method " + run->what.method + " has answered without " + member, {}});
    return absent;
  };
  switch (run->what.kind) {
    case Invocation::Kind::tool:
      if (result.contains("structuredContent") && !result.contains("content"))
        result["content"] = text_content(dump_json(result["structuredContent"]));
      if (lacks("content")) return;
      if (!revision.structured) result.erase("structuredContent");
      break;
    case Invocation::Kind::prompt:
      if (lacks("messages")) return;
      break;
    case Invocation::Kind::resource:
      if (lacks("contents")) return;
      if (revision.modern) {
        result.emplace("ttlMs", 0);
        result.emplace("cacheScope", "private");
      }
      break;
  }
  if (!revision.modern) result.erase("resultType");
  requests_.reply(run->request, std::move(result));
}

void Invocations::failed(const RunPtr& run, const Error& error) {
  Failure failure = failure_of(error);
  if (run->what.kind == Invocation::Kind::tool) {
    // A model can correct itself only if it sees the error: it is the tool's result, not the request's error.
    json about = failure.data;
    about["message"] = error.message;
    const std::string text = std::string(kind_name(error.kind)) + ": " + error.message;
    return requests_.reply(
        run->request,
        {{"content", text_content(text)}, {"isError", true}, {"_meta", {{"io.gantry/error", std::move(about)}}}});
  }
  if (run->what.kind == Invocation::Kind::resource && error.kind == ErrorKind::not_found) {
    failure.code = run->request->revision->modern ? code::kInvalidParams : code::kResourceNotFound;
    failure.data["uri"] = run->what.name;
  }
  requests_.fail(run->request, failure);
}

void Invocations::ask(const RunPtr& run, const json& result) {
  const json questions = result.value("inputRequests", json::object());
  if (!questions.is_object() || questions.size() > kMaxQuestions)
    return failed(run, Error{ErrorKind::internal,
                             "inputRequests of method " + run->what.method + " must be an object of at most " +
                                 std::to_string(kMaxQuestions) + " members",
                             {}});
  json missing = json::object();
  for (const auto& [key, question] : questions.items()) {
    const auto lacks = lacking(question, run->request->capabilities);
    if (!lacks)
      return failed(run, Error{ErrorKind::internal, "method " + run->what.method + ": " + lacks.error().message, {}});
    if (*lacks) missing.update(**lacks);
  }
  if (run->request->revision->modern) {
    if (missing.empty()) return ask_in_result(run, result);
    return requests_.fail(run->request, {code::kMissingCapability,
                                         "the client has not declared a capability that this request needs",
                                         {{"requiredCapabilities", missing}}});
  }
  if (!missing.empty())
    return failed(run, Error{ErrorKind::unavailable,
                             "the client lacks a capability that this request needs: " + dump_json(missing),
                             {}});
  if (++run->rounds > kMaxRounds)
    return failed(run, Error{ErrorKind::internal,
                             "method " + run->what.method + " has asked " + std::to_string(kMaxRounds) + " times",
                             {}});
  run->what.state = text_member(result, "requestState");
  ask_by_requests(run, questions);
}

void Invocations::ask_in_result(const RunPtr& run, const json& result) {
  json out{{"resultType", "input_required"}};
  if (const auto it = result.find("inputRequests"); it != result.end()) out["inputRequests"] = *it;
  if (const auto it = result.find("requestState"); it != result.end() && it->is_string())
    out["requestState"] = seal_.sealed(it->get_ref<const std::string&>(), label(*run->request, run->what));
  if (out.size() == 1)
    return failed(run, Error{ErrorKind::internal, "method " + run->what.method + " asks for nothing", {}});
  requests_.reply(run->request, std::move(out));
}

void Invocations::ask_by_requests(const RunPtr& run, const json& questions) {
  run->what.responses = json::object();
  run->questions.clear();
  run->waiting = questions.size();
  if (questions.empty()) return call(run);
  for (const auto& [key, question] : questions.items()) {
    auto id = questions_.ask(question, run->request->id,
                             [this, run, key](const Result<json>& response) { heard(run, key, response); });
    if (!id) return heard(run, key, std::unexpected(id.error()));
    run->questions.push_back(std::move(*id));
  }
}

void Invocations::heard(const RunPtr& run, const std::string& key, const Result<json>& response) {
  if (!run->request->open) return;
  if (!response) {
    for (const auto& id : run->questions) questions_.cancel(id);
    return failed(run, response.error());
  }
  run->what.responses[key] = *response;
  if (--run->waiting == 0) call(run);
}

}  // namespace gantry::host::mcp
