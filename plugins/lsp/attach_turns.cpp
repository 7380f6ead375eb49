// SPDX-License-Identifier: Apache-2.0
//
// The messages that wait in an attach session, and whose turn it is when several editors share the server.
#include <algorithm>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

// Its outcome depends on texts.
[[nodiscard]] bool reads_texts(std::string_view method, bool request) {
  if (request) return method != "shutdown";
  return method.starts_with("textDocument/") || method.starts_with("notebookDocument/");
}

// The error of a request whose texts changed while it was worked on.
[[nodiscard]] bool means_again(std::string_view error) {
  return whole_number(member(error, "code")) == kContentModified;
}

}  // namespace

void AttachSession::pass_on(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (is_stopped(server_.state())) {
    pass_while_stopped(client, text, e, fx);
    return consumed(client);
  }
  if (!alone() || !client.admitted || !client.queue.empty() || !server_.takes_messages())
    return wait_in_line(client, text, e, fx);
  if (!e.is_request()) {
    (void)forward_notification(client, text, e, fx);
    return consumed(client);
  }
  Permit permit;
  if (needs_permit(client, e.method())) {
    permit = context_->editor_permits->try_acquire();
    if (!permit) return wait_in_line(client, text, e, fx);
  }
  forward_request(client, text, e, {.request = server_.next_id(), .deadline = deadline_of(client, e.method())},
                  std::move(permit), fx);
  consumed(client);
}

void AttachSession::wait_in_line(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (e.is_request() && !client.guest && client.queued_requests >= kMaxQueuedRequests) {
    consumed(client);
    return answer_error(client, std::string(e.id), kRequestFailed,
                        overloaded(config().name + " has " + std::to_string(client.queued_requests) +
                                   " requests of this editor waiting; try again later"),
                        fx);
  }
  if (client.queued_bytes + text.size() > kMaxQueuedBytes) {
    return leave(client,
                 std::unexpected(overloaded(config().name + " does not take the editor's messages, and more than " +
                                            std::to_string(kMaxQueuedBytes >> 20) + " MiB of them wait; attach anew")),
                 fx);
  }
  Client::Queued queued{std::string(text), 0, TimePoint::max(), ++turns_, 0};
  if (e.is_request()) {
    queued.request = server_.next_id();
    queued.deadline = deadline_of(client, e.method());
    ++client.queued_requests;
    watch_deadline(queued.deadline, queued.request);
  }
  client.queued_bytes += text.size();
  client.queue.push_back(std::move(queued));
  pump(fx);
}

void AttachSession::drop_queued(Client& client, const std::deque<Client::Queued>::const_iterator& it) {
  client.queued_bytes -= it->text.size();
  if (it->request != 0) {
    --client.queued_requests;
    if (!pending_.contains(it->request)) deadlines_.erase({it->deadline, it->request});
  }
  const bool repeated = it->repetitions > 0;  // it was consumed when it was sent first
  client.queue.erase(it);
  if (!repeated) consumed(client);
}

// ---- whose turn it is -----------------------------------------------------------------------------------------------

void AttachSession::pump(DeferredActions& fx) {
  // What waited for a view may have been withdrawn.
  if (const auto* const waits = find(waits_for_view_); waits == nullptr || waits->queue.empty()) waits_for_view_ = 0;
  std::set<ClientId> stuck;
  while (server_.takes_messages()) {
    Client* const client = next_client(stuck);
    if (client == nullptr) break;
    const ClientId id = client->id;
    if (!advance(*client, fx)) stuck.insert(id);
  }
  for (const auto& [id, client] : clients_) {
    if (!client->queue.empty()) continue;
    client->looked = false;
    if (client->spare) fx.permits.push_back(std::move(client->spare));
  }
  const auto is_asked = [](const auto& entry) { return entry.second.client != 0 && !entry.second.id.empty(); };
  if (alone() || !server_.takes_messages() || std::ranges::any_of(pending_, is_asked)) return;
  if (asks_settled_) return;  // its answer comes here: else each diagnostics that nobody may see would cause others
  if (!views_.owes()) return show_who_waits(fx);
  std::vector<Views::Delivery> presented;
  const bool sent = views_.pay(sender(fx), presented);
  deliver(std::move(presented), fx);
  if (sent) ask_whether_settled(fx);
}

