// SPDX-License-Identifier: Apache-2.0
//
// host/tasks/task.hpp: what a background task is: its options, its record, what its job sees, and
// what its owner holds.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/channel/oneshot.hpp>
#include <gantry/deadline.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <gantry/waiting.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/runtime/timers.hpp"

namespace gantry::host {

/// When a task that has ended is started again, as in Erlang/OTP. One that was cancelled never is.
enum class TaskRestart : std::uint8_t {
  temporary,  ///< never
  transient,  ///< when it failed
  permanent,  ///< always
};

/// Who is started again with it, as in Erlang/OTP.
enum class Strategy : std::uint8_t {
  one_for_one,
  one_for_all,   ///< the others of the scope are ended, then all start in their first order
  rest_for_one,  ///< those that were started after it
};

struct TaskOptions {
  std::string parent{};  ///< a scope, or a running task; empty: the root scope
  TaskRestart restart = TaskRestart::temporary;
  std::optional<Duration> deadline{};        ///< for each run; then it is cancelled, and has failed
  Duration grace = std::chrono::seconds(5);  ///< to end after a cancel; then it is abandoned: its thread is let go
};

struct ScopeOptions {
  std::string parent{};
  bool may_exist = false;  ///< one of that name that is open is as good
  Strategy strategy = Strategy::one_for_one;
  TaskRestart restart = TaskRestart::transient;  ///< of the scope as a whole, after it gave up
  /// More restarts than this within the period: the scope gives up, ends all that is in it, and has failed in its
  /// parent.
  std::optional<int> intensity{};
  std::optional<Duration> period{};
};

enum class TaskState : std::uint8_t {
  queued,
  running,
  backing_off,  ///< waits to be started again
  ending,       ///< its job has returned; what it started is being ended
  completed,
  failed,
  cancelled,
  abandoned,  ///< did not end within its grace
};
[[nodiscard]] std::string_view task_state_name(TaskState state);

struct SlowStep {
  std::string name;
  Duration took{};
};

struct TaskRecord {
  std::string name;
  std::string parent;
  bool is_scope = false;
  TaskState state = TaskState::queued;
  TimePoint queued_at;
  TimePoint started_at;
  TimePoint ended_at;
  std::string error;  ///< the last one
  std::string progress;
  std::uint64_t runs = 0;  ///< how often this name has been started
  std::uint64_t restarts = 0;
  std::vector<SlowStep> slow_steps;
};

class TaskSupervisor;
class TaskHandle;
class TaskContext;
using TaskJob = std::move_only_function<Result<void>(TaskContext&)>;

/// What a running job sees of its supervisor. Any thread.
class TaskContext {
 public:
  static constexpr std::size_t kSlowSteps = 8;
  static constexpr Duration kSlow = std::chrono::seconds(1);

  TaskContext(TaskSupervisor& supervisor, std::string name, const Timers& timers)
      : supervisor_(supervisor), name_(std::move(name)), timers_(timers) {}

  [[nodiscard]] bool cancelled() const { return stop_.stop_requested(); }
  /// For what waits.
  [[nodiscard]] CancelToken token() const { return stop_.get_token(); }
  void progress(std::string message);
  /// A step begins, and the one before ends; one that took longer than kSlow is kept and logged.
  void step(std::string name);
  /// A task within this one: when this one ends, it is cancelled and waited for.
  Result<TaskHandle> spawn(const std::string& name, TaskJob job, TaskOptions options = {});

 private:
  friend class TaskSupervisor;
  void end_step();
  TaskSupervisor& supervisor_;
  const std::string name_;
  const Timers& timers_;
  CancelSource stop_;
  mutable Mutex mutex_{"task"};
  std::string progress_ GANTRY_GUARDED_BY(mutex_);
  std::string step_ GANTRY_GUARDED_BY(mutex_);
  TimePoint step_began_ GANTRY_GUARDED_BY(mutex_);
  std::deque<SlowStep> slow_ GANTRY_GUARDED_BY(mutex_);
};

/// Who started a task may wait for its end, or cancel it. Dropping it changes nothing.
class TaskHandle {
 public:
  TaskHandle(TaskSupervisor& supervisor, std::string name, oneshot::Receiver<Result<void>> end)
      : supervisor_(&supervisor), name_(std::move(name)), end_(std::move(end)) {}
  [[nodiscard]] const std::string& name() const { return name_; }
  /// The last run's result, when it is not started again. `cancelled`; `timeout`: the limits ended the wait.
  [[nodiscard]] Result<void> wait(const WaitLimits& limits = {}) {
    auto end = end_.recv(limits);
    return end ? std::move(*end) : std::unexpected(std::move(end.error()));
  }
  /// For coroutines: co_await handle.end().async_recv().
  [[nodiscard]] oneshot::Receiver<Result<void>>& end() { return end_; }
  Result<void> cancel();

 private:
  TaskSupervisor* supervisor_;
  std::string name_;
  oneshot::Receiver<Result<void>> end_;
};

}  // namespace gantry::host
