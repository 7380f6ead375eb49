// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/rpc_call.hpp"

#include <utility>

namespace gantry::host {

namespace {
constexpr std::string_view kHead = R"({"jsonrpc":"2.0","id":)";
}

void RpcSession::Batch::add(std::initializer_list<std::string_view> parts) {
  std::string all;
  {
    Lock lock(mutex_);
    if (parts.size() != 0) answers_ += answers_.empty() ? '[' : ',';
    for (const auto part : parts) answers_ += part;
    if (--missing_ != 0 || answers_.empty()) return;
    all = std::move(answers_);
  }
  if (const auto session = session_.lock()) session->send({all, "]"});
}

void RpcSession::RpcCall::item(std::string_view payload) {
  notify(R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":)", R"(,"item":)", payload);
}

bool RpcSession::RpcCall::has_room() const {
  const auto session = session_.lock();
  const auto wire = session ? session->wire_.lock() : nullptr;
  return !wire || wire->writable();
}

void RpcSession::RpcCall::item_end() {
  notify(R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":)", R"(,"end":)", "true");
}

void RpcSession::RpcCall::credit(std::uint32_t items) {
  notify(R"({"jsonrpc":"2.0","method":"$/credit","params":{"id":)", R"(,"n":)", std::to_string(items));
}

void RpcSession::RpcCall::progress(std::string_view payload) {
  // The plugin's payload is an object: {"message", "percentage"}; the id joins it.
  auto doc = parse_json(payload);
  if (!doc || !doc->is_object()) return;
  std::string members = dump_json(*doc);
  members = members.size() > 2 ? "," + members.substr(1, members.size() - 2) : "";
  notify(R"({"jsonrpc":"2.0","method":"$/progress","params":{"id":)", members, "");
}

void RpcSession::RpcCall::answered(Result<Answer> result) {
  if (result) {
    answered_text(result->text);
  } else {
    answer({rpc_error(id_, result.error())});
  }
}

void RpcSession::RpcCall::answered_text(std::string_view text) {
  if (follows().empty()) return answer({kHead, id_, R"(,"result":)", text, "}"});
  const auto session = session_.lock();
  if (!session) return;
  session->subscriptions_->follow_soon(std::string(follows()), std::string(text),
                                       [self = RpcCallPtr(this)](const Result<std::string>& opened) {
                                         if (!opened) return self->answer({rpc_error(self->id_, opened.error())});
                                         self->answer({kHead, self->id_, R"(,"result":)", *opened, "}"});
                                       });
}

void RpcSession::RpcCall::answer(std::initializer_list<std::string_view> parts) {
  const auto session = session_.lock();
  if (!session) return;
  RpcCallPtr last;
  {
    Lock lock(session->mutex_);
    answered_ = true;
    ++session->answering_;
    if (const auto it = session->calls_.find(id_); it != session->calls_.end() && it->second.get() == this) {
      session->bytes_in_flight_ -= request().params.size();
      last = std::move(it->second);
      session->calls_.erase(it);
    }
  }
  session->answer(parts, batch_.get());
  --session->answering_;
  if (const auto wire = session->wire_.lock()) wire->call_ended();
}

// Under the session's lock, so that nothing of this call follows its answer.
void RpcSession::RpcCall::notify(std::string_view head, std::string_view middle, std::string_view payload) {
  const auto session = session_.lock();
  if (!session) return;
  Lock lock(session->mutex_);
  if (!answered_) session->send({head, id_, middle, payload, "}}"});
}

}  // namespace gantry::host
