// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/request.hpp"

#include <algorithm>
#include <gantry/decimal.hpp>
#include <utility>

#include "plugins/ai/dispatcher.hpp"

namespace gantry::ai {

namespace {

RetryPolicy policy_of(const Target& target, std::uint64_t seed) {
  RetryPolicy policy;
  policy.max_retries = target.provider->max_retries;
  policy.seed = seed;
  return policy;
}

std::string seconds(Duration time) {
  std::string text = decimal(std::chrono::duration<double>(time).count(), 6);
  text.resize(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text + " s";
}

// Adds what only the request knows.
Error with_attempts(Error error, int attempts) {
  json data = json::object();
  if (auto known = parse_json(error.data); !error.data.empty() && known && known->is_object()) data = std::move(*known);
  data["attempts"] = attempts;
  error.data = dump_json(data);
  return error;
}

}  // namespace

Request::Request(Dispatcher& dispatcher, std::uint64_t id, Call call, std::shared_ptr<const Job> job,
                 std::vector<Target> targets, Duration timeout)
    : dispatcher_(dispatcher),
      id_(id),
      call_(std::move(call)),
      job_(std::move(job)),
      targets_(std::move(targets)),
      timeout_(timeout),
      backoff_(policy_of(targets_.front(), id)),
      progress_(dispatcher.host().now()) {}

void Request::begin() {
  const std::weak_ptr<Request> weak = weak_from_this();
  call_.on_cancel([weak] {
    if (const auto self = weak.lock()) self->cancel("its caller has cancelled it");
  });
  call_.on_credit([weak] {
    if (const auto self = weak.lock()) self->pump();
  });
  begin_model();
  if (!over_) queue_up();
}

void Request::queue_up() {
  queue_ = dispatcher_.permits(targets_[target_].provider->name);
  const auto ticket = queue_->acquire([weak = weak_from_this()](Permit permit) {
    if (const auto self = weak.lock()) self->granted(std::move(permit));
  });
  if (!ticket) return next_model(Failure{ticket.error(), false, {}});
  if (*ticket != 0) ticket_ = *ticket;  // else all has happened, up to the next model's turn
}

void Request::granted(Permit permit) {
  if (over_) return;
  ticket_ = 0;
  permit_ = std::move(permit);
  // The permit may come from one that has just timed out, at the same moment.
  if (dispatcher_.host().now() >= due()) return time_out();
  if (!attempted_) begin_model();
  if (!over_) attempt();
}

void Request::attempt() {
  ++attempts_;
  attempted_ = true;
  const std::weak_ptr<Request> weak = weak_from_this();
  auto channel = attempt_channel([weak, host = dispatcher_.host()] {
    (void)host.post([weak] {
      if (const auto self = weak.lock()) self->pump();
    });
  });
  inlet_.emplace(std::move(channel.inlet));
  auto sent = dispatcher_.manager().start(StartAttempt{job_, targets_[target_], std::move(channel.outlet)});
  if (!sent) finish(std::unexpected(sent.error()));
}

void Request::pump() {
  if (over_ || !inlet_) return;
  inlet_->control->noticed.store(false);
  if (inlet_->control->complete.load() && !linger_ && !inlet_->control->enough.load()) linger();
  if (!forward_items()) return;
  // Asked before the answer: once the items have ended, so has the oneshot.
  const bool ended = inlet_->items.drained();
  if (!outcome_) outcome_ = inlet_->answer.try_recv();
  if (!outcome_) {
    if (ended) finish(std::unexpected(worker_gone()));
    return;
  }
  if (!forward_items()) return;
  Outcome outcome = std::move(*outcome_);
  end_attempt();
  if (!outcome) return attempt_failed(std::move(outcome.error()));
  (*outcome)["model"] = targets_[target_].model;
  finish(std::move(*outcome));
}

bool Request::forward_items() {
  if (over_) return false;
  if (held_) {
    if (!forward(*held_)) return false;
    held_.reset();
  }
  while (auto item = inlet_->items.try_recv()) {
    // The worker had no room: now it has.
    if (inlet_->control->stalled.exchange(false)) dispatcher_.manager().wake();
    if (forward(*item)) continue;
    if (!over_) held_ = std::move(item);
    return false;
  }
  return true;
}

bool Request::forward(const std::string& item) {
  if (const auto taken = call_.item_raw(item); !taken) {
    // Without room on_credit will call again.
    if (taken.error().kind != ErrorKind::overloaded) finish(std::unexpected(taken.error()));
    return false;
  }
  ++delivered_;
  progress_ = dispatcher_.host().now();
  return true;
}

void Request::attempt_failed(Failure failure) {
  if (delivered_ > 0) return finish(std::unexpected(with_attempts(std::move(failure.error), attempts_)));
  if (failure.retryable && dispatcher_.has_timers()) {
    if (auto delay = backoff_.next()) {
      if (failure.retry_after) delay = failure.retry_after;
      if (dispatcher_.host().now() + *delay < due()) {
        dispatcher_.host().log(Level::debug, failure.error.message + "; attempt " + std::to_string(attempts_ + 1) +
                                                 " follows in " + seconds(*delay));
        return pause(*delay);
      }
    }
  }
  next_model(std::move(failure));
}

void Request::linger() {
  linger_ = dispatcher_.host().after(kLinger, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->over_) return;
    self->linger_.reset();
    self->take_complete();
  });
  if (!linger_) take_complete();
}

// The worker answers at once with what it has.
void Request::take_complete() {
  inlet_->control->enough.store(true);
  dispatcher_.manager().wake();
}