// Else an editor that asks nothing would wait for its diagnostics as long as others have texts of their own.
void AttachSession::show_who_waits(DeferredActions& fx) {
  if (std::ranges::any_of(clients_, [](const auto& entry) { return !entry.second->queue.empty(); })) return;
  if (std::ranges::any_of(pending_, [](const auto& entry) { return entry.second.client != 0; })) return;
  auto* const client = find(views_.waits_for_diagnostics());
  if (client == nullptr || !client->admitted || client->held || client->ended) return;
  Client::Queued shows{R"({"jsonrpc":"2.0","method":")" + std::string(kShowsView) + R"("})", 0, TimePoint::max(),
                       ++turns_, 1};
  client->queued_bytes += shows.text.size();
  client->queue.push_back(std::move(shows));
  pump(fx);
}

// The client's view is shown, and stays as it does for a request, until some diagnostics have come.
void AttachSession::wait_for_diagnostics(Client& client, DeferredActions& fx) {
  std::vector<Views::Delivery> presented;
  const bool sent = views_.pay(sender(fx), presented);
  const bool told = std::ranges::find(presented, client.id, &Views::Delivery::to) != presented.end();
  deliver(std::move(presented), fx);
  if (sent) ask_whether_settled(fx);
  if (told) return;
  const long long id = server_.next_id();
  Pending wait{.client = client.id, .deadline = TimePoint::max(), .reads = true, .changes = views_.changes()};
  pending_.emplace(id, std::move(wait));
  (void)context_->host.after(kRecallTime, [over = later(&AttachSession::waited_for_diagnostics), id] { over(id); });
}

void AttachSession::waited_for_diagnostics(long long id) {
  Section section(*this);
  if (pending_.erase(id) > 0) pump(section.fx);
}

// Who waits for its view goes first: else those that share the view of now could keep it for ever.
Client* AttachSession::next_client(const std::set<ClientId>& stuck) {
  Client* next = nullptr;
  for (const auto& [id, client] : clients_) {
    if (client->queue.empty() || !client->admitted || client->held || stuck.contains(id)) continue;
    if (waits_for_view_ != 0 && waits_for_view_ != id) {
      const auto& head = client->queue.front();
      if (reads_texts(scan(head.text, Scan::route).method(), head.request != 0)) continue;
    }
    if (next == nullptr || client->queue.front().turn < next->queue.front().turn) next = client.get();
  }
  return next;
}

// False: the client's first message waits.
bool AttachSession::advance(Client& client, DeferredActions& fx) {
  const Client::Queued& head = client.queue.front();
  const Envelope e = scan(head.text, Scan::route);
  if (!alone() && !take_view(client, head, e, fx)) return false;
  if (head.request != 0) {
    const bool needs_one = needs_permit(client, e.method());
    if (needs_one && !client.spare) client.spare = context_->editor_permits->try_acquire();
    if (needs_one && !client.spare) {
      if (!std::exchange(client.waits_for_permit, true))
        fx.run.push_back([self = self(), id = client.id] { self->wait_for_permit(id); });
      return false;
    }
    const Client::Queued info{{}, head.request, head.deadline, head.turn, head.repetitions};
    forward_request(client, head.text, e, info, needs_one ? std::move(client.spare) : Permit(), fx);
  } else {
    const auto hold = clients_.at(client.id);
    fx.run.push_back([hold] {});
    if (!forward_notification(client, head.text, e, fx)) return false;
    if (client.ended) return true;  // what waited is gone
  }
  drop_queued(client, client.queue.begin());
  if (waits_for_view_ == client.id) waits_for_view_ = 0;
  return true;
}

// True: the server shows the client's view, as far as the message depends on that.
bool AttachSession::take_view(Client& client, const Client::Queued& head, const Envelope& e, DeferredActions& fx) {
  const auto method = e.method();
  if (!reads_texts(method, head.request != 0)) return true;
  if (!client.looked) {
    const auto paths = views_.needed_from_disk(client.id);
    if (!paths.empty()) {
      if (!std::exchange(client.looking, true)) {
        look(
            to_look_at(paths),
            [this, id = client.id](DeferredActions& later) GANTRY_NO_TSA {
              if (auto* const looked = find(id)) {
                looked->looking = false;
                looked->looked = true;
              }
              pump(later);
            },
            fx);
      }
      return false;
    }
    client.looked = true;
  }
  if (method == "workspace/executeCommand" && another_commands(client.id)) {
    watch_commands();
    return false;
  }
  const bool shown = views_.shows(client.id);
  const auto disturbs_others = [&]() GANTRY_NO_TSA {
    const auto params = scan(head.text, Scan::full).params;
    // What a guest opens is as the disk has it, which is what the others see who do not have it open.
    const bool opens_disk = client.guest && method == "textDocument/didOpen" && !views_.server_has(document_in(params));
    return !opens_disk && views_.disturbs(client.id, method, params);
  };
  const bool disturbs = head.request == 0 && TrackedDocuments::concerns(method) && disturbs_others();
  if (shown && !disturbs) return true;
  if (others_read(client.id)) {
    wait_for_view(client);
    return false;
  }
  if (shown) return true;
  views_.show(client.id, sender(fx));
  texts_changed();
  ask_whether_settled(fx);
  return true;
}

