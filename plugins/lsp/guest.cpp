// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/guest.hpp"

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

GuestConnection::GuestConnection(std::shared_ptr<Context> context, const std::shared_ptr<AttachSession>& session,
                                 std::weak_ptr<ConnectionEvents> events)
    : context_(std::move(context)),
      events_(std::move(events)),
      seat_(std::make_shared<Client::Seat>(Client::Seat{session})),
      id_(context_->next_client()) {}

GuestConnection::~GuestConnection() {
  (void)context_->host.post([seat = seat_, id = id_] {
    if (const auto session = seat->session.lock()) session->editor_left(id, json());
  });
}

// ---- any thread -----------------------------------------------------------------------------------------------------

void GuestConnection::enqueue(std::string_view message) {
  Lock lock(mutex_);
  out_.emplace_back(message);
}

void GuestConnection::enqueue_with_id(std::string_view message, std::string_view id, std::string_view new_id) {
  std::string text;
  append_with_id(text, message, id, new_id);
  Lock lock(mutex_);
  out_.push_back(std::move(text));
}

void GuestConnection::flush() {
  Lock lock(mutex_);
  wake();
}

void GuestConnection::leave() {
  Lock lock(mutex_);
  leaves_ = true;
  wake();
}

void GuestConnection::received(std::string text) {
  Lock lock(mutex_);
  in_bytes_ += text.size();
  in_.push_back(std::move(text));
  if (in_bytes_ > AttachSession::kMaxUnread) sent_away_ = leaves_ = true;
  wake();
}

void GuestConnection::ended(bool sent_away) {
  if (sent_away) sent_away_ = true;
  Lock lock(mutex_);
  ended_ = true;
  wake();
}

void GuestConnection::wake() {
  if (awake_ || told_) return;
  awake_ = context_->host.post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->turn();
  });
}

// ---- in turns of the handlers ---------------------------------------------------------------------------------------

// What the session answers at once is in the same turn.
void GuestConnection::turn() {
  const auto events = events_.lock();
  while (true) {
    std::deque<std::string> out, in;
    bool leaves = false, ends = false;
    {
      Lock lock(mutex_);
      out.swap(out_);
      in.swap(in_);
      in_bytes_ = 0;
      leaves = leaves_ && !ended_;
      ends = ended_ && out.empty() && in.empty();
      if (!events || told_ || (out.empty() && in.empty() && !leaves && !ends)) {
        awake_ = false;
        return;
      }
      told_ = ends;
    }
    for (auto& message : out) say(std::move(message));
    if (leaves) {
      if (const auto session = seat_->session.lock()) session->editor_left(id_, json());
      Lock lock(mutex_);
      ended_ = true;  // also of a session that it never came to
    }
    for (const auto& message : in) (void)events->on_message(*this, message);
    if (ends) events->on_exit(*this, "has ended for its editors as well");
  }
}

void GuestConnection::say(std::string text) {
  const Envelope e = scan(text, Scan::route);
  if (editor_ == nullptr) {
    if (e.method() == "initialize") join(text);
    return;
  }
  if (const auto session = seat_->session.lock()) session->from_editor(id_, text);
}

void GuestConnection::join(std::string_view initialize) {
  const Envelope whole = scan(initialize, Scan::full);
  const auto receive = [weak = weak_from_this()](std::string text) {
    if (const auto self = weak.lock()) self->received(std::move(text));
  };
  const auto end = [weak = weak_from_this()](const Result<json>& answer) {
    if (const auto self = weak.lock()) self->ended(!answer && answer.error().kind == ErrorKind::overloaded);
  };
  editor_ = std::make_shared<Editor>(receive, end);
  const auto client = std::make_shared<Client>(id_, editor_, seat_, std::string(), std::string());
  client->guest = client->greeted = true;
  client->init_id = whole.id;
  client->init_params = whole.params;
  auto params = parse_json(whole.params);
  json capabilities = params ? part(*params, "capabilities") : json();
  // Editors of a server that is asked for diagnostics are published none.
  capabilities["textDocument"]["diagnostic"] = {{"relatedInformation", true}, {"codeDescriptionSupport", true}};
  capabilities["workspace"]["diagnostics"] = {{"refreshSupport", true}};
  client->understood = std::make_shared<Understood>(capabilities);
  const auto session = seat_->session.lock();
  if (!session || !session->join_as_guest(client)) ended(false);
}

}  // namespace gantry::lsp
