// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "host/daemon/places.hpp"

namespace gantry::host {

namespace {
/// Who removes a folder removes its files first, and must not find new ones in it then.
constexpr Duration kQuiet = std::chrono::milliseconds(250);
constexpr Duration kFirstPause = std::chrono::seconds(1);
constexpr Duration kLongestPause = std::chrono::seconds(60);
}  // namespace

Places::Places(Deps deps, Options options)
    : deps_(deps),
      options_(std::move(options)),
      watch_(std::make_shared<PlaceWatch>(deps.workers, [this](PlaceWatch::Why why) { look(why); })) {}

Result<void> Places::open() {
  auto state = StateLock::take(options_.state_dir);
  if (!state && options_.needs_state && state.error().kind == ErrorKind::conflict)
    return std::unexpected(state.error());
  if (!state) deps_.log.write(Level::warn, "host", state.error().message);
  {
    Lock lock(mutex_);
    if (state) {
      state_lock_ = std::make_shared<const StateLock>(std::move(*state));
    } else {
      state_problem_ = state.error();
    }
  }
  if (auto ok = deps_.server.open(options_.socket); !ok) return ok;
  publish_socket();
  watch();
  mend();  // what was removed before it was watched
  return {};
}

std::shared_ptr<const StateLock> Places::state_lock() const {
  Lock lock(mutex_);
  return state_lock_;
}

void Places::publish_socket() {
  if (const auto held = state_lock()) held->write_socket(deps_.server.socket());
}

void Places::watch() {
  if (auto ok = watch_->watch({options_.socket, deps_.server.socket(), options_.state_dir / "host.lock"}); !ok)
    deps_.log.write(Level::warn, "host", ok.error().message);
}

void Places::stop() {
  watch_->stop();
  (void)deps_.timers.cancel(std::exchange(mend_timer_, 0));
}

bool Places::all_in_place() const {
  const auto held = state_lock();
  return deps_.server.in_place() && deps_.server.socket() == options_.socket && (!held || held->in_place());
}

void Places::look(PlaceWatch::Why why) {
  if (why == PlaceWatch::Why::asked) return mend();
  if (all_in_place()) return;
  (void)deps_.timers.cancel(std::exchange(mend_timer_, 0));
  mend_after(kQuiet);
}

void Places::mend_after(Duration pause) {
  mend_timer_ = deps_.timers.after(pause, [this] { deps_.workers.first().post([this] { mend(); }); });
}

void Places::mend() {
  (void)deps_.timers.cancel(std::exchange(mend_timer_, 0));
  if (!deps_.server.is_open()) return;
  mend_socket();
  mend_state_lock();
  if (all_in_place()) {
    mend_again_after_ = {};
    return;
  }
  // Nothing tells when a folder can be made again.
  mend_again_after_ = std::clamp(mend_again_after_ * 2, kFirstPause, kLongestPause);
  mend_after(mend_again_after_);
}

void Places::mend_socket() {
  const bool was_there = deps_.server.in_place();
  if (was_there && deps_.server.socket() == options_.socket) return;
  auto done = deps_.server.renew(options_.socket);
  if (!done && !was_there) {
    deps_.log.write(Level::error, "host",
                    "the socket " + deps_.server.socket().string() +
                        " was removed, and cannot be made anew: " + done.error().message);
    if (!options_.fallback.empty()) done = deps_.server.renew(options_.fallback);
  }
  if (!done) return;
  publish_socket();
  watch();
  deps_.log.write(
      Level::warn, "host",
      std::string(was_there ? "the socket's place is there again" : "the socket or its lock was removed from outside") +
          "; gantry serves " + deps_.server.socket().string() + " from now on");
}

void Places::mend_state_lock() {
  const auto held = state_lock();
  if (!held || held->in_place()) return;
  auto again = StateLock::take(options_.state_dir, false);
  if (!again) {
    deps_.log.write(Level::error, "host",
                    "the lock of the state folder was removed from outside: " + again.error().message);
    return;
  }
  {
    Lock lock(mutex_);
    state_lock_ = std::make_shared<const StateLock>(std::move(*again));
  }
  publish_socket();
  watch();
}

Result<void> Places::may_start(const PluginSpec& spec) {
  if (!spec.manifest || spec.manifest->logs.empty()) return {};
  {
    Lock lock(mutex_);
    if (!state_problem_ || state_problem_->kind != ErrorKind::conflict) return {};
  }
  auto state = StateLock::take(options_.state_dir);
  if (!state) return fail(ErrorKind::unavailable, "plugin " + spec.name + " is not started: " + state.error().message);
  {
    Lock lock(mutex_);
    state_lock_ = std::make_shared<const StateLock>(std::move(*state));
    state_problem_.reset();
  }
  publish_socket();
  deps_.workers.first().post([this] { watch(); });
  return {};
}

json Places::warnings() const {
  json out = json::array();
  Lock lock(mutex_);
  if (state_problem_) {
    out.push_back(state_problem_->message);
  } else if (const auto problem = deps_.log.problem()) {
    out.push_back(problem->message);
  }
  return out;
}

}  // namespace gantry::host