bool AttachSession::others_read(ClientId client) const {
  return std::ranges::any_of(pending_, [&](const auto& entry) {
    return entry.second.reads && entry.second.client != client && entry.second.client != 0;
  });
}

// What the server asks while a command runs is for the command's client, so commands of several run one by one.
bool AttachSession::another_commands(ClientId client) const {
  return std::ranges::any_of(pending_, [&](const auto& entry) {
    return entry.second.command && !entry.second.lets_next && entry.second.client != client;
  });
}

void AttachSession::watch_commands() {
  if (commands_watched_) return;
  std::vector<long long> running;
  for (const auto& [id, pending] : pending_) {
    if (pending.command) running.push_back(id);
  }
  const auto over = [over = later(&AttachSession::let_next), running = std::move(running)] { over(running); };
  commands_watched_ = context_->host.after(kRecallDelay + kRecallTime, over).has_value();
}

void AttachSession::let_next(const std::vector<long long>& commands) {
  Section section(*this);
  commands_watched_ = false;
  for (const long long id : commands) {
    if (const auto it = pending_.find(id); it != pending_.end()) it->second.lets_next = true;
  }
  pump(section.fx);
}

// What is open now may fail for that.
void AttachSession::texts_changed() {
  for (auto& [id, pending] : pending_) pending.disturbed = true;
}

// A server that names no versions has seen the texts of now when it answers this. By the protocol a request of a name
// that begins so and is not known must be answered with an error.
void AttachSession::ask_whether_settled(DeferredActions& fx) {
  if (!is_serving(server_.state())) return;  // nobody would answer
  if (std::exchange(asks_settled_, true)) {
    changed_since_ = true;
    return;
  }
  changed_since_ = false;
  const long long id = server_.next_id();
  pending_.emplace(id, Pending{.deadline = TimePoint::max(), .changes = views_.changes()});
  server_.send(R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":"$/gantry/settled"})", fx);
}

// ---- requests that are in the way -----------------------------------------------------------------------------------

void AttachSession::wait_for_view(Client& client) {
  if (std::exchange(waits_for_view_, client.id) == client.id) return;
  // Else two editors whose answers take longer than kRecallDelay would recall each other's for ever.
  auto delay = kRecallDelay;
  for (const auto& [id, pending] : pending_) {
    if (is_in_the_way(pending))
      delay = std::max(delay, kRecallDelay * (1U << (2 * std::min(pending.repetitions, kMaxRepetitions))));
  }
  recall_at_ = context_->host.now() + delay;
  arm_recall();
}

void AttachSession::arm_recall() {
  if (recall_armed_for_ <= recall_at_) return;
  const auto timer = context_->host.after(recall_at_ - context_->host.now(),
                                          [over = later(&AttachSession::recall), until = recall_at_] { over(until); });
  if (timer) recall_armed_for_ = recall_at_;
}

void AttachSession::recall(TimePoint until) {
  Section section(*this);
  if (recall_armed_for_ == until) recall_armed_for_ = TimePoint::max();
  if (waits_for_view_ == 0) return;
  if (context_->host.now() < recall_at_) return arm_recall();
  std::vector<long long> recalled;
  for (auto& [id, pending] : pending_) {
    if (!is_in_the_way(pending)) continue;
    recalled.push_back(id);
    if (pending.command || pending.goes_on) continue;  // it may have done something by now; or the server is not told
    if (std::exchange(pending.recalled, true) || pending.id.empty()) continue;
    cancel_sent(id, pending, section.fx);
  }
  if (recalled.empty()) return pump(section.fx);
  (void)context_->host.after(kRecallTime, [over = later(&AttachSession::give_up_recalled),
                                           recalled = std::move(recalled)] { over(recalled); });
}

