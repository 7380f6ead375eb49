// SPDX-License-Identifier: Apache-2.0
//
// The editor's side of an attach session, and the line of what waits. The server's side is in attach_server.cpp.
#include "plugins/lsp/attach.hpp"

#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

// Held by the server until something changes, or until the user has answered; or the last of all.
[[nodiscard]] bool waits_by_design(std::string_view method) {
  return method == "workspace/diagnostic" || method == "workspace/executeCommand" || method == "shutdown";
}

}  // namespace

AttachSession::AttachSession(std::shared_ptr<Context> context, ServerConfig config, std::string root, std::string home,
                             Call call, Rules rules)
    : Session(std::move(context), std::move(config), root, "attached"),
      asked_root_(std::move(root)),
      home_(std::move(home)),
      rules_(std::move(rules)),
      editor_(std::move(call)) {}

void AttachSession::from_editor(std::string_view text) {
  const Envelope envelope = scan(text, Scan::route);
  Section section(*this);
  receive(text, envelope, section.fx);
}

void AttachSession::receive(std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (ended_) return;
  if (!e.ok) {
    consumed();
    const auto begin = text.find_first_not_of(" \t\r\n");
    const bool batch = begin != std::string_view::npos && text[begin] == '[';
    const char* const why = batch ? "LSP has no batches: send each message by itself" : "this is no JSON-RPC message";
    return answer_error("null", -32600, Error{ErrorKind::invalid_request, why, {}}, fx);
  }
  if (e.is_response()) return answer_server(text, e, fx);
  const auto method = e.method();
  if (method == "$/cancelRequest") return cancel(text, fx);
  if (method == "exit") return leave(json(), fx);
  if (greeted_ && method != "initialize") return pass_on(text, e, fx);
  consumed();
  if (!e.is_request()) return;  // LSP: notifications before initialize are dropped
  if (!greeted_ && method == "initialize") return first(text, e, fx);
  if (greeted_) {
    return answer_error(std::string(e.id), -32600, Error{ErrorKind::invalid_request, "initialize was sent before", {}},
                        fx);
  }
  answer_error(
      std::string(e.id), -32002,
      Error{ErrorKind::invalid_request, "the first request must be initialize, not " + std::string(method), {}}, fx);
}

// ---- in order -----------------------------------------------------------------------------------

void AttachSession::pass_on(std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (!queue_.empty() || !server_.takes_messages()) return wait_in_line(text, e, fx);
  if (!e.is_request()) {
    forward_notification(text, e, fx);
    return consumed();
  }
  Permit permit;
  if (needs_permit(e.method())) {
    permit = context_->editor_permits->try_acquire();
    if (!permit) return wait_in_line(text, e, fx);
  }
  forward_request(text, e, server_.next_id(), deadline_of(e.method()), std::move(permit), fx);
  consumed();
}

void AttachSession::wait_in_line(std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (e.is_request() && queued_requests_ >= kMaxQueuedRequests) {
    consumed();
    return answer_error(std::string(e.id), kRequestFailed,
                        overloaded(config().name + " has " + std::to_string(queued_requests_) +
                                   " requests of this editor waiting; try again later"),
                        fx);
  }
  if (queued_bytes_ + text.size() > kMaxQueuedBytes) {
    return leave(std::unexpected(overloaded(config().name + " does not take the editor's messages, and more than " +
                                            std::to_string(kMaxQueuedBytes >> 20) + " MiB of them wait; attach anew")),
                 fx);
  }
  Queued queued{std::string(text), 0, TimePoint::max()};
  if (e.is_request()) {
    queued.request = server_.next_id();
    queued.deadline = deadline_of(e.method());
    ++queued_requests_;
    watch_deadline(queued.deadline, queued.request);
  }
  queued_bytes_ += text.size();
  queue_.push_back(std::move(queued));
  pump(fx);
}

void AttachSession::drop_queued(const std::deque<Queued>::const_iterator& it) {
  queued_bytes_ -= it->text.size();
  if (it->request != 0) {
    --queued_requests_;
    deadlines_.erase({it->deadline, it->request});
  }
  queue_.erase(it);
  consumed();
}

