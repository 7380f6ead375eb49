// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/requests.hpp"

#include <utility>

namespace gantry::host::mcp {

// What is to be done at a cancellation holds the request, which holds it.
Requests::~Requests() {
  for (const auto& [id, request] : open_) request->on_cancel = nullptr;
}

bool Requests::add(const RequestPtr& request) {
  const auto refused = [&](int code, std::string why, const char* kind) {
    refuse(request->id, {code, std::move(why), {{"kind", kind}}}, request->batch);
    return false;
  };
  if (open_.contains(request->id))
    return refused(code::kInvalidRequest, "the id " + request->id + " is of a request that is still open",
                   "invalid_request");
  if (open_.size() >= kMaxOpen)
    return refused(code::kInternal, std::to_string(kMaxOpen) + " requests are open; wait for their responses",
                   "overloaded");
  request->open = true;
  if (request->batch) ++request->batch->open;
  open_.emplace(request->id, request);
  return true;
}

bool Requests::cancel(const std::string& id) {
  const auto it = open_.find(id);
  if (it == open_.end()) return false;
  const RequestPtr request = it->second;
  if (request->on_cancel) request->on_cancel();
  close(request, {});
  return true;
}

void Requests::reply(const RequestPtr& request, json result) {
  if (const auto it = result.find("_meta"); it != result.end() && !it->is_object()) result.erase(it);
  if (request->revision->modern) {
    result.emplace("resultType", "complete");
    result["_meta"][meta::kServerInfo] = server_info(*request->revision);
  }
  close(request, result_text(request->id, dump_json(result)));
}

void Requests::reply_members(const RequestPtr& request, std::string members) {
  if (request->revision->modern) {
    members += R"(,"resultType":"complete","_meta":)";
    members += dump_json({{meta::kServerInfo, server_info(*request->revision)}});
  }
  close(request, result_text(request->id, "{" + members + "}"));
}

void Requests::fail(const RequestPtr& request, const Failure& failure) {
  close(request, error_text(request->id, failure));
}

void Requests::notify(const RequestPtr& request, std::string_view method, const json& params) {
  if (request->open) client_.send(notification_text(method, params), request->id);
}

void Requests::progress(const RequestPtr& request, std::string_view message, std::optional<double> percentage) {
  constexpr double kStep = 0.001;
  if (request->progress_token.is_null()) return;
  const double before = request->progress;
  if (percentage && *percentage > before) {
    request->progress = *percentage;
  } else {
    request->progress = before < 0 ? 0 : before + kStep;
  }
  json params{{"progressToken", request->progress_token}, {"progress", request->progress}};
  if (percentage) params["total"] = 100;
  if (!message.empty() && request->revision->annotations) params["message"] = message;
  notify(request, "notifications/progress", params);
}

void Requests::log(const RequestPtr& request, std::string_view item) {
  const auto said = parse_json(item);
  if (!said || !said->is_object() || !request->log_level) return;
  const auto level = log_level(text_member(*said, "level"));
  if (!level || *level < *request->log_level) return;
  json params{{"level", said->at("level")}, {"data", said->value("data", json())}};
  if (const auto logger = said->find("logger"); logger != said->end() && logger->is_string())
    params["logger"] = *logger;
  notify(request, "notifications/message", params);
}

void Requests::refuse(std::string_view id, const Failure& failure, const std::shared_ptr<Batch>& batch) {
  std::string text = error_text(id, failure);
  if (batch) {
    batch->responses.push_back(std::move(text));
  } else {
    client_.send(text, id);
  }
}

void Requests::end_batch(const std::shared_ptr<Batch>& batch) {
  --batch->open;  // that the reading of it held
  send_if_complete(*batch);
}

void Requests::close(const RequestPtr& request, std::string response) {
  if (!std::exchange(request->open, false)) return;
  open_.erase(request->id);
  request->on_cancel = nullptr;
  if (!request->batch) {
    if (!response.empty()) client_.send(response, request->id);
    return;
  }
  if (!response.empty()) request->batch->responses.push_back(std::move(response));
  --request->batch->open;
  send_if_complete(*request->batch);
}

void Requests::send_if_complete(const Batch& batch) {
  if (batch.open != 0 || batch.responses.empty()) return;
  std::string all;
  for (const auto& response : batch.responses) (all += all.empty() ? '[' : ',') += response;
  client_.send(all + "]", {});
}

}  // namespace gantry::host::mcp