// The server does not even take a cancellation. The view changes now, and the request is sent again in its own.
void AttachSession::give_up_recalled(const std::vector<long long>& ids) {
  Section section(*this);
  for (const long long id : ids) {
    const auto it = pending_.find(id);
    if (it == pending_.end() || !it->second.reads) continue;
    if (it->second.command) {
      it->second.reads = false;
      continue;
    }
    Pending gone = std::move(it->second);
    pending_.erase(it);
    deadlines_.erase({gone.deadline, id});
    for (const auto& token : gone.tokens) tokens_.erase(token);
    section.fx.permits.push_back(std::move(gone.permit));
    auto* const client = find(gone.client);
    gone.recalled = true;
    if (client == nullptr || gone.id.empty() || repeat(gone, "", section.fx)) continue;
    if (gone.cancelled) {
      answer_error(*client, gone.id, static_cast<int>(ErrorKind::cancelled),
                   Error{ErrorKind::cancelled, config().name + " did not answer to the cancellation", {}}, section.fx);
    } else {
      answer_error(*client, gone.id, kContentModified,
                   Error{ErrorKind::unavailable,
                         config().name + " did not answer while another editor waited for it; ask again",
                         {}},
                   section.fx);
    }
  }
  pump(section.fx);
}

// True: the request waits again, and its client is not told of the error.
bool AttachSession::repeat(Pending& pending, std::string_view error, DeferredActions& fx) {
  auto* const client = find(pending.client);
  if (client == nullptr || pending.cancelled || pending.text.empty() || pending.repetitions >= kMaxRepetitions)
    return false;
  if (!pending.recalled && (!pending.disturbed || !means_again(error))) return false;
  Client::Queued again{std::move(pending.text), server_.next_id(), pending.deadline, ++turns_, pending.repetitions + 1};
  client->queued_bytes += again.text.size();
  ++client->queued_requests;
  watch_deadline(again.deadline, again.request);
  client->queue.push_front(std::move(again));
  if (pending.permit) fx.permits.push_back(std::move(pending.permit));
  return true;
}

// ---- the disk -------------------------------------------------------------------------------------------------------

AttachSession::Look AttachSession::to_look_at(const std::vector<std::string>& paths) const {
  Look out;
  for (const auto& path : paths) {
    const auto it = stamps_.find(path);
    const bool known = it != stamps_.end() && views_.knows_disk(path);
    out.emplace_back(path, known ? std::optional(it->second) : std::nullopt);
  }
  return out;
}

// `then` is called with the lock held.
void AttachSession::look(Look paths, std::function<void(DeferredActions&)> then, DeferredActions& fx) {
  fx.run.push_back([self = self(), paths = std::move(paths), then = std::move(then)]() mutable {
    auto task = [self, paths = std::move(paths), then](bool able) {
      struct Found {
        std::string path;
        std::optional<FileStamp> stamp;
        std::optional<std::string> text;
      };
      std::vector<Found> found;
      for (const auto& [path, known] : paths) {
        const auto info = able ? look_at(path) : fail(ErrorKind::overloaded, "");
        if (info && !info->folder && known && !known->fresh && info->stamp.same(*known)) continue;
        auto text = info && !info->folder ? read_file(path) : fail(ErrorKind::not_found, "");
        if (text) {
          found.push_back({path, info->stamp, std::move(*text)});
        } else {
          found.push_back({path, std::nullopt, std::nullopt});
        }
      }
      Section section(*self);
      [&]() GANTRY_NO_TSA {
        if (self->stamps_.size() + found.size() > kMaxStamps)
          std::erase_if(self->stamps_,
                        [&](const auto& each) GANTRY_NO_TSA { return !self->views_.knows_disk(each.first); });
        std::vector<Views::OnDisk> texts;
        for (auto& each : found) {
          self->stamps_.erase(each.path);
          if (each.stamp && self->stamps_.size() < kMaxStamps) self->stamps_.emplace(each.path, *each.stamp);
          texts.emplace_back(std::move(each.path), std::move(each.text));
        }
        self->views_.disk_is(std::move(texts));
        then(section.fx);
      }();
    };
    const auto shared = std::make_shared<decltype(task)>(std::move(task));
    // Without room for a look, files count as missing, which no open document is like.
    if (!self->context_->worker.post([shared] { (*shared)(true); })) (*shared)(false);
  });
}

// A text on the disk that is the client's now is another client's, too.
void AttachSession::look_at_saved(const std::string& key, DeferredActions& fx) {
  if (!key.starts_with('/')) return;
  look({{key, std::nullopt}}, [this](DeferredActions& later) GANTRY_NO_TSA { pump(later); }, fx);
}

}  // namespace gantry::lsp
