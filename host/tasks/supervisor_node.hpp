// SPDX-License-Identifier: Apache-2.0
//
// host/tasks/supervisor_node.hpp: a node of the supervisor's tree, guarded by its mutex, and
// actions to perform once the mutex is free.
#pragma once

#include <gantry/restart_window.hpp>

#include "host/tasks/supervisor.hpp"

namespace gantry::host {

struct TaskSupervisor::Node {
  TaskRecord record;
  TaskOptions options;  ///< for a task
  ScopeOptions scope;   ///< for a scope
  std::shared_ptr<Job> job;
  std::shared_ptr<TaskContext> context;  ///< of the present run
  std::optional<oneshot::Sender<Result<void>>> reply;
  Node* parent = nullptr;
  std::vector<Node*> children;  ///< in the order of their start
  Result<void> result;
  std::uint64_t run = 0;       ///< unique over all tasks: a message about another run is stale
  bool active = false;         ///< holds one of the `max_running` places
  bool cancel = false;         ///< its end was requested: it is not restarted
  bool timed_out = false;      ///< its deadline has passed
  bool overdue = false;        ///< its grace has passed, but no place among the abandoned was free
  bool abandoned = false;      ///< its grace has passed
  bool restart_after = false;  ///< once it has ended, it waits for its scope to restart it
  // For a scope, or a task with tasks of its own:
  RestartWindow restarts;
  bool giving_up = false;
  TimerKey restart_timer = 0;
  std::uint64_t restart_run = 0;  ///< the number of that timer; another one is stale
  TimerKey deadline_timer = 0;
  TimerKey grace_timer = 0;

  /// True: ended, and kept for its scope to restart it.
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
  std::size_t freed = 0;  ///< freed places of running jobs
  bool counted = false;   ///< stop() waits for these actions
};

}  // namespace gantry::host
