// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/session_reply.hpp"

#include <utility>

namespace gantry::host {

void RpcSession::Batch::add(std::string_view text) {
  std::string all;
  {
    Lock lock(mutex_);
    if (!text.empty()) {
      answers_ += answers_.empty() ? "[" : ",";
      answers_ += text;
    }
    if (--missing_ != 0 || answers_.empty()) return;
    all = std::move(answers_);
  }
  all += ']';
  if (const auto session = session_.lock()) session->send(std::move(all));
}

void RpcSession::Reply::item(std::string_view payload) {
  notify(R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":)", R"(,"item":)", payload);
}

bool RpcSession::Reply::has_room() const {
  const auto session = session_.lock();
  const auto wire = session ? session->wire_.lock() : nullptr;
  return !wire || wire->writable();
}

void RpcSession::Reply::item_end() {
  notify(R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":)", R"(,"end":)", "true");
}

void RpcSession::Reply::credit(std::uint32_t items) {
  notify(R"({"jsonrpc":"2.0","method":"$/credit","params":{"id":)", R"(,"n":)", std::to_string(items));
}

void RpcSession::Reply::progress(std::string_view payload) {
  // The plugin's payload is an object: {"message", "percentage"}; the id joins it.
  auto doc = parse_json(payload);
  if (!doc || !doc->is_object()) return;
  std::string members = dump_json(*doc);
  members = members.size() > 2 ? "," + members.substr(1, members.size() - 2) : "";
  notify(R"({"jsonrpc":"2.0","method":"$/progress","params":{"id":)", members, "");
}

void RpcSession::Reply::answered(Result<Answer> answer) {
  const auto session = session_.lock();
  if (!session) return;
  Lock order(order_);  // nothing of this call follows its answer
  {
    Lock lock(session->mutex_);
    if (const auto it = session->calls_.find(id_); it != session->calls_.end()) {
      session->bytes_in_flight_ -= it->second.bytes;
      session->calls_.erase(it);
    }
    ++session->answering_;
    answered_ = true;
  }
  session->answer(answer ? rpc_result(id_, answer->text) : rpc_error(id_, answer.error()), batch_);
  {
    Lock lock(session->mutex_);
    --session->answering_;
  }
  if (const auto wire = session->wire_.lock()) wire->call_ended();
}

void RpcSession::Reply::notify(std::string_view head, std::string_view middle, std::string_view payload) {
  const auto session = session_.lock();
  if (!session) return;
  Lock order(order_);
  if (answered_) return;
  std::string text;
  text.reserve(head.size() + id_.size() + middle.size() + payload.size() + 2);
  text += head;
  text += id_;
  text += middle;
  text += payload;
  text += "}}";
  session->send(std::move(text));
}

}  // namespace gantry::host
