// SPDX-License-Identifier: Apache-2.0
//
// host/router/routed_call.hpp: one call on its way through the router: permit, service, attempts,
// answer.
//
// Whatever happens behind (a time-out, a cancel, an attempt that is tried again, an answer that
// comes late) the way back hears one answer: whoever sets kAnswered in the call's word gives it,
// and gives the permit back. The common call, whose permit is free and whose plugin runs, goes
// through in one go and takes no lock of its own.
//
// What has to be undone by the answer is stored first and the word looked at afterwards, while the
// answer sets the word first and looks for it then: so one of the two undoes it.
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

  /// Answers with an error that the router itself makes, and lets the plugin know.
  void give_up(Error error);
  void cancel() override { give_up(Error{ErrorKind::cancelled, "the caller cancelled the call", {}}); }
  /// Its deadline has passed.
  void expire();

 private:
  friend class Router;

  /// It never gets a plugin: refused, or a built-in's, which answers by itself.
  void leave_router() { (void)mark(kAnswered); }
  /// Begins the way.
  void start(Router& router, Router::Method& method, TimePoint now, InstanceReaders* readers);
  void with_permit(InstanceReaders* readers);
  /// `readers`: the calling thread's; nullptr: it has none.
  void attempt(InstanceReaders* readers = nullptr);
  void with_plugin(Result<std::shared_ptr<Plugin>> plugin);
  void open_at(Plugin& plugin);
  void attempt_over(PluginAnswer answer) override;
  [[nodiscard]] bool try_again(const Error& error);
  [[nodiscard]] bool wait_for_plugin();
  void attempt_after(Duration delay);
  /// Answers, unless that was done.
  void end(PluginAnswer result);
  /// Sets `key`'s timer or ticket, unless the call is answered already: then `undo` is called.
  template <class Undo>
  void keep(std::atomic<std::uint64_t>& key, std::uint64_t value, Undo undo);
  /// By who has set kAnswered; `before`: the word as it was.
  void answer(Word before, PluginAnswer answer);

  Router* router_ = nullptr;
  Router::Method* method_ = nullptr;
  TimePoint started_{};
  bool may_retry_ = false;
  int retries_ = 0;  ///< by who ends an attempt
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<TimerKey> retry_timer_{0};
};

}  // namespace gantry::host
