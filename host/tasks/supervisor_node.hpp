// SPDX-License-Identifier: Apache-2.0
//
// host/tasks/supervisor_node.hpp: the supervisor's tree, guarded by its mutex, and what is to be
// done once that is free.
#pragma once

#include <gantry/restart_window.hpp>

#include "host/tasks/supervisor.hpp"

namespace gantry::host {

struct TaskSupervisor::Node {
  TaskRecord record;
  TaskOptions options;  ///< of a task
  ScopeOptions scope;   ///< of a scope
  std::shared_ptr<Job> job;
  std::shared_ptr<TaskContext> context;  ///< of the run that runs
  std::optional<oneshot::Sender<Result<void>>> reply;
  Node* parent = nullptr;
  std::vector<Node*> children;  ///< in the order of their start
  Result<void> result;
  std::uint64_t run = 0;       ///< of all runs of all tasks; what concerns another one is stale
  bool active = false;         ///< holds one of the `max_running` places
  bool cancel = false;         ///< somebody wants its end: it is not started again
  bool timed_out = false;      ///< its deadline has passed
  bool overdue = false;        ///< its grace has passed, and there was no place among the abandoned
  bool abandoned = false;      ///< its grace has passed
  bool restart_after = false;  ///< once it has ended, it waits for its scope to start it again
  // What it restarts: a scope, or a task with tasks of its own.
  RestartWindow restarts;
  bool giving_up = false;
  TimerKey restart_timer = 0;
  std::uint64_t restart_run = 0;  ///< of that timer; another one is stale
  TimerKey deadline_timer = 0;
  TimerKey grace_timer = 0;

  /// Ended, and kept for its scope to start it again.
  [[nodiscard]] bool stopped() const { return restart_after && record.state == TaskState::backing_off; }
  [[nodiscard]] TaskRestart policy() const { return record.is_scope ? scope.restart : options.restart; }
};

struct TaskSupervisor::DeferredActions {
  struct Announcement {
    const char* what;
    TaskRecord record;
    Level level;
  };
  std::vector<Announcement> announcements;
  std::vector<CancelSource> stops;
  std::vector<std::pair<oneshot::Sender<Result<void>>, Result<void>>> replies;
  std::vector<TimerKey> timers;
  std::vector<std::unique_ptr<Node>> gone;
  std::size_t freed = 0;  ///< places of running jobs
  bool counted = false;   ///< stop() waits for this to be done
};

}  // namespace gantry::host
