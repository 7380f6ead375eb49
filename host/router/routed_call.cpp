// SPDX-License-Identifier: Apache-2.0
#include "host/router/routed_call.hpp"

#include <functional>
#include <utility>

#include "host/plugins/plugin.hpp"

namespace gantry::host {

namespace {
using Ptr = boost::intrusive_ptr<RoutedCall>;

/// The delay before the next attempt after `retries` of them; empty: there is none.
[[nodiscard]] std::optional<Duration> delay_after(int retries, const CallRequest& request) {
  RetryPolicy policy = Router::kRetry;
  policy.seed = request.origin * 1'000'003 + std::hash<std::string>{}(request.method);
  Backoff backoff(policy);
  for (; retries > 0; --retries) (void)backoff.next();
  return backoff.next();
}
}  // namespace

template <class Undo>
void RoutedCall::keep(std::atomic<std::uint64_t>& key, std::uint64_t value, Undo undo) {
  key.store(value, std::memory_order_seq_cst);
  if ((word_.load(std::memory_order_seq_cst) & kAnswered) == 0) return;
  if (const auto mine = key.exchange(0); mine != 0) undo(mine);
}

void RoutedCall::start(Router& router, Router::Method& method, TimePoint now) {
  router_ = &router;
  method_ = &method;
  started_ = now;
  may_retry_ = method.about.idempotent && !is_stream() && request().descriptors.empty();
  method.counts().calls.fetch_add(1, std::memory_order_relaxed);
  if (!router.open_.enter(*this)) {
    end(fail(ErrorKind::unavailable, "the host is stopping"));
    return;
  }
  if (request().deadline.exists() && request().deadline.at() <= now) return expire();
  if (!method.permits) {
    attempt();
    return;
  }
  if (method.permits->try_take()) {
    with_permit();
    return;
  }
  auto ticket = method.permits->acquire([self = Ptr(this)](Permit permit) {
    permit.keep();
    self->with_permit();
  });
  if (!ticket) {
    end(std::unexpected(ticket.error()));
  } else if (*ticket != 0) {
    keep(ticket_, *ticket, [this](std::uint64_t mine) { (void)method_->permits->withdraw(mine); });
  }
}

void RoutedCall::expire() {
  give_up(Error{ErrorKind::timeout, method_->name + " was not answered within its deadline", {}});
}

void RoutedCall::with_permit() {
  if ((mark(kHasPermit) & kAnswered) != 0) {
    method_->permits->give_back();  // given up while it waited
  } else {
    attempt();
  }
}

void RoutedCall::attempt() {
  retry_timer_.store(0, std::memory_order_relaxed);
  if (is_over()) return;
  if (const auto borrowed = InstanceReaders::borrow(*method_->plugin); borrowed.get() != nullptr)
    return open_at(*borrowed.get());
  if (const auto plugin = method_->plugin->peek()) return open_at(*plugin);
  if (may_retry_ && wait_for_plugin()) return;
  method_->plugin->get_async(
      [self = Ptr(this)](Result<std::shared_ptr<Plugin>> plugin) { self->with_plugin(std::move(plugin)); });
}

void RoutedCall::with_plugin(Result<std::shared_ptr<Plugin>> plugin) {
  if (!plugin) {
    const Error& error = plugin.error();
    if (method_->plugin->held_for() && try_again(error)) return;  // not one that is held until it is released
    end(std::unexpected(error));
    return;
  }
  open_at(**plugin);
}

void RoutedCall::open_at(Plugin& plugin) {
  const auto opened = plugin.open(PluginCallPtr(this));
  if (opened) return;
  // It came too late for this instance, which never saw it, and there is another one, or will be.
  if (opened.error().kind == ErrorKind::unavailable && method_->plugin->peek().get() != &plugin) {
    attempt();
  } else {
    attempt_over(std::unexpected(opened.error()));
  }
}

void RoutedCall::attempt_over(PluginAnswer result) {
  if (!result.is_error() || !try_again(result.error())) end(std::move(result));
}

void RoutedCall::end(PluginAnswer result) {
  if (const Word before = conclude(); (before & kAnswered) == 0) answer(before, std::move(result));
}

// Its plugin backs off after a failure: that is worth waiting for within the deadline.
bool RoutedCall::wait_for_plugin() {
  const auto held = method_->plugin->held_for();
  if (!held || *held == Duration::zero()) return false;
  const auto left = request().deadline.remaining(router_->timers_.now());
  if (left && *left <= *held) return false;
  attempt_after(*held);
  return true;
}

bool RoutedCall::try_again(const Error& error) {
  if (!may_retry_ || (error.kind != ErrorKind::unavailable && error.kind != ErrorKind::plugin_died)) return false;
  if (is_over()) return false;
  const auto left = request().deadline.remaining(router_->timers_.now());
  const auto delay = delay_after(retries_, request());
  if (!delay || (left && *left <= *delay)) return false;
  if ((unmark(kOwed) & kAnswered) != 0) return true;  // given up just now
  ++retries_;
  method_->counts().retries.fetch_add(1, std::memory_order_relaxed);
  router_->log_.write(Level::warn, "router",
                      method_->name + " failed (attempt " + std::to_string(retries_) + "): " + error.message);
  attempt_after(*delay);
  return true;
}

// Between two attempts nobody else need hold it.
void RoutedCall::attempt_after(Duration delay) {
  const auto key = router_->timers_.after(delay, [self = Ptr(this)] { self->attempt(); });
  keep(retry_timer_, key, [this](TimerKey mine) { (void)router_->timers_.cancel(mine); });
}

void RoutedCall::give_up(Error error) {
  const Word before = mark(kAnswered | kCancelled);
  if ((before & kAnswered) != 0) return;
  answer(before, std::unexpected(std::move(error)));
  tell_cancelled(before);
}

void RoutedCall::answer(Word before, PluginAnswer result) {
  if (const auto key = retry_timer_.exchange(0); key != 0) (void)router_->timers_.cancel(key);
  // Before the answer: who gets it may call again at once.
  if ((before & kHasPermit) != 0) {
    method_->permits->give_back();
  } else if (const auto ticket = ticket_.exchange(0); ticket != 0) {
    (void)method_->permits->withdraw(ticket);
  }
  method_->count_end(router_->timers_.now() - started_, result.is_error());
  give(std::move(result));
  router_->closed(*this);
}

}  // namespace gantry::host
