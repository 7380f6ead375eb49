// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/session.hpp"

#include <algorithm>
#include <gantry/params.hpp>
#include <utility>
#include <vector>

#include "host/protocols/rpc/rpc_call.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host {

namespace {
constexpr std::size_t kMaxOwnParams = 4 * EventBus::kMaxEventBytes;
}

RpcSession::RpcSession(SessionDeps& deps, std::weak_ptr<SessionWire> wire, RpcWorker& worker)
    : deps_(deps),
      wire_(std::move(wire)),
      worker_(worker),
      origin_(deps.origins.add()),
      asked_(std::make_shared<ClientCalls>(wire_, deps.timers)),
      subscriptions_(std::make_shared<RpcSubscriptions>(deps, wire_, origin_)) {
  deps.origins.answers(origin_, [asked = asked_](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
    return asked->call(request, sink);
  });
}

RpcSession::~RpcSession() { deps_.origins.remove(origin_); }

void RpcSession::send(std::initializer_list<std::string_view> parts) {
  if (const auto wire = wire_.lock()) wire->write(parts);
}

void RpcSession::answer(std::initializer_list<std::string_view> parts, Batch* batch) {
  if (batch != nullptr) {
    batch->add(parts);
  } else {
    send(parts);
  }
}

void RpcSession::refuse(const Error& error) { send({rpc_error("", error)}); }

std::size_t RpcSession::calls_in_flight() const {
  Lock lock(mutex_);
  return calls_.size() + answering_;
}

RpcSession::RpcCallPtr RpcSession::find_call(std::string_view id) const {
  Lock lock(mutex_);
  const auto it = calls_.find(id);
  return it == calls_.end() ? nullptr : it->second;
}

void RpcSession::receive(std::string_view text) {
  RpcParsed& parsed = worker_.parsed;
  if (auto ok = worker_.parser.parse(text, parsed); !ok) {
    refuse(ok.error());
    return;
  }
  std::shared_ptr<Batch> batch;
  if (parsed.batch) batch = std::make_shared<Batch>(weak_from_this(), parsed.messages.size());
  for (auto& message : parsed.messages) handle(message, batch);
}

void RpcSession::handle(RpcMessage& message, const std::shared_ptr<Batch>& batch) {
  switch (message.kind) {
    case RpcMessage::Kind::invalid:
      answer({rpc_error(message.id, message.error)}, batch.get());
      return;
    case RpcMessage::Kind::call:
      handle_call(message, batch);
      return;
    case RpcMessage::Kind::notification:
      handle_notification(message);
      break;
    case RpcMessage::Kind::response:
      asked_->answered(message.id, message.result, message.failure);
      break;
  }
  if (batch) batch->add({});
}

void RpcSession::handle_call(RpcMessage& message, const std::shared_ptr<Batch>& batch) {
  CallRequest request;
  request.method = std::move(message.method);
  if (!message.params.empty()) request.params = message.params;
  request.origin = origin_;
  if (message.meta.timeout_ms)
    request.deadline = Deadline(deps_.timers.now() + std::chrono::milliseconds(*message.meta.timeout_ms));
  request.stream_credit = message.meta.stream_credit;
  request.traceparent = std::move(message.meta.traceparent);
  request.idempotency_key = std::move(message.meta.idempotency_key);
  const RpcCallPtr call(new RpcCall(weak_from_this(), message.id, batch, std::move(request)));
  if (const auto refused = admit(call)) {
    answer({rpc_error(message.id, *refused)}, batch.get());
  } else if (!handle_own(*call)) {
    deps_.router.route(call, worker_.methods);
  }
}

std::optional<Error> RpcSession::admit(const RpcCallPtr& call) {
  const std::size_t bytes = call->request().params.size();
  Lock lock(mutex_);
  if (closed_) return Error{ErrorKind::unavailable, "the connection is closed", {}};
  const std::size_t others = calls_.size();
  const auto [place, fresh] = calls_.try_emplace(call->token(), call);
  if (!fresh) return Error{ErrorKind::invalid_request, "id " + call->token() + " is in flight already", {}};
  const bool too_many = others >= deps_.max_calls_in_flight;
  const bool too_large = others != 0 && bytes_in_flight_ + bytes > deps_.max_bytes_in_flight;
  if (too_many || too_large) calls_.erase(place);
  if (too_many)
    return Error{ErrorKind::overloaded, std::to_string(others) + " calls of this connection are in flight",
                 R"({"retry_after_ms":100})"};
  if (too_large)
    return Error{ErrorKind::overloaded,
                 "the calls of this connection in flight hold " + std::to_string(bytes_in_flight_) +
                     " bytes of params; send this one when some are answered",
                 R"({"retry_after_ms":100})"};
  bytes_in_flight_ += bytes;
  return std::nullopt;
}

