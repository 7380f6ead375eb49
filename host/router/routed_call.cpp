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
}  // namespace

// The sink that one attempt's plugin call speaks to.
class RoutedCall::Attempt final : public CallSink {
 public:
  Attempt(std::shared_ptr<RoutedCall> call, std::uint64_t number) : call_(std::move(call)), number_(number) {}
  void item(std::string_view payload) override {
    if (const auto sink = call_->listener(number_, true)) sink->item(payload);
  }
  void item_end() override {
    if (const auto sink = call_->listener(number_, false)) sink->item_end();
  }
  void credit(std::uint32_t items) override {
    if (const auto sink = call_->listener(number_, false)) sink->credit(items);
  }
  void progress(std::string_view payload) override {
    if (const auto sink = call_->listener(number_, false)) sink->progress(payload);
  }
  void answered(Result<std::string> answer) override { call_->attempt_answered(number_, std::move(answer)); }

 private:
  const std::shared_ptr<RoutedCall> call_;
  const std::uint64_t number_;
};

RoutedCall::RoutedCall(Router& router, CallRequest request, std::shared_ptr<CallSink> sink, std::string plugin,
                       bool idempotent, bool attach)
    : router_(router),
      plugin_(std::move(plugin)),
      idempotent_(idempotent && !request.stream_credit),
      attach_(attach),
      started_(router.timers_.now()),
      request_(std::move(request)),
      sink_(std::move(sink)),
      backoff_(policy_for(request_)) {}

void RoutedCall::start(const std::shared_ptr<PermitQueue>& permits) {
  Deadline deadline;
  std::string method;
  {
    Lock lock(mutex_);
    deadline = request_.deadline;
    method = request_.method;
    permits_ = permits;
  }
  router_.count_start(method);
  if (!router_.open(shared_from_this())) {
    finish(fail(ErrorKind::unavailable, "the host is stopping"));
    return;
  }
  if (deadline.exists()) {
    const auto key = router_.timers_.at(deadline.at(), [weak = weak_from_this(), method] {
      if (const auto call = weak.lock())
        call->give_up(Error{ErrorKind::timeout, method + " was not answered within its deadline", {}});
    });
    bool over = false;
    {
      Lock lock(mutex_);
      deadline_timer_ = key;
      over = sink_ == nullptr;
    }
    if (over) (void)router_.timers_.cancel(key);
  }
  if (!permits) {
    attempt();
    return;
  }
  auto ticket = permits->acquire([self = shared_from_this()](Permit permit) { self->with_permit(std::move(permit)); });
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
  if (over && *ticket != 0) (void)permits->withdraw(*ticket);
}

void RoutedCall::with_permit(Permit permit) {
  {
    Lock lock(mutex_);
    if (!sink_) return;  // given up while it waited; the permit dies here, after the lock
    permit_ = std::move(permit);
  }
  attempt();
}

void RoutedCall::attempt() {
  std::uint64_t number = 0;
  {
    Lock lock(mutex_);
    if (!sink_) return;
    number = ++number_;
    retry_timer_ = 0;
  }
  router_.services_.acquire(plugin_, [self = shared_from_this(), number](Result<std::shared_ptr<InlinePlugin>> plugin) {
    self->with_plugin(number, std::move(plugin));
  });
}

void RoutedCall::with_plugin(std::uint64_t number, Result<std::shared_ptr<InlinePlugin>> plugin) {
  if (!plugin) {
    attempt_answered(number, std::unexpected(plugin.error()));
    return;
  }
  const auto call = (*plugin)->open(std::make_shared<Attempt>(shared_from_this(), number));
  CallRequest request;
  bool over = false;
  bool end = false;
  {
    // From here on credits, items and cancels go to the plugin's call; what came before is in the request.
    Lock lock(mutex_);
    over = !sink_ || number != number_;
    if (!over) {
      inner_ = call;
      request = request_;
      end = end_sent_;
    }
  }
  if (over) call->cancel();
  if (end) call->send_end();
  (*plugin)->begin(call, std::move(request));
}

void RoutedCall::attempt_answered(std::uint64_t number, Result<std::string> answer) {
  {
    Lock lock(mutex_);
    if (!sink_ || number != number_) return;
  }
  if (!answer && try_again(number, answer.error())) return;
  finish(std::move(answer));
}

bool RoutedCall::try_again(std::uint64_t number, const Error& error) {
  if (!idempotent_ || (error.kind != ErrorKind::unavailable && error.kind != ErrorKind::plugin_died)) return false;
  std::optional<Duration> delay;
  std::string method;
  int failed_attempts = 0;
  {
    Lock lock(mutex_);
    if (!sink_ || number != number_ || items_seen_) return false;
    const auto left = request_.deadline.left(router_.timers_.now());
    delay = backoff_.next();
    if (!delay || (left && *left <= *delay)) return false;
    ++number_;  // this attempt is over
    inner_.reset();
    method = request_.method;
    failed_attempts = backoff_.retries();
  }
  router_.count_retry(method);
  router_.log_.write(Level::warn, "router",
                     method + " failed (attempt " + std::to_string(failed_attempts) + "): " + error.message);
  const auto key = router_.timers_.after(*delay, [weak = weak_from_this()] {
    if (const auto call = weak.lock()) call->attempt();
  });
  Lock lock(mutex_);
  retry_timer_ = key;
  return true;
}

void RoutedCall::give_up(Error error) {
  if (const auto call = finish(std::unexpected(std::move(error)))) call->cancel();
}

std::shared_ptr<ActiveCall> RoutedCall::finish(Result<std::string> answer) {
  std::shared_ptr<CallSink> sink;
  std::shared_ptr<PermitQueue> permits;
  Permit permit;
  TimerKey deadline_timer = 0;
  TimerKey retry_timer = 0;
  std::uint64_t ticket = 0;
  std::string method;
  std::shared_ptr<ActiveCall> call;
  {
    Lock lock(mutex_);
    if (!sink_) return nullptr;
    sink = std::move(sink_);
    sink_.reset();
    call = std::move(inner_);
    inner_.reset();
    permits = std::move(permits_);
    permit = std::move(permit_);
    deadline_timer = deadline_timer_;
    retry_timer = retry_timer_;
    ticket = ticket_;
    method = request_.method;
  }
  if (deadline_timer != 0) (void)router_.timers_.cancel(deadline_timer);
  if (retry_timer != 0) (void)router_.timers_.cancel(retry_timer);
  if (ticket != 0 && permits) (void)permits->withdraw(ticket);
  permit.release();  // before the answer: who gets it may call again at once
  router_.count_end(method, router_.timers_.now() - started_, !answer);
  sink->answered(std::move(answer));
  router_.closed(this);
  return call;
}

std::shared_ptr<CallSink> RoutedCall::listener(std::uint64_t number, bool item) {
  Lock lock(mutex_);
  if (number != number_) return nullptr;
  items_seen_ = items_seen_ || item;
  return sink_;
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
