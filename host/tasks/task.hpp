// SPDX-License-Identifier: Apache-2.0
//
// host/tasks/task.hpp: a background task: its options, its record, its context for the job, and the
// handle for its owner.
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

/// When a task that has ended is restarted, as in Erlang/OTP. A cancelled task never is.
enum class TaskRestart : std::uint8_t {
  temporary,  ///< never
  transient,  ///< when it failed
  permanent,  ///< always
};

/// Which other tasks of the scope are restarted with a task, as in Erlang/OTP.
enum class Strategy : std::uint8_t {
  one_for_one,
  one_for_all,   ///< all others of the scope are ended, then all start in their original order
  rest_for_one,  ///< those that were started after it
};

struct TaskOptions {
  std::string parent{};  ///< a scope, or a running task; empty: the root scope
  TaskRestart restart = TaskRestart::temporary;
  std::optional<Duration> deadline{};        ///< for each run; a run that takes longer is cancelled, and has failed
  Duration grace = std::chrono::seconds(5);  ///< to end after a cancel; then it is abandoned: its thread is detached
};

struct ScopeOptions {
  std::string parent{};
  bool may_exist = false;  ///< an open scope of that name is as good
  Strategy strategy = Strategy::one_for_one;
  TaskRestart restart = TaskRestart::transient;  ///< of the scope as a whole, after it gave up
  /// With more restarts than this within the period the scope gives up, ends everything in it, and
  /// has failed in its parent.
  std::optional<int> intensity{};
  std::optional<Duration> period{};
};

enum class TaskState : std::uint8_t {
  queued,
  running,
  backing_off,  ///< waits to be restarted
  ending,       ///< its job has returned; its children are being ended
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
  std::string error;  ///< of the last failure
  std::string progress;
  std::uint64_t runs = 0;  ///< the number of starts of this name
  std::uint64_t restarts = 0;
  std::vector<SlowStep> slow_steps;
};

class TaskSupervisor;
class TaskHandle;
class TaskContext;
using TaskJob = std::move_only_function<Result<void>(TaskContext&)>;

/// A running job's access to its supervisor. Any thread.
class TaskContext {
 public:
  static constexpr std::size_t kSlowSteps = 8;
  static constexpr Duration kSlow = std::chrono::seconds(1);

  TaskContext(TaskSupervisor& supervisor, std::string name, const Timers& timers)
      : supervisor_(supervisor), name_(std::move(name)), timers_(timers) {}

  [[nodiscard]] bool cancelled() const { return stop_.stop_requested(); }
  /// The token for operations that wait; cancelled when the job is.
  [[nodiscard]] CancelToken token() const { return stop_.get_token(); }
  void progress(std::string message);
  /// Begins a step, and ends the one before; a step that took longer than kSlow is kept and logged.
  void step(std::string name);
  /// Starts a child task: when this task ends, the child is cancelled and waited for.
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

/// The starter of a task may wait for its end, or cancel it. Dropping the handle changes nothing.
class TaskHandle {
 public:
  TaskHandle(TaskSupervisor& supervisor, std::string name, oneshot::Receiver<Result<void>> end)
      : supervisor_(&supervisor), name_(std::move(name)), end_(std::move(end)) {}
  [[nodiscard]] const std::string& name() const { return name_; }
  /// The result of the last run, when the task is not restarted. `cancelled`; `timeout`: the limits
  /// ended the wait.
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
