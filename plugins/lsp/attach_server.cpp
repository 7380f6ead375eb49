// SPDX-License-Identifier: Apache-2.0
//
// The server's side of an attach session: its answers, its requests, its crashes.
#include <gantry/repair.hpp>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

void AttachSession::learn_encoding(std::string_view result) {
  const auto repaired = repaired_json(result);
  const auto doc = parse_json(repaired ? std::string_view(*repaired) : result);
  if (!doc || !doc->is_object()) return;
  std::string name = "utf-16";
  if (const auto it = doc->find("capabilities"); it != doc->end() && it->is_object()) {
    if (const auto encoding = it->find("positionEncoding"); encoding != it->end() && encoding->is_string())
      name = *encoding;
  }
  // clangd's own extension, older than the protocol's.
  if (const auto it = doc->find("offsetEncoding"); it != doc->end() && it->is_string()) name = *it;
  documents_.set_encoding(name == "utf-8" ? Encoding::utf8 : name == "utf-32" ? Encoding::utf32 : Encoding::utf16);
}

Result<void> AttachSession::initialized(std::string_view text, const Envelope& e, DeferredActions& fx) {
  const bool refused = !e.error.empty();
  if (answered_) {
    if (refused) return fail(ErrorKind::unavailable, "refused initialize after a restart: " + std::string(e.error));
    replay(fx);
    return {};
  }
  std::string answer;
  append_with_id(answer, text, e.id, init_id_);
  fx.items.push_back(std::move(answer));
  answered_ = true;
  if (!refused) {
    learn_encoding(e.result);
    return {};
  }
  leave(fail(ErrorKind::upstream_failed, config().name + " refused initialize: " + std::string(e.error)), fx);
  return {};
}

void AttachSession::replay(DeferredActions& fx) {
  for (const auto* text : {&initialized_text_, &configuration_text_}) {
    if (!text->empty()) server_.send(*text, fx);
  }
  for (const auto& text : folder_texts_) server_.send(text, fx);
  documents_.replay([&](std::string_view message) GANTRY_NO_TSA { server_.send(message, fx); });
}

void AttachSession::message(std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (e.is_response()) {
    const auto it = pending_.find(own_id(e.id));
    if (it == pending_.end()) return nobody_waits(e.id, fx);
    std::string item;
    item.reserve(text.size() + it->second.id.size());
    append_with_id(item, text, e.id, it->second.id);
    deadlines_.erase({it->second.deadline, it->first});
    fx.permits.push_back(std::move(it->second.permit));
    pending_.erase(it);
    fx.items.push_back(std::move(item));
    return;
  }
  const auto method = e.method();
  if (Standing::concerns(method)) standing_.follow(method, scan(text, Scan::full).params);
  if (e.is_request()) {
    ask_editor(text, e, fx);
  } else if (method == "$/cancelRequest") {
    pass_cancel(text, fx);
  } else if (!ended_) {
    fx.items.emplace_back(text);
  }
}

void AttachSession::ask_editor(std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (ended_ || server_requests_.size() >= kMaxServerRequests) {
    return server_.send(error_message(std::string(e.id), kRequestFailed,
                                      Error{ErrorKind::unavailable, "the editor does not answer any more", {}}),
                        fx);
  }
  const auto method = e.method();
  if (method == "window/showMessageRequest" || method == "window/showDocument" || method == "workspace/applyEdit")
    user_is_asked(fx);
  const long long id = server_.next_id();
  server_requests_.emplace(id, std::string(e.id));
  std::string item;
  append_with_id(item, text, e.id, std::to_string(id));
  fx.items.push_back(std::move(item));
}

// The editor was asked under an id of ours. One that has answered already is not told.
void AttachSession::pass_cancel(std::string_view text, DeferredActions& fx) {
  const Envelope whole = scan(text, Scan::full);
  const auto id = member(whole.params, "id");
  for (const auto& [ours, theirs] : server_requests_) {
    if (!same_id(id, theirs)) continue;
    std::string item;
    append_with_id(item, text, id, std::to_string(ours));
    fx.items.push_back(std::move(item));
    return;
  }
}

