// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/client_calls.hpp"

#include <gantry/json.hpp>
#include <optional>
#include <utility>

#include "host/protocols/rpc/session.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host {

class ClientCalls::Asked final : public ActiveCall {
 public:
  Asked(std::weak_ptr<ClientCalls> calls, std::string id) : calls_(std::move(calls)), id_(std::move(id)) {}
  [[nodiscard]] Result<void> send_item(std::string /*payload*/) override { return {}; }
  void send_end() override {}
  void give_credit(std::uint32_t /*items*/) override {}
  void cancel() override {
    if (const auto calls = calls_.lock())
      calls->give_up(id_, Error{ErrorKind::cancelled, "the caller cancelled the call", {}});
  }

 private:
  const std::weak_ptr<ClientCalls> calls_;
  const std::string id_;
};

void ClientCalls::allow() {
  Lock lock(mutex_);
  allowed_ = true;
}

CallPtr ClientCalls::call(const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
  std::optional<Error> refused;
  std::string id;
  {
    Lock lock(mutex_);
    if (closed_) {
      refused = Error{ErrorKind::unavailable, "the client is gone", {}};
    } else if (!allowed_) {
      refused = Error{ErrorKind::method_not_found,
                      "the client takes no calls; one that does says \"answers\": true in host.hello",
                      {}};
    } else if (request.stream_credit || !request.descriptors.empty()) {
      refused = Error{ErrorKind::invalid_params, "a client takes neither streams nor descriptors", {}};
    } else if (open_.size() >= kMaxOpen) {
      refused = Error{ErrorKind::overloaded, "the client has " + std::to_string(kMaxOpen) + " questions open",
                      R"({"retry_after_ms":1000})"};
    } else {
      id = "\"g" + std::to_string(next_++) + "\"";
      open_.emplace(id, Open{sink, 0});
    }
  }
  if (refused) {
    sink->answered(std::unexpected(std::move(*refused)));
    return CallPtr(new NoCall);
  }
  if (const auto wire = wire_.lock()) {
    wire->write({R"({"jsonrpc":"2.0","id":)", id, R"(,"method":)", quote_json(request.method), R"(,"params":)",
                 request.params, "}"});
  } else {
    finish(id, fail(ErrorKind::unavailable, "the client is gone"));
  }
  if (request.deadline.exists()) {
    const auto key = timers_.at(request.deadline.at(), [weak = weak_from_this(), id] {
      if (const auto calls = weak.lock())
        calls->give_up(id, Error{ErrorKind::timeout, "the client did not answer within the call's deadline", {}});
    });
    bool over = false;
    {
      Lock lock(mutex_);
      const auto it = open_.find(id);
      over = it == open_.end();
      if (!over) it->second.deadline = key;
    }
    if (over) (void)timers_.cancel(key);
  }
  return CallPtr(new Asked(weak_from_this(), id));
}

void ClientCalls::finish(const std::string& id, Result<Answer> answer) {
  Open open;
  {
    Lock lock(mutex_);
    const auto it = open_.find(id);
    if (it == open_.end()) return;
    open = std::move(it->second);
    open_.erase(it);
  }
  if (open.deadline != 0) (void)timers_.cancel(open.deadline);
  open.sink->answered(std::move(answer));
}

void ClientCalls::give_up(const std::string& id, Error error) {
  {
    Lock lock(mutex_);
    if (!open_.contains(id)) return;
  }
  if (const auto wire = wire_.lock())
    wire->write({R"({"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":)", id, "}}"});
  finish(id, std::unexpected(std::move(error)));
}

void ClientCalls::answered(std::string_view id, std::string_view result, std::string_view error) {
  if (error.empty()) {
    finish(std::string(id), Answer(std::string(result)));
    return;
  }
  const auto doc = parse_json(error);
  Error what{ErrorKind::upstream_failed, "the client answered with an error", {}};
  if (doc && doc->is_object()) {
    const auto code = doc->find("code");
    if (code != doc->end() && code->is_number_integer() && is_error_kind(code->get<std::int32_t>()))
      what.kind = static_cast<ErrorKind>(code->get<std::int32_t>());
    const auto text = doc->find("message");
    if (text != doc->end() && text->is_string()) what.message = text->get<std::string>();
    const auto data = doc->find("data");
    if (data != doc->end() && data->is_object()) what.data = dump_json(*data);
  }
  finish(std::string(id), std::unexpected(std::move(what)));
}

void ClientCalls::close() {
  std::unordered_map<std::string, Open> open;
  {
    Lock lock(mutex_);
    closed_ = true;
    open.swap(open_);
  }
  for (auto& [id, asked] : open) {
    if (asked.deadline != 0) (void)timers_.cancel(asked.deadline);
    asked.sink->answered(fail(ErrorKind::unavailable, "the client is gone"));
  }
}

}  // namespace gantry::host
