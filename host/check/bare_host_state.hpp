// SPDX-License-Identifier: Apache-2.0
//
// host/check/bare_host_state.hpp: the state behind the gantry_host of a BareHost. It outlives the
// BareHost.
//
// Thread rule: any thread; mutex_ guards all state that changes, and is not held while the plugin
// is called.
#pragma once

#include <gantry/abi.h>

#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/detail/host_table.hpp>
#include <gantry/detail/serial_loop.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "host/check/bare_host.hpp"

namespace gantry::host::check::detail {

using gantry::detail::SerialLoop;

enum class Phase : std::uint8_t { none, created, running, stopping, stopped, destroyed };

struct HostState {
  HostState(CaseReport& to, HostOptions how);

  /// May the plugin call function `what` now? A call before the start or after the end is a fault.
  [[nodiscard]] bool is_there(const char* what);

  void fault(Fault fault, std::string what);
  /// Runs `fn`, which calls the plugin. An exception is recorded as a fault, and gives -1.
  std::int32_t guarded(const std::string& what, const std::function<std::int32_t()>& fn);

  gantry_host table{};
  SerialLoop loop{SerialLoop::Time::real};
  CaseReport& report;
  const HostOptions options;
  std::thread::id serial{};  ///< constant once the thread runs
  bool quiet = false;        ///< used by the owner's thread only

  mutable Mutex mutex{"bare host"};
  CondVar changed;
  Phase phase GANTRY_GUARDED_BY(mutex) = Phase::none;
  std::size_t posts GANTRY_GUARDED_BY(mutex) = 0;
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
  using Table = gantry::detail::HostTable<HostState>;
  friend Table;
  // The functions that the plugin calls (gantry/detail/host_table.hpp).
  std::int32_t on_send(const gantry_msg& msg, const Descriptors& descriptors);
  std::int32_t on_post(void (*fn)(void*), void* arg);
  void on_log(std::int32_t level, std::string_view line);
  [[nodiscard]] bool on_cancelled(std::uint64_t id) const;
  [[nodiscard]] bool has_extensions() const { return options.extensions; }
  [[nodiscard]] TimePoint on_now() const { return loop.now(); }
  std::uint64_t on_timer_start(Duration delay, void (*fn)(void*), void* arg);
  bool on_timer_cancel(std::uint64_t id) { return loop.cancel_timer(id); }
  [[nodiscard]] static std::optional<std::string> on_describe(std::uint64_t origin);
  [[nodiscard]] static Descriptors on_take_descriptors() { return {}; }
  // No instance comes after this one.
  [[nodiscard]] static std::int32_t on_give_state(std::string_view /*state*/) { return GANTRY_CLOSED; }
  [[nodiscard]] static std::int32_t on_give_stream(std::uint64_t /*id*/) { return GANTRY_CLOSED; }
  [[nodiscard]] static std::optional<std::string> on_take_state() { return std::nullopt; }

  /// Runs `fn` of the plugin, named `what`, on the strand.
  [[nodiscard]] SerialLoop::Task task_of(const char* what, void (*fn)(void*), void* arg);
  void add_fault(Fault fault, std::string what) GANTRY_REQUIRES(mutex);
  [[nodiscard]] bool refuses() GANTRY_REQUIRES(mutex);
  [[nodiscard]] bool closed() const GANTRY_REQUIRES(mutex);
  std::int32_t take_response(const gantry_msg& msg, bool good) GANTRY_REQUIRES(mutex);
  std::int32_t take_own(const gantry_msg& msg) GANTRY_REQUIRES(mutex);
  std::int32_t take_of_call(const gantry_msg& msg) GANTRY_REQUIRES(mutex);
};

}  // namespace gantry::host::check::detail