// The server is gone, and another takes its place: its questions are withdrawn, its progress and what it has registered
// end.
void AttachSession::end_what_stands(DeferredActions& fx) {
  for (const auto& [ours, theirs] : server_requests_)
    fx.items.push_back(R"({"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":)" + std::to_string(ours) + "}}");
  for (auto& message : standing_.end(std::to_string(server_.next_id()))) fx.items.push_back(std::move(message));
}

void AttachSession::down(const Error& error, DeferredActions& fx) {
  if (!ended_ && !shutdown_) end_what_stands(fx);
  server_requests_.clear();
  for (auto& [id, pending] : pending_) {
    deadlines_.erase({pending.deadline, id});
    fx.permits.push_back(std::move(pending.permit));
    if (pending.shutdown) {
      fx.items.push_back(R"({"jsonrpc":"2.0","id":)" + pending.id + R"(,"result":null})");
    } else {
      answer_error(pending.id, kRequestFailed, error, fx);
    }
  }
  pending_.clear();
}

Result<void> AttachSession::may_follow() const {
  if (shutdown_ || documents_.lost().empty()) return {};
  return fail(ErrorKind::unavailable, documents_.lost() + ", so they cannot be opened again in it; attach anew");
}

void AttachSession::gave_up(const Error& error, DeferredActions& fx) {
  if (ended_) return;
  if (!answered_ && !init_id_.empty()) answer_error(init_id_, kRequestFailed, error, fx);
  for (const auto& queued : queue_) {
    if (queued.request != 0) answer_error(std::string(scan(queued.text, Scan::route).id), kRequestFailed, error, fx);
  }
  if (shutdown_) {
    leave(json(), fx);
  } else {
    leave(std::unexpected(error), fx);
  }
}

void AttachSession::answer_error(const std::string& id, int code, const Error& error, DeferredActions& fx) {
  fx.items.push_back(error_message(id, code, error));
}

bool AttachSession::settle(DeferredActions& fx) {
  if (fx.flush) fx.flush->flush();
  bool more = true;
  for (auto& item : fx.items) {
    switch (editor_.send(item)) {
      case Editor::Sent::blocked:
        more = false;
        break;
      case Editor::Sent::refused:
        refused(item);
        break;
      case Editor::Sent::ok:
      case Editor::Sent::gone:
        break;
    }
  }
  fx.flush.reset();
  (void)Session::settle(fx);
  if (fx.want_permit) wait_for_permit();
  return more;
}

// The envelope was sound, but the host takes no such message: it is too large, no JSON, or nested
// too deep. The others are as good as before.
void AttachSession::refused(const std::string& text) {
  const Envelope e = scan(text, Scan::route);
  const std::size_t most = context_->max_message_bytes;
  const bool too_large = most != 0 && text.size() > most;
  const std::string what = config().name + " sent a message of " + std::to_string(text.size()) +
                           " bytes that the host does not pass on: " +
                           (too_large ? "it takes " + std::to_string(most) + " bytes ([host] max_message_bytes)"
                                      : std::string("it is malformed JSON, or nested too deep"));
  context_->host.log(Level::warn, what + (e.method().empty() ? "" : " (" + std::string(e.method()) + ")"));
  const Error error = too_large ? Error{ErrorKind::too_large, what, dump_json({{"limit", most}})}
                                : Error{ErrorKind::upstream_failed, what, {}};
  if (e.is_response()) {
    std::string answer = error_message(std::string(e.id), kRequestFailed, error);
    (void)editor_.send(answer);
  } else if (e.is_request()) {
    DeferredActions fx;
    {
      Lock lock(mutex_);
      const auto asked = server_requests_.extract(own_id(e.id));
      if (asked) server_.send(error_message(asked.mapped(), kRequestFailed, error), fx);
    }
    (void)Session::settle(fx);
  }
}

}  // namespace gantry::lsp
