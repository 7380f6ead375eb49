// SPDX-License-Identifier: Apache-2.0
//
// Who uses a shared server, and what happens when nobody does: it ends by `shutdown` and `exit`, and the next call
// starts another. One timer for each server that is ready, which is armed again until the server is idle for so long.
#include <algorithm>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/guest.hpp"
#include "plugins/lsp/shared.hpp"

namespace gantry::lsp {

void SharedSession::asked_by(std::uint64_t origin) {
  used_at_ = context_->host.now();  // and again at the end of the call
  const auto it = std::ranges::find(users_, origin, &Use::origin);
  const Use client = it == users_.end() ? Use{.origin = origin} : *it;
  if (it != users_.end()) users_.erase(it);
  if (users_.size() >= kMaxUsers) users_.pop_front();
  users_.push_back(client);
}

void SharedSession::sent_for(std::uint64_t origin) {
  const auto it = std::ranges::find(users_, origin, &Use::origin);
  if (it != users_.end()) ++it->requests;
}

std::vector<Session::Use> SharedSession::users() const { return {users_.begin(), users_.end()}; }

void SharedSession::client_left(std::uint64_t origin) {
  Lock lock(mutex_);
  std::erase_if(users_, [&](const Use& use) { return use.origin == origin; });
}

bool SharedSession::is_busy() const { return clients() > 0 || standing_.in_progress(); }

void SharedSession::settings_are_new() {
  Lock lock(mutex_);
  if (const auto timer = std::exchange(idle_timer_, std::nullopt)) (void)context_->host.cancel(*timer);
  await_idleness();
}

// Without a timer the server stays until another look, or for good.
void SharedSession::await_idleness() {
  const Duration time = context_->idle_stop();
  if (idle_timer_ || time == Duration::zero() || server_.state() != ServerState::ready) return;
  const auto left = std::max(used_at_ + time - context_->host.now(), Duration(1));
  // By its number: one that could not be cancelled finds that another has taken its place.
  idle_timer_ = context_->host.after(
      left, [look = ++idle_look_, over = later(&SharedSession::look_for_idleness)] { over(look); });
}

void SharedSession::look_for_idleness(std::uint64_t look) {
  Section section(*this);
  if (look != idle_look_ || !idle_timer_) return;
  idle_timer_.reset();
  const Duration time = context_->idle_stop();
  if (server_.state() != ServerState::ready || time == Duration::zero()) return;
  const TimePoint now = context_->host.now();
  if (is_busy()) used_at_ = now;
  if (now - used_at_ < time) return await_idleness();
  section.fx.log(context_, Level::info,
                 config().name + " ends, since nobody has asked it for " +
                     std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) +
                     " s ([lsp] idle_stop_seconds); the next call starts it again");
  rests_ = true;
  server_.step(ServerEvent::idle, section.fx);
}

// ---- a server of editors -------------------------------------------------------------------------------------------

std::shared_ptr<ServerConnection> SharedSession::find_running(const std::weak_ptr<ConnectionEvents>& events) {
  std::string place;
  {
    Lock lock(mutex_);
    place = root();
  }
  const auto editors = find_editors_(config(), place);
  if (!editors) return nullptr;
  Lock lock(mutex_);
  editors_ = editors;
  return std::make_shared<GuestConnection>(context_, editors, events);
}

void SharedSession::prefer_editors() {
  std::string place;
  {
    Lock lock(mutex_);
    if (server_.state() != ServerState::ready || server_.is_guest() || is_busy()) return;
    place = root();
  }
  const auto editors = find_editors_(config(), place);
  if (!editors || !editors->is_ready()) return;
  Section section(*this);
  if (server_.state() != ServerState::ready || server_.is_guest() || is_busy()) return;
  section.fx.log(context_, Level::info, "callers of " + config().name + " share the server of its editors from now on");
  rests_ = true;
  server_.step(ServerEvent::idle, section.fx);
}

}  // namespace gantry::lsp
