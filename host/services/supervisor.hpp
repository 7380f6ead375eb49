// SPDX-License-Identifier: Apache-2.0
//
// host/services/supervisor.hpp: background jobs: each has a name and a record, and somebody who knows of it.
//
// A name runs once at a time: a second start is refused. At most `max_running` jobs run, at most kMaxQueued wait behind
// them in order. Start, end, failure and refusal are logged by name and published on `host.task.*`. Records of ended
// jobs stay for `cleanup_interval`, at most kMaxHistory of them.
//
// Thread rule: any thread. A job runs on the worker pool and may block; it looks at its TaskContext to learn that it
// was
//   cancelled. A job that throws fails; it harms no other.
// stop(): cancels all, waits for the running ones at most `budget`.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gantry/worker_pool.hpp>
#include "host/bus/event_bus.hpp"
#include "host/observe/log.hpp"
#include "host/runtime/timers.hpp"

namespace gantry::host {

enum class TaskState { queued, running, completed, failed, cancelled };
[[nodiscard]] std::string_view task_state_name(TaskState state);

struct TaskRecord {
  std::string name;
  TaskState state = TaskState::queued;
  TimePoint queued_at;
  TimePoint started_at;
  TimePoint ended_at;
  std::string error;
  std::string progress;
  std::uint64_t runs = 0;  ///< how often this name has been started
};

/// What a running job sees of its supervisor.
class TaskContext {
 public:
  [[nodiscard]] bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  void progress(std::string message);

 private:
  friend class TaskSupervisor;
  std::atomic<bool> cancelled_{false};
  Mutex mutex_;
  std::string progress_ GANTRY_GUARDED_BY(mutex_);
};

class TaskSupervisor {
 public:
  using Job = std::move_only_function<Result<void>(TaskContext&)>;
  static constexpr std::size_t kMaxQueued = 256;
  static constexpr std::size_t kMaxHistory = 256;

  TaskSupervisor(WorkerPool& pool, Timers& timers, EventBus& bus, Log& log, std::size_t max_running,
                 Duration cleanup_interval);
  ~TaskSupervisor();

  /// `conflict`: a job of that name is queued or runs. `overloaded`: too many wait. `unavailable`: stopping.
  Result<void> spawn(const std::string& name, Job job);
  /// A queued job never starts; a running one is told. `not_found`: no such job is queued or runs.
  Result<void> cancel(const std::string& name);
  /// Live jobs first, then ended ones, newest first.
  [[nodiscard]] std::vector<TaskRecord> records() const;
  void set_limits(std::size_t max_running, Duration cleanup_interval);
  struct Counts {
    std::size_t limit, running, waiting;
  };
  [[nodiscard]] Counts counts() const;
  /// True: everything has ended in time.
  bool stop(Duration budget);

 private:
  struct Live {
    TaskRecord record;
    std::shared_ptr<TaskContext> context = std::make_shared<TaskContext>();
    Job job;
  };
  void start_ready();
  void run(const std::string& name, const std::shared_ptr<TaskContext>& context, Job job);
  void ended(const std::string& name, const Result<void>& result, bool cancelled);
  void keep(TaskRecord record) GANTRY_REQUIRES(mutex_);
  void schedule_cleanup();
  void tell(const char* what, const TaskRecord& record, Level level);

  WorkerPool& pool_;
  Timers& timers_;
  EventBus& bus_;
  Log& log_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::size_t max_running_ GANTRY_GUARDED_BY(mutex_);
  Duration cleanup_interval_ GANTRY_GUARDED_BY(mutex_);
  std::size_t leaving_ GANTRY_GUARDED_BY(mutex_) = 0;  ///< jobs whose end is being told
  std::size_t running_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  TimerKey cleanup_timer_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Live> live_ GANTRY_GUARDED_BY(mutex_);
  std::deque<std::string> queue_ GANTRY_GUARDED_BY(mutex_);
  std::deque<TaskRecord> history_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