void Request::pause(Duration delay) {
  pause_ = dispatcher_.host().after(delay, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->over_) return;
    self->pause_.reset();
    self->queue_up();
  });
  if (!pause_) {
    return finish(fail(ErrorKind::overloaded,
                       "the host has no timer left for the pause before the next attempt; try again later",
                       R"({"retry_after_ms":1000})"));
  }
  // Last: another request begins here.
  permit_.release();
}

void Request::next_model(Failure failure) {
  if (has_successor()) {
    // Dies last: another request begins then.
    const Permit given_back = std::move(permit_);
    if (ticket_ != 0) (void)queue_->withdraw(std::exchange(ticket_, 0));
    ++target_;
    attempted_ = false;
    dispatcher_.host().log(Level::warn,
                           failure.error.message + "; model \"" + targets_[target_].model + "\" stands in");
    if (!first_failure_) first_failure_ = std::move(failure);
    backoff_ = Backoff(policy_of(targets_[target_], id_));
    if (job_->stream) progress_ = dispatcher_.host().now();
    begin_model();
    if (!over_) queue_up();
    return;
  }
  Error error = std::move(failure.error);
  if (first_failure_) {
    first_failure_->error.message += "; and of the models that stand in, the last failed as well: " + error.message;
    error = std::move(first_failure_->error);
  }
  finish(std::unexpected(with_attempts(std::move(error), attempts_)));
}

void Request::begin_model() {
  share_end_.reset();
  const TimePoint now = dispatcher_.host().now();
  if (has_successor()) {
    const Deadline end = job_->stream ? call_.deadline() : Deadline(due());
    if (const auto left = end.remaining(now)) share_end_ = now + *left * 2 / 3;
  }
  if (watch_) (void)dispatcher_.host().cancel(*watch_);
  watch();
}

TimePoint Request::due() const {
  if (grace_) return *grace_;
  const TimePoint at = Deadline(progress_ + timeout_).min(call_.deadline()).at();
  return share_end_ && delivered_ == 0 ? std::min(at, *share_end_) : at;
}

// One timer is enough: when it fires early, because items have come meanwhile, it is set anew.
void Request::watch() {
  const Duration left = std::max(Duration(0), due() - dispatcher_.host().now());
  watch_ = dispatcher_.host().after(left, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->watched();
  });
  if (!watch_ && dispatcher_.has_timers()) {
    finish(fail(ErrorKind::overloaded, "the host has no timer left to bound this request; try again later",
                R"({"retry_after_ms":1000})"));
  }
}

void Request::watched() {
  if (over_) return;
  watch_.reset();
  if (dispatcher_.host().now() < due()) return watch();
  time_out();
}

void Request::time_out() {
  if (inlet_ && inlet_->control->complete.load() && !held_ && !grace_) {
    grace_ = dispatcher_.host().now() + kLinger;
    take_complete();
    return watch();
  }
  Error error = timed_out();
  const TimePoint now = dispatcher_.host().now();
  const bool time_left = !call_.deadline().passed(now) && (job_->stream || now < progress_ + timeout_);
  if (!held_ && delivered_ == 0 && has_successor() && time_left) {
    if (pause_) (void)dispatcher_.host().cancel(*pause_);
    pause_.reset();
    end_attempt();
    dispatcher_.manager().wake();
    return next_model(Failure{std::move(error), false, {}});
  }
  if (first_failure_) error.message += "; the model that it stands in for has failed: " + first_failure_->error.message;
  finish(std::unexpected(std::move(error)));
}

Error Request::timed_out() const {
  std::string what = "model \"" + targets_[target_].model + "\" ";
  if (held_) {
    what = "the caller of model \"" + targets_[target_].model + "\" took no item";
  } else if (!inlet_ && !pause_) {
    what += "was busy with other requests";
  } else if (job_->stream) {
    what += delivered_ == 0 ? "sent no first item" : "sent no further item";
  } else {
    what += "did not answer";
  }
  const bool share = share_end_ && dispatcher_.host().now() < Deadline(progress_ + timeout_).min(call_.deadline()).at();
  what += share ? " within its share of the time" : " within its time";
  return Error{ErrorKind::timeout, what + " (async.ai_request_timeout_seconds is " + seconds(timeout_) + ")",
               dump_json({{"attempts", attempts_}, {"delivered", delivered_}})};
}

void Request::cancel(const char* why) {
  finish(fail(ErrorKind::cancelled,
              std::string(job_->kind == Job::Kind::chat ? "ai.chat" : "ai.complete") + " was cancelled: " + why));
}

void Request::end_attempt() {
  if (!inlet_) return;
  inlet_->control->cancelled.store(true);
  inlet_.reset();
  if (linger_) (void)dispatcher_.host().cancel(*linger_);
  linger_.reset();
  grace_.reset();
  outcome_.reset();
  held_.reset();
}

void Request::finish(Result<json> result) {
  if (std::exchange(over_, true)) return;
  const auto self = shared_from_this();
  const bool running = inlet_.has_value();
  if (ticket_ != 0) (void)queue_->withdraw(std::exchange(ticket_, 0));
  if (watch_) (void)dispatcher_.host().cancel(*watch_);
  if (pause_) (void)dispatcher_.host().cancel(*pause_);
  end_attempt();
  if (running) dispatcher_.manager().wake();
  call_.reply(result);
  dispatcher_.remove(id_);
  // Last: the next request begins here.
  permit_.release();
}

}  // namespace gantry::ai
