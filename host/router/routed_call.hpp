// SPDX-License-Identifier: Apache-2.0
//
// host/router/routed_call.hpp: one call on its way through the router: permit, service, attempts,
// answer.
//
// It stands between the door's sink and the plugin's call, so that whatever happens behind (a time-out, a cancel, an
// attempt that is tried again, an answer that comes late) the door hears one answer. Each attempt has a number; what an
// older attempt still says is dropped.
//
// The common call, whose permit is free and whose plugin runs, goes through in one go and enters mutex_ four times.
//
// Thread rule: any thread. mutex_ is not held while the sink, the plugin, the timers or the permits are called.
#pragma once

#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>
#include <gantry/retry.hpp>
#include <memory>
#include <string>

#include "host/calls/call.hpp"
#include "host/router/router.hpp"

namespace gantry::host {

class RoutedCall final : public ActiveCall, public std::enable_shared_from_this<RoutedCall> {
 public:
  RoutedCall(Router& router, std::shared_ptr<Router::Method> method, CallRequest request,
             std::shared_ptr<CallSink> sink, TimePoint now);

  /// Begins the way.
  void start();
  /// Answers with an error that the router itself makes, and lets the plugin know.
  void give_up(Error error);
  [[nodiscard]] bool is_attach() const { return method_->about.attach; }

  // From the door.
  [[nodiscard]] Result<void> send_item(std::string payload) override;
  void send_end() override;
  void give_credit(std::uint32_t items) override;
  void cancel() override;

 private:
  friend class Router;
  friend class gantry::detail::NodeList<RoutedCall>;
  /// The sink that one attempt's plugin call speaks to. It lives as long as the call.
  class Attempt final : public CallSink {
   public:
    Attempt(RoutedCall& call, std::uint64_t number) : call_(call), number_(number) {}
    void item(std::string_view payload) override;
    [[nodiscard]] bool has_room() const override;
    void item_end() override;
    void credit(std::uint32_t items) override;
    void progress(std::string_view payload) override;
    void answered(Result<Answer> answer) override;

   private:
    RoutedCall& call_;
    const std::uint64_t number_;
  };
  static constexpr std::uint64_t kFirst = 1;
  [[nodiscard]] std::shared_ptr<CallSink> sink_of(std::uint64_t number);
  void start_deadline();
  void with_permit(Permit permit);
  void attempt();
  void attempt(std::uint64_t number);
  void with_plugin(std::uint64_t number, Result<std::shared_ptr<Plugin>> plugin);
  void attempt_answered(std::uint64_t number, Result<Answer> answer);
  [[nodiscard]] bool try_again(std::uint64_t number, const Error& error);
  [[nodiscard]] bool wait_for_plugin(std::uint64_t number);
  void attempt_after(Duration delay);
  /// Answers, unless that was done or `number` is not the current attempt's (0: of none). The plugin's call that was
  /// open then, if any.
  std::shared_ptr<ActiveCall> finish(Result<Answer> answer, std::uint64_t number = 0);
  // The door's sink while attempt `number` is the current one.
  [[nodiscard]] std::shared_ptr<CallSink> listener(std::uint64_t number) const;
  [[nodiscard]] std::shared_ptr<ActiveCall> inner() const;

  Router& router_;
  const std::shared_ptr<Router::Method> method_;  ///< with the table that it was found in
  const Deadline deadline_;
  const bool stream_;
  const bool may_retry_;
  const TimePoint started_;
  Attempt first_{*this, kFirst};  ///< most calls have no other
  // In the router's list of open ones, under its lock.
  RoutedCall* next = nullptr;
  RoutedCall* prev = nullptr;
  bool listed = false;

  mutable Mutex mutex_;
  CallRequest request_ GANTRY_GUARDED_BY(mutex_);  ///< gone with the last attempt
  std::shared_ptr<CallSink> sink_ GANTRY_GUARDED_BY(mutex_);
  std::shared_ptr<ActiveCall> inner_ GANTRY_GUARDED_BY(mutex_);
  Permit permit_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t ticket_ GANTRY_GUARDED_BY(mutex_) = 0;
  TimerKey deadline_timer_ GANTRY_GUARDED_BY(mutex_) = 0;
  TimerKey retry_timer_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t number_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool end_sent_ GANTRY_GUARDED_BY(mutex_) = false;
  Backoff backoff_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
