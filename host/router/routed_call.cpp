// SPDX-License-Identifier: Apache-2.0
#include "host/router/routed_call.hpp"

#include <functional>
#include <utility>

#include "host/plugins/plugin_call.hpp"

namespace gantry::host {

namespace {
[[nodiscard]] RetryPolicy policy_for(const CallRequest& request) {
  RetryPolicy policy = Router::kRetry;
  policy.seed = request.origin * 1'000'003 + std::hash<std::string>{}(request.method);
  return policy;
}
// Another attempt has none of the descriptors: a call that has any is not tried again.
[[nodiscard]] CallRequest again(const CallRequest& r) {
  return {r.method,      r.params,          r.origin, r.deadline, r.stream_credit,
          r.traceparent, r.idempotency_key, r.client, {},         r.rights};
}
}  // namespace

void RoutedCall::Attempt::item(std::string_view payload) {
  if (const auto sink = call_.listener(number_)) sink->item(payload);
}
bool RoutedCall::Attempt::has_room() const {
  const auto sink = call_.listener(number_);
  return !sink || sink->has_room();
}
void RoutedCall::Attempt::item_end() {
  if (const auto sink = call_.listener(number_)) sink->item_end();
}
void RoutedCall::Attempt::credit(std::uint32_t items) {
  if (const auto sink = call_.listener(number_)) sink->credit(items);
}
void RoutedCall::Attempt::progress(std::string_view payload) {
  if (const auto sink = call_.listener(number_)) sink->progress(payload);
}
void RoutedCall::Attempt::answered(Result<Answer> answer) { call_.attempt_answered(number_, std::move(answer)); }

std::shared_ptr<CallSink> RoutedCall::sink_of(std::uint64_t number) {
  if (number == kFirst) return {shared_from_this(), &first_};
  struct Later {
    Later(std::shared_ptr<RoutedCall> c, std::uint64_t n) : call(std::move(c)), attempt(*call, n) {}
    std::shared_ptr<RoutedCall> call;
    Attempt attempt;
  };
  const auto later = std::make_shared<Later>(shared_from_this(), number);
  return {later, &later->attempt};
}

RoutedCall::RoutedCall(Router& router, std::shared_ptr<Router::Method> method, CallRequest request,
                       std::shared_ptr<CallSink> sink, TimePoint now)
    : router_(router),
      method_(std::move(method)),
      deadline_(request.deadline),
      stream_(request.stream_credit.has_value()),
      may_retry_(method_->about.idempotent && !stream_ && request.descriptors.empty()),
      started_(now),
      request_(std::move(request)),
      sink_(std::move(sink)),
      backoff_(policy_for(request_)) {}

void RoutedCall::start() {
  method_->calls.fetch_add(1, std::memory_order_relaxed);
  method_->in_flight.fetch_add(1, std::memory_order_relaxed);
  if (!router_.open(*this)) {
    finish(fail(ErrorKind::unavailable, "the host is stopping"));
    return;
  }
  if (deadline_.exists()) start_deadline();
  if (!method_->permits) {
    attempt();
    return;
  }
  if (Permit permit = method_->permits->try_acquire()) {
    with_permit(std::move(permit));
    return;
  }
  auto ticket =
      method_->permits->acquire([self = shared_from_this()](Permit permit) { self->with_permit(std::move(permit)); });
  if (!ticket) {
    finish(std::unexpected(ticket.error()));
    return;
  }
  bool over = false;
  {
    Lock lock(mutex_);
    ticket_ = *ticket;
    over = sink_ == nullptr;
  }
  if (over && *ticket != 0) (void)method_->permits->withdraw(*ticket);
}

void RoutedCall::start_deadline() {
  const auto key = router_.timers_.at(deadline_.at(), [weak = weak_from_this()] {
    if (const auto call = weak.lock())
      call->give_up(Error{ErrorKind::timeout, call->method_->name + " was not answered within its deadline", {}});
  });
  bool over = false;
  {
    Lock lock(mutex_);
    deadline_timer_ = key;
    over = sink_ == nullptr;
  }
  if (over) (void)router_.timers_.cancel(key);
}

void RoutedCall::with_permit(Permit permit) {
  std::uint64_t number = 0;
  {
    Lock lock(mutex_);
    if (!sink_) return;  // given up while it waited; the permit dies here, after the lock
    permit_ = std::move(permit);
    number = ++number_;
  }
  attempt(number);
}

void RoutedCall::attempt() {
  std::uint64_t number = 0;
  {
    Lock lock(mutex_);
    if (!sink_) return;
    number = ++number_;
    retry_timer_ = 0;
  }
  attempt(number);
}

void RoutedCall::attempt(std::uint64_t number) {
  if (auto plugin = method_->plugin->peek()) {
    with_plugin(number, std::move(plugin));
    return;
  }
  if (may_retry_ && wait_for_plugin(number)) return;
  method_->plugin->get_async([self = shared_from_this(), number](Result<std::shared_ptr<Plugin>> plugin) {
    self->with_plugin(number, std::move(plugin));
  });
}

void RoutedCall::with_plugin(std::uint64_t number, Result<std::shared_ptr<Plugin>> plugin) {
  if (!plugin) {
    const Error& error = plugin.error();
    if (method_->plugin->held_for() && try_again(number, error)) return;  // not one that is held until it is released
    finish(std::unexpected(error), number);
    return;
  }
  const auto call = (*plugin)->open(sink_of(number));
  // It came too late for this instance, which never saw it, and there is another one, or will be.
  if (call->refused() && call->refused()->kind == ErrorKind::unavailable && method_->plugin->peek() != *plugin) {
    attempt(number);
    return;
  }
  CallRequest request;
  bool over = false;
  bool end = false;
  {
    // From here on credits, items and cancels go to the plugin's call; what came before is in the request.
    Lock lock(mutex_);
    over = !sink_ || number != number_;
    if (!over) {
      inner_ = call;
      end = end_sent_;
      if (may_retry_) {
        request = again(request_);
      } else {
        request = std::move(request_);
      }
    }
  }
  if (over) call->cancel();
  if (end) call->send_end();
  call->begin(std::move(request));
}

void RoutedCall::attempt_answered(std::uint64_t number, Result<Answer> answer) {
  if (!answer && try_again(number, answer.error())) return;
  finish(std::move(answer), number);
}

// Its plugin backs off after a failure: that is worth waiting for within the deadline.
bool RoutedCall::wait_for_plugin(std::uint64_t number) {
  const auto held = method_->plugin->held_for();
  if (!held || *held == Duration::zero()) return false;
  {
    Lock lock(mutex_);
    if (!sink_ || number != number_) return false;
    const auto left = deadline_.left(router_.timers_.now());
    if (left && *left <= *held) return false;
    ++number_;
  }
  attempt_after(*held);
  return true;
}

bool RoutedCall::try_again(std::uint64_t number, const Error& error) {
  if (!may_retry_ || (error.kind != ErrorKind::unavailable && error.kind != ErrorKind::plugin_died)) return false;
  std::optional<Duration> delay;
  int failed_attempts = 0;
  {
    Lock lock(mutex_);
    if (!sink_ || number != number_) return false;
    const auto left = deadline_.left(router_.timers_.now());
    delay = backoff_.next();
    if (!delay || (left && *left <= *delay)) return false;
    ++number_;  // this attempt is over
    inner_.reset();
    failed_attempts = backoff_.retries();
  }
  method_->retries.fetch_add(1, std::memory_order_relaxed);
  router_.log_.write(Level::warn, "router",
                     method_->name + " failed (attempt " + std::to_string(failed_attempts) + "): " + error.message);
  attempt_after(*delay);
  return true;
}

void RoutedCall::attempt_after(Duration delay) {
  // Between two attempts nobody else need hold it.
  const auto key = router_.timers_.after(delay, [self = shared_from_this()] { self->attempt(); });
  {
    Lock lock(mutex_);
    if (sink_) {
      retry_timer_ = key;
      return;
    }
  }
  (void)router_.timers_.cancel(key);  // it was given up meanwhile
}

void RoutedCall::give_up(Error error) {
  if (const auto call = finish(std::unexpected(std::move(error)))) call->cancel();
}

std::shared_ptr<ActiveCall> RoutedCall::finish(Result<Answer> answer, std::uint64_t number) {
  std::shared_ptr<CallSink> sink;
  Permit permit;
  TimerKey deadline_timer = 0;
  TimerKey retry_timer = 0;
  std::uint64_t ticket = 0;
  std::shared_ptr<ActiveCall> call;
  {
    Lock lock(mutex_);
    if (!sink_ || (number != 0 && number != number_)) return nullptr;
    sink = std::move(sink_);
    sink_.reset();
    call = std::move(inner_);
    inner_.reset();
    permit = std::move(permit_);
    deadline_timer = deadline_timer_;
    retry_timer = retry_timer_;
    ticket = ticket_;
  }
  if (deadline_timer != 0) (void)router_.timers_.cancel(deadline_timer);
  if (retry_timer != 0) (void)router_.timers_.cancel(retry_timer);
  if (ticket != 0) (void)method_->permits->withdraw(ticket);
  permit.release();  // before the answer: who gets it may call again at once
  method_->count_end(router_.timers_.now() - started_, !answer);
  sink->answered(std::move(answer));
  router_.closed(*this);
  return call;
}

std::shared_ptr<CallSink> RoutedCall::listener(std::uint64_t number) const {
  Lock lock(mutex_);
  return number == number_ ? sink_ : nullptr;
}

std::shared_ptr<ActiveCall> RoutedCall::inner() const {
  Lock lock(mutex_);
  return inner_;
}

Result<void> RoutedCall::send_item(std::string payload) {
  const auto call = inner();
  if (call) return call->send_item(std::move(payload));
  Lock lock(mutex_);
  if (!sink_) return {};
  return fail(ErrorKind::overloaded, "an item was sent without credit; wait for $/credit");
}

void RoutedCall::send_end() {
  std::shared_ptr<ActiveCall> call;
  {
    Lock lock(mutex_);
    end_sent_ = true;
    call = inner_;
  }
  if (call) call->send_end();
}

void RoutedCall::give_credit(std::uint32_t items) {
  if (!stream_) return;  // no items come of it, so it may be tried again
  std::shared_ptr<ActiveCall> call;
  {
    Lock lock(mutex_);
    call = inner_;
    if (!call && request_.stream_credit) {
      constexpr std::uint32_t kMost = 0xFFFFFFFF;
      *request_.stream_credit = items > kMost - *request_.stream_credit ? kMost : *request_.stream_credit + items;
    }
  }
  if (call) call->give_credit(items);
}

void RoutedCall::cancel() { give_up(Error{ErrorKind::cancelled, "the caller cancelled the call", {}}); }

}  // namespace gantry::host