void AttachSession::pump(DeferredActions& fx) {
  while (!queue_.empty() && server_.takes_messages()) {
    const Queued& head = queue_.front();
    const Envelope e = scan(head.text, Scan::route);
    if (head.request == 0) {
      forward_notification(head.text, e, fx);
    } else {
      const bool needs_one = needs_permit(e.method());
      if (needs_one && !spare_) spare_ = context_->editor_permits->try_acquire();
      if (needs_one && !spare_) {
        if (!waiting_) fx.want_permit = waiting_ = true;
        return;
      }
      forward_request(head.text, e, head.request, head.deadline, needs_one ? std::move(spare_) : Permit(), fx);
    }
    drop_queued(queue_.begin());
  }
  if (spare_) fx.permits.push_back(std::move(spare_));
}

void AttachSession::wait_for_permit() {
  const auto asked = context_->editor_permits->acquire(later(&AttachSession::granted));
  if (asked) return;
  Section section(*this);
  waiting_ = false;
  if (!queue_.empty() && queue_.front().request != 0) {
    const std::string id(scan(queue_.front().text, Scan::route).id);
    drop_queued(queue_.begin());
    answer_error(id, kRequestFailed, asked.error(), section.fx);
  }
  pump(section.fx);
}

void AttachSession::granted(Permit permit) {
  Section section(*this);
  waiting_ = false;
  spare_ = std::move(permit);  // it held none: one that waits has none to spare
  pump(section.fx);
}

// ---- to the server ------------------------------------------------------------------------------

void AttachSession::forward_request(std::string_view text, const Envelope& e, long long id, TimePoint deadline,
                                    Permit permit, DeferredActions& fx) {
  const bool shutdown = e.method() == "shutdown";
  if (shutdown) {
    shutdown_ = true;
    server_.step(ServerEvent::editor_shuts_down, fx);
  }
  server_.send_with_id(text, e.id, std::to_string(id), fx);
  pending_.emplace(id, Pending{std::string(e.id), deadline, std::move(permit), shutdown});
  watch_deadline(deadline, id);
}

void AttachSession::forward_notification(std::string_view text, const Envelope& e, DeferredActions& fx) {
  const auto method = e.method();
  if (TrackedDocuments::concerns(method)) {
    language_opened(documents_.follow(method, scan(text, Scan::full).params), fx);
  } else if (method == "initialized") {
    initialized_text_ = text;
  } else if (method == "workspace/didChangeConfiguration") {
    configuration_text_ = text;
  } else if (method == "workspace/didChangeWorkspaceFolders") {
    if (folder_texts_.size() < kMaxFolderChanges) folder_texts_.emplace_back(text);
    server_.send(text, fx);
    return folders_changed(scan(text, Scan::full).params, fx);
  }
  server_.send(text, fx);
}

void AttachSession::answer_server(std::string_view text, const Envelope& e, DeferredActions& fx) {
  consumed();
  const auto it = server_requests_.find(own_id(e.id));
  if (it == server_requests_.end()) return;  // the server that asked is gone
  server_.send_with_id(text, e.id, it->second, fx);
  server_requests_.erase(it);
}

void AttachSession::cancel(std::string_view text, DeferredActions& fx) {
  consumed();
  const std::string_view id = member(scan(text, Scan::full).params, "id");
  if (id.empty()) return;
  if (!answered_ && same_id(init_id_, id)) return server_.cancel_initialize(fx);
  for (const auto& [ours, pending] : pending_) {
    if (same_id(pending.id, id)) return server_.cancel(ours, fx);
  }
  for (auto it = queue_.begin(); it != queue_.end(); ++it) {
    if (it->request == 0) continue;
    const std::string editors(scan(it->text, Scan::route).id);
    if (!same_id(editors, id)) continue;
    drop_queued(it);
    answer_error(editors, static_cast<int>(ErrorKind::cancelled),
                 Error{ErrorKind::cancelled, "cancelled before it was sent to " + config().name, {}}, fx);
    return pump(fx);
  }
}