void RpcSession::handle_notification(const RpcMessage& message) {
  if (message.method == "$/stream") {
    handle_stream(message.params);
  } else if (message.method == "$/credit") {
    handle_credit(message.params);
  } else if (message.method == "$/cancelRequest") {
    if (const auto call = find_call(worker_.parser.raw_member(message.params, "id"))) call->cancel();
  }
  // JSON-RPC: a notification is never answered, not even an unknown one.
}

void RpcSession::handle_stream(std::string_view params) {
  const auto call = find_call(worker_.parser.raw_member(params, "id"));
  if (!call) return;  // it crossed the answer on its way
  const std::string_view item = worker_.parser.raw_member(params, "item");
  if (!item.empty()) {
    if (auto taken = call->send_item(std::string(item)); !taken) {
      // A client that does not keep to its credit cannot be told on this item; its call ends.
      call->cancel();
      return;
    }
  }
  if (worker_.parser.raw_member(params, "end") == "true") call->send_end();
}

void RpcSession::handle_credit(std::string_view params) {
  const auto call = find_call(worker_.parser.raw_member(params, "id"));
  const auto count = parse_json(worker_.parser.raw_member(params, "n"));
  if (!call || !count || !count->is_number_unsigned()) return;
  call->give_credit(static_cast<std::uint32_t>(std::min<std::uint64_t>(count->get<std::uint64_t>(), 0xFFFFFFFF)));
}

bool RpcSession::handle_own(RpcCall& call) {
  using Handler = Result<json> (RpcSession::*)(const json&);
  static const std::map<std::string, Handler, std::less<>> kOwn{{"host.hello", &RpcSession::hello},
                                                                {"events.unsubscribe", &RpcSession::unsubscribe},
                                                                {"events.publish", &RpcSession::publish}};
  const auto& [method, text] = std::tie(call.request().method, call.request().params);
  if (!method.starts_with("host.") && !method.starts_with("events.")) return false;
  const bool subscribes = method == "events.subscribe";
  const auto own = kOwn.find(method);
  if (own == kOwn.end() && !subscribes) return false;
  // These are rebuilt as trees, which take many times their size.
  if (text.size() > kMaxOwnParams) {
    call.answered(fail(ErrorKind::too_large, "params of " + method + " may have " + std::to_string(kMaxOwnParams) +
                                                 " bytes; an event at most 1 MiB"));
    return true;
  }
  auto params = parse_json(text);
  if (!params) {
    call.answered(std::unexpected(params.error()));
    return true;
  }
  if (subscribes) {
    call.leave_router();
    subscriptions_->subscribe(*params, [held = RpcCallPtr(&call)](Result<std::string> answer) {
      held->answered(answer ? Result<Answer>(std::move(*answer)) : std::unexpected(std::move(answer.error())));
    });
    return true;
  }
  auto result = (this->*own->second)(*params);
  if (result) {
    call.answered(dump_json(*result));
  } else {
    call.answered(std::unexpected(result.error()));
  }
  return true;
}

Result<json> RpcSession::hello(const json& params) {
  Params p(params);
  OriginRecord record;
  record.client = p.string("client");
  record.version = p.string_or("version", "");
  const auto workspace = p.maybe_string("workspace");
  const bool answers = p.boolean_or("answers", false);
  p.require(record.client.size() <= 256 && record.version.size() <= 256,
            "client and version may have at most 256 bytes");
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (workspace) {
    auto opened = deps_.open_workspace(*workspace);
    if (!opened) return std::unexpected(opened.error());
    record.workspace = std::move(*opened);
  }
  deps_.origins.set(origin_, std::move(record));
  if (answers) asked_->allow();
  return deps_.hello();
}

Result<json> RpcSession::unsubscribe(const json& params) { return subscriptions_->unsubscribe(params); }

Result<json> RpcSession::publish(const json& params) {
  Params p(params);
  const std::string topic = p.string("topic");
  const json payload = p.value("payload");
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (auto ok = deps_.may_publish(topic); !ok) return std::unexpected(ok.error());
  auto seq = deps_.bus.publish(topic, dump_json(payload));
  if (!seq) return std::unexpected(seq.error());
  return json{{"epoch", deps_.bus.epoch()}, {"seq", *seq}};
}

bool RpcSession::deliver_events() {
  const auto wire = wire_.lock();
  if (!wire) return false;
  subscriptions_->deliver(*wire);
  return !subscriptions_->empty() && !wire->writable();
}

void RpcSession::has_room() {
  std::vector<RpcCallPtr> streams;
  {
    Lock lock(mutex_);
    for (const auto& [id, call] : calls_) {
      if (call->is_stream()) streams.push_back(call);
    }
  }
  for (const auto& call : streams) call->give_credit(0);
}

void RpcSession::closed() {
  boost::unordered_flat_map<std::string_view, RpcCallPtr> calls;
  {
    Lock lock(mutex_);
    closed_ = true;
    calls.swap(calls_);
    bytes_in_flight_ = 0;
  }
  asked_->close();
  subscriptions_->close();
  for (auto& [id, call] : calls) call->cancel();
}

}  // namespace gantry::host
