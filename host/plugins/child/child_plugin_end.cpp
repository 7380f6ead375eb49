// SPDX-License-Identifier: Apache-2.0
//
// How the process of a plugin ends: by itself, killed because it says nothing any more, or stopped.
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <utility>

#include "host/plugins/child/child_plugin.hpp"

namespace gantry::host {

void ChildPlugin::ended(const std::string& why) {
  const bool starting = started_.has_value();
  started_.reset();
  (void)stopped_.reply.send(false);
  {
    const Lock lock(mutex_);
    if (stopping_ || starting) return;  // who waits for its start or its end sees to it
  }
  refuse_calls();
  if (exited_) {
    report_death(why);
    return;
  }
  // What becomes of the process is known a moment later.
  why_ = why;
  timeout_ = deps_.workers.timers().after(kExitGrace, [weak = weak_self()] {
    if (const auto plugin = weak.lock()) plugin->kill();
  });
}

// A process that it has left behind may hold the socket open: the end of the link alone says too little.
Result<void> ChildPlugin::watch_process() {
  auto watched = Descriptor::duplicate(pidfd_);
  if (!watched) return std::unexpected(watched.error());
  auto descriptor =
      std::make_shared<boost::asio::posix::stream_descriptor>(deps_.workers.first().context(), watched->release());
  descriptor->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [descriptor, weak = weak_self()](const boost::system::error_code& /*failed*/) {
                           if (const auto plugin = weak.lock()) plugin->process_ended();
                         });
  return {};
}

void ChildPlugin::process_ended() {
  exited_ = true;
  if (!why_) {
    link_->finish("its process has ended");
    return;
  }
  (void)deps_.workers.timers().cancel(timeout_);
  report_death(*why_);
}

// On the worker that reads its output.
void ChildPlugin::report_death(const std::string& why) {
  const auto end = reap(std::chrono::steady_clock::now());
  Death became = hung_ ? Death{*hung_} : end.value_or(Death{why});
  became.calls = open_methods();
  became.folder = deps_.confinement.folder;
  output_->read_rest();
  port().log(Level::error, "its process has ended: " + became.reason);
  port().unsubscribe();
  dead_letter_events("its plugin died");
  // First this: who is answered may call again at once.
  if (deps_.died) deps_.died(shared_from_this(), became);
  answer_all(Error{ErrorKind::plugin_died, "plugin " + name() + " died: " + became.reason, {}});
}

void ChildPlugin::watch_silence() {
  if (deps_.hung_after == Duration::zero() || watching_.load(std::memory_order_relaxed)) return;
  if (watching_.exchange(true)) return;
  (void)timers().after(deps_.hung_after, [weak = weak_self()] {
    const auto plugin = weak.lock();
    if (!plugin) return;
    plugin->deps_.workers.first().post([weak] {
      if (const auto p = weak.lock()) p->look_for_silence();
    });
  });
}

// On the link's worker.
void ChildPlugin::look_for_silence() {
  const bool heard = std::exchange(heard_, false);
  watching_ = false;  // before the calls are looked at: one that comes now watches itself
  if (open_calls() == 0) {
    pinged_.reset();
    return;
  }
  // A clock that was moved on (a test's) has not given it the time to answer.
  const auto now = std::chrono::steady_clock::now();
  if (pinged_ && !heard && now - *pinged_ >= kExitGrace) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(deps_.hung_after).count();
    hung_ = "stands still: its process has said nothing for " + std::to_string(seconds) + " s, and answers no ping";
    kill();
    return;
  }
  if (!pinged_ || heard) {
    pinged_ = now;
    (void)link_->send(wire::make(wire::kPing));
  }
  watch_silence();
}

void ChildPlugin::kill() const {
  if (pidfd_ >= 0) (void)::syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0);
}

std::optional<Death> ChildPlugin::reap(std::chrono::steady_clock::time_point until) {
  if (pidfd_ < 0) return std::nullopt;
  constexpr auto kForEver = std::chrono::steady_clock::time_point::max();
  pollfd watched{pidfd_, POLLIN, 0};
  int ready = -1;
  while (ready < 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    ready = ::poll(&watched, 1, until == kForEver ? -1 : std::max(0, static_cast<int>(left.count())));
    if (ready < 0 && errno != EINTR) return std::nullopt;
  }
  if (ready == 0) return std::nullopt;
  const Lock lock(mutex_);
  if (!became_) {
    (void)::kill(-pid_, SIGKILL);  // what it has left behind; until it is waited for the group's number is its own
    siginfo_t info{};
    const bool known = ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd_), &info, WEXITED) == 0;
    became_ = known ? death_of(info) : Death{"unknown"};
  }
  return became_;
}

bool ChildPlugin::stop(Duration budget) {
  {
    const Lock lock(mutex_);
    if (std::exchange(stopping_, true)) return true;
  }
  refuse_calls();
  port().unsubscribe();
  auto msg = wire::make(wire::kStop);
  msg.budget_ns = budget.count();
  msg.status = has_successor() ? 1 : 0;
  (void)link_->send(msg);
  // Its own timeout ends first, and it says what happened.
  const auto returned = stopped_.answer.recv_for(budget + kExitGrace);
  const bool clean = returned && *returned;
  link_->close_soon();
  if (!reap(std::chrono::steady_clock::now() + kExitGrace)) {
    port().log(Level::error, "its process does not end; it is killed");
    kill();
    (void)reap(std::chrono::steady_clock::time_point::max());
  }
  dead_letter_events("it was stopped before its handler was given it again");
  bool said = false;
  {
    const Lock lock(mutex_);
    said = stopped_said_;
  }
  if (!said || !clean) take_back();  // what it has given may be the half of it
  answer_all(unanswered());
  return clean;
}

}  // namespace gantry::host
