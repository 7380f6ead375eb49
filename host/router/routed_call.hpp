// SPDX-License-Identifier: Apache-2.0
//
// host/router/routed_call.hpp: one call on its way through the router: permit, service, attempts,
// answer.
//
// Whatever happens to the call (a time-out, a cancel, a retry, a late answer), the caller gets one
// answer: the thread that sets kAnswered in the call's word gives it, and gives the permit back.
// The common call, which gets a permit at once and whose plugin runs, passes in one go and takes no
// lock of its own.
//
// A timer or ticket that the answer has to undo is stored first, and the word checked afterwards,
// while the answer sets the word first and looks for it then: so one of the two undoes it.
//
// Thread rule: any thread. One thread at a time advances a call; any may answer it meanwhile.
#pragma once

#include <atomic>

#include "host/plugins/plugin_call.hpp"
#include "host/router/router.hpp"

namespace gantry::host {

class RoutedCall : public PluginCall, public OpenCalls::Place {
 public:
  using PluginCall::PluginCall;

  /// The call never reaches a plugin: it was refused, or it is for one of the host's own methods,
  /// which answers by itself.
  void leave_router() { (void)mark(kAnswered); }
  /// Answers with an error of the router itself, and tells the plugin.
  void give_up(Error error);
  void cancel() override { give_up(Error{ErrorKind::cancelled, "the caller cancelled the call", {}}); }
  /// Its deadline has passed.
  void expire();
  /// The method that reads on where the answer says `follow`; empty: this answer is but an answer.
  [[nodiscard]] std::string_view follows() const {
    return method_ == nullptr ? std::string_view() : std::string_view(method_->about.follows);
  }

 private:
  friend class Router;

  /// Begins to route the call.
  void start(Router& router, Router::Method& method, TimePoint now);
  void with_permit();
  void attempt();
  void with_plugin(Result<std::shared_ptr<Plugin>> plugin);
  void open_at(Plugin& plugin);
  void attempt_over(PluginAnswer answer) override;
  [[nodiscard]] bool try_again(const Error& error);
  [[nodiscard]] bool wait_for_plugin();
  void attempt_after(Duration delay);
  /// Answers, unless the call is answered already.
  void end(PluginAnswer result);
  /// Stores `key`'s timer or ticket, unless the call is answered already: then calls `undo`.
  template <class Undo>
  void keep(std::atomic<std::uint64_t>& key, std::uint64_t value, Undo undo);
  /// Called by the thread that has set kAnswered; `before`: the word as it was.
  void answer(Word before, PluginAnswer answer);

  Router* router_ = nullptr;
  Router::Method* method_ = nullptr;
  TimePoint started_{};
  bool may_retry_ = false;
  int retries_ = 0;  ///< accessed by the thread that ends an attempt

  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<TimerKey> retry_timer_{0};
};

}  // namespace gantry::host