// ---- the editor leaves, or is slow --------------------------------------------------------------

void AttachSession::editor_left(const Result<json>& answer) {
  Section section(*this);
  leave(answer, section.fx);
}

void AttachSession::leave(const Result<json>& answer, DeferredActions& fx) {
  end_stream(answer, fx);
  server_.step(ServerEvent::close, fx);
}

void AttachSession::end_stream(const Result<json>& answer, DeferredActions& fx) {
  if (ended_) return;
  ended_ = true;
  for (auto& [id, pending] : pending_) fx.permits.push_back(std::move(pending.permit));
  if (spare_) fx.permits.push_back(std::move(spare_));
  pending_.clear();
  deadlines_.clear();
  queue_.clear();
  queued_bytes_ = queued_requests_ = 0;
  fx.run.push_back(
      [self = std::static_pointer_cast<AttachSession>(shared_from_this()), answer] { self->editor_.end(answer); });
}

void AttachSession::consumed(std::uint32_t items) {
  consumed_ += items;
  if (consumed_ < kRegrant || editor_.blocked()) return;
  editor_.grant(std::exchange(consumed_, 0));
}

void AttachSession::editor_gave_credit() {
  std::vector<std::string> refused_items;
  const bool all_sent = editor_.credit(refused_items);
  for (const auto& text : refused_items) refused(text);
  if (!all_sent) return;
  Lock lock(mutex_);
  server_.resume_output();
  consumed(0);
}

// ---- limits -------------------------------------------------------------------------------------

bool AttachSession::needs_permit(std::string_view method) const {
  return context_->editors_need_permits.load(std::memory_order_relaxed) && !waits_by_design(method);
}

TimePoint AttachSession::deadline_of(std::string_view method) const {
  return waits_by_design(method) ? TimePoint::max() : context_->editor_deadline();
}

void AttachSession::watch_deadline(TimePoint deadline, long long id) {
  if (deadline == TimePoint::max()) return;
  deadlines_.emplace(deadline, id);
  arm();
}

// Nobody knows which of the open requests waits for the answer.
void AttachSession::user_is_asked(DeferredActions& fx) {
  for (auto& [id, pending] : pending_) {
    if (pending.permit) fx.permits.push_back(std::move(pending.permit));
    deadlines_.erase({pending.deadline, id});
    pending.deadline = TimePoint::max();
  }
}

void AttachSession::arm() {
  const TimePoint next = deadlines_.begin()->first;
  if (next >= armed_for_) return;  // that timer will look, and arm the next
  armed_for_ = next;
  const auto timer = context_->host.after(next - context_->host.now(), later(&AttachSession::expire));
  if (!timer) armed_for_ = TimePoint::max();
}

void AttachSession::expire() {
  Section section(*this);
  armed_for_ = TimePoint::max();
  const TimePoint now = context_->host.now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const long long id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (auto it = pending_.find(id); it != pending_.end()) {
      const std::string editors = std::move(it->second.id);
      section.fx.permits.push_back(std::move(it->second.permit));
      pending_.erase(it);
      server_.cancel(id, section.fx);
      answer_error(
          editors, kRequestFailed,
          Error{ErrorKind::timeout,
                config().name + " did not answer within the request's time ([lsp] editor_request_timeout_seconds)",
                {}},
          section.fx);
      continue;
    }
    const auto it = std::find_if(queue_.begin(), queue_.end(), [&](const Queued& q) { return q.request == id; });
    if (it == queue_.end()) continue;
    const std::string editors(scan(it->text, Scan::route).id);
    drop_queued(it);
    const char* why = is_serving(server_.state()) ? " was busy until the request's time was over"
                                                  : " was not ready until the request's time was over";
    answer_error(editors, kRequestFailed, Error{ErrorKind::timeout, config().name + why, {}}, section.fx);
  }
  pump(section.fx);
  if (!deadlines_.empty()) arm();
}

}  // namespace gantry::lsp
