// SPDX-License-Identifier: Apache-2.0
//
// host/check/bare_host_state.hpp: the state behind the gantry_host of a BareHost. It outlives the
// BareHost.
//
// Thread rule: any thread; mutex_ guards all state that changes, and is not held while the plugin
// is called.
#pragma once

#include <gantry/abi.h>

#include <deque>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "host/check/bare_host.hpp"

namespace gantry::host::check::detail {

enum class Phase : std::uint8_t { none, created, running, stopping, stopped, destroyed };

struct HostState {
  HostState(CaseReport& to, HostOptions how);

  // The functions that the plugin calls.
  std::int32_t take(const gantry_msg& msg);
  std::int32_t post(void (*fn)(void*), void* arg);
  std::uint64_t start_timer(std::int64_t delay_ns, void (*fn)(void*), void* arg);
  std::int32_t cancel_timer(std::uint64_t id);
  [[nodiscard]] std::int32_t cancelled(std::uint64_t id) const;
  void log(std::int32_t level, std::string_view line);
  /// May the plugin call function `what` now? A call before the start or after the end is a fault.
  [[nodiscard]] bool is_there(const char* what);

  void fault(Fault fault, std::string what);
  /// The loop of the strand's thread.
  void serve();
  void queue(std::function<void()> task);
  /// Runs `fn`, which calls the plugin. An exception is recorded as a fault, and gives -1.
  std::int32_t guarded(const std::string& what, const std::function<std::int32_t()>& fn);

  gantry_host table{};
  CaseReport& report;
  const HostOptions options;
  std::thread::id serial{};  ///< constant once the thread runs
  bool quiet = false;        ///< used by the owner's thread only

  mutable Mutex mutex{"bare host"};
  CondVar changed;
  Phase phase GANTRY_GUARDED_BY(mutex) = Phase::none;
  std::deque<std::function<void()>> tasks GANTRY_GUARDED_BY(mutex);
  bool busy GANTRY_GUARDED_BY(mutex) = false;
  bool quit GANTRY_GUARDED_BY(mutex) = false;
  std::size_t posts GANTRY_GUARDED_BY(mutex) = 0;
  struct Timer {
    std::uint64_t id;
    void (*fn)(void*);
    void* arg;
  };
  std::multimap<TimePoint, Timer> timers GANTRY_GUARDED_BY(mutex);
  std::uint64_t next_timer GANTRY_GUARDED_BY(mutex) = 1;
  std::map<std::uint64_t, CallSeen> calls GANTRY_GUARDED_BY(mutex);
  std::size_t unanswered GANTRY_GUARDED_BY(mutex) = 0;
  std::uint64_t next_call GANTRY_GUARDED_BY(mutex) = 1;
  std::uint64_t stop_id GANTRY_GUARDED_BY(mutex) = 0;
  int stop_answers GANTRY_GUARDED_BY(mutex) = 0;
  std::set<std::uint64_t> own_calls GANTRY_GUARDED_BY(mutex);
  unsigned sends GANTRY_GUARDED_BY(mutex) = 0;
  bool generous GANTRY_GUARDED_BY(mutex) = false;
  std::vector<FaultSeen> faults GANTRY_GUARDED_BY(mutex);
  std::string last_error GANTRY_GUARDED_BY(mutex);
  /// Delivers the answer of a call that the plugin made. Set by the BareHost; serial.
  std::function<void(std::uint64_t id)> answer_own;

 private:
  void add_fault(Fault fault, std::string what) GANTRY_REQUIRES(mutex);
  [[nodiscard]] bool refuses() GANTRY_REQUIRES(mutex);
  [[nodiscard]] bool closed() const GANTRY_REQUIRES(mutex);
  std::int32_t take_response(const gantry_msg& msg, bool good) GANTRY_REQUIRES(mutex);
  std::int32_t take_own(const gantry_msg& msg) GANTRY_REQUIRES(mutex);
  std::int32_t take_of_call(const gantry_msg& msg) GANTRY_REQUIRES(mutex);
  [[nodiscard]] std::function<void()> next_task() GANTRY_REQUIRES(mutex);
  void fill_table();
};

}  // namespace gantry::host::check::detail
