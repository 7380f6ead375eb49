// SPDX-License-Identifier: Apache-2.0
//
// host/tasks/supervisor.hpp: supervises background jobs: each has a name, a place in a tree, and a
// record.
//
// A name runs once at a time: a second start is refused. At most `max_running` jobs run, at most
// kMaxQueued wait in order, or to be restarted. Start, end, failure, restart and refusal are logged
// by name and published on `host.task.*`. Records of ended jobs stay for `cleanup_interval`, at
// most kMaxHistory of them.
//
// Tree: a task or a scope has a parent, and ends before it: when a parent ends, its children are
// cancelled, and the parent's end is reported after theirs. Restarts follow Erlang/OTP (design
// principles, "Supervisor Behaviour"): policy of the task, strategy and intensity of its scope, and
// an exponential back-off with jitter. A scope is restarted with its children, scopes included,
// except temporary ones; until then it takes no new children. Unlike in OTP, children that end
// together are cancelled in the reverse order of their start, and waited for all at once. The root
// scope never ends: when its intensity is exceeded, its children are ended and not restarted.
//
// Cancelling: the job's token is cancelled; after its grace the job is abandoned: its record says
// so, its place and its name are free, and its thread is replaced. While kMaxAbandoned jobs are
// abandoned, it keeps place and name, and is looked at again after another grace.
//
// Thread rule: any thread. A job runs on the worker pool and may block; its TaskContext tells it
// that it was cancelled. A job that throws fails, and harms no other job.
// stop(): cancels all jobs, waits for the running ones at most `budget`.
#pragma once

#include <gantry/retry.hpp>
#include <gantry/worker_pool.hpp>
#include <map>

#include "host/bus/event_bus.hpp"
#include "host/observe/log.hpp"
#include "host/tasks/task.hpp"

namespace gantry::host {

struct SupervisorLimits {
  std::size_t max_running = 10;
  Duration cleanup_interval = std::chrono::seconds(300);
  int intensity = 3;
  Duration period = std::chrono::seconds(60);
  RetryPolicy backoff{.max_retries = kNoLimit,
                      .initial_delay = std::chrono::milliseconds(200),
                      .max_delay = std::chrono::seconds(30),
                      .jitter = 0.25,
                      .seed = 0};
};

class TaskSupervisor {
 public:
  using Job = TaskJob;
  static constexpr std::size_t kMaxQueued = 256;
  static constexpr std::size_t kMaxHistory = 256;
  static constexpr std::size_t kMaxScopes = 256;
  static constexpr std::size_t kMaxAbandoned = 16;

  TaskSupervisor(WorkerPool& pool, Timers& timers, EventBus& bus, Log& log, SupervisorLimits limits);
  /// Waits for every job, abandoned ones included.
  ~TaskSupervisor();
  TaskSupervisor(const TaskSupervisor&) = delete;
  TaskSupervisor& operator=(const TaskSupervisor&) = delete;

  /// `conflict`: a task or scope of that name exists, or its parent is ending or being restarted.
  /// `overloaded`: too many wait. `not_found`: no such parent. `unavailable`: the supervisor is
  /// stopping.
  Result<TaskHandle> spawn(const std::string& name, Job job, TaskOptions options = {});
  /// Errors as spawn().
  Result<void> open_scope(const std::string& name, ScopeOptions options = {});
  /// Cancels a task or scope, with everything in it: a queued job never starts, a running job's
  /// token is cancelled. `not_found`.
  Result<void> cancel(const std::string& name);
  /// The live tree, each node after its parent; then ended jobs, the newest first.
  [[nodiscard]] std::vector<TaskRecord> records() const;
  void set_limits(std::size_t max_running, Duration cleanup_interval);
  struct Counts {
    std::size_t limit, running, waiting, abandoned;
  };
  [[nodiscard]] Counts counts() const;
  /// Until no job runs or waits for its place, and each end has been told. What backs off, or was abandoned, is not
  /// waited for. False: it is past `until`. Any thread, but no job.
  [[nodiscard]] bool block_until_idle(std::optional<TimePoint> until = std::nullopt);
  /// True: everything has ended in time, and nothing is abandoned.
  bool stop(Duration budget);

 private:
  friend class TaskContext;
  struct Node;
  struct DeferredActions;
  [[nodiscard]] Result<Node*> place(const std::string& name, const std::string& parent) GANTRY_REQUIRES(mutex_);
  void refuse(const std::string& name, const Error& why);
  void start_ready();
  void run(const std::string& name, std::uint64_t run, const std::shared_ptr<TaskContext>& context,
           const std::shared_ptr<Job>& job);
  void returned(const std::string& name, std::uint64_t run, Result<void> result);
  void on_deadline(const std::string& name, std::uint64_t run);
  void on_grace(const std::string& name, std::uint64_t run);
  void on_restart(const std::string& scope, std::uint64_t run);

  // supervisor_tree.cpp
  void request_stop(Node& node, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void request_cancel(Node& node, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void cancel_children(Node& node, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void job_over(Node& node, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void over(Node& node, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] bool wants_restart(const Node& node) const GANTRY_REQUIRES(mutex_);
  void restart(Node& node, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void end_for_restart(Node& node, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void give_up(Node& scope, Node& cause, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void settle(Node& parent, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void restart_when_quiet(Node& scope) GANTRY_REQUIRES(mutex_);
  void disarm(Node& scope, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void enqueue_again(Node& node) GANTRY_REQUIRES(mutex_);
  void remove(Node& node, TaskState state, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void take_out(Node& node, TaskState state, DeferredActions& out) GANTRY_REQUIRES(mutex_);
  void keep(TaskRecord record) GANTRY_REQUIRES(mutex_);
  void count(DeferredActions& out) GANTRY_REQUIRES(mutex_);

  void flush(DeferredActions& out);
  void slow(const std::string& name, const SlowStep& step);
  void list(const Node& node, std::vector<TaskRecord>& out) const GANTRY_REQUIRES(mutex_);
  static void take_notes(const Node& node, TaskRecord& record);
  void schedule_cleanup();
  void publish_state(const char* what, const TaskRecord& record, Level level);

  WorkerPool& pool_;
  Timers& timers_;
  EventBus& bus_;
  Log& log_;
  const int intensity_;
  const Duration period_;

  mutable Mutex mutex_{"supervisor"};
  CondVar changed_;
  std::size_t max_running_ GANTRY_GUARDED_BY(mutex_);
  Duration cleanup_interval_ GANTRY_GUARDED_BY(mutex_);
  RetryPolicy backoff_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t last_run_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::size_t running_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::size_t leaving_ GANTRY_GUARDED_BY(mutex_) = 0;  ///< ends that are being reported
  std::size_t scopes_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::size_t abandoned_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  TimerKey cleanup_timer_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<Node> root_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<Node>> nodes_ GANTRY_GUARDED_BY(mutex_);
  std::deque<std::string> queue_ GANTRY_GUARDED_BY(mutex_);
  std::deque<TaskRecord> history_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
