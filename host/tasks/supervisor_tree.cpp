// SPDX-License-Identifier: Apache-2.0
//
// What an end means for the tree. All of it runs under the supervisor's mutex.
//
//   job_over         a job has returned, or was abandoned: what it started is cancelled, and waited for
//   over             nothing of it runs any more: it is started again, or kept for that, or removed
//   end_for_restart  its scope starts it again: it is ended with all that is in it, and what is not temporary is kept
//   remove           its record goes into the history, its owner is told
//   settle           one of a parent's children was removed or stopped: is the parent now over, or quiet enough to
//                    restart?
//
// What is removed stays in memory until flush(): a node that is worked on is there, though perhaps no longer in the
// tree. Of several nodes the one that was started last is told first.
#include <algorithm>
#include <ranges>
#include <utility>

#include "host/tasks/supervisor_node.hpp"

namespace gantry::host {

void TaskSupervisor::request_stop(Node& node, DeferredActions& out) {
  out.stops.push_back(node.context->stop_);
  if (node.grace_timer == 0)
    node.grace_timer =
        timers_.after(node.options.grace, [this, name = node.record.name, run = node.run] { on_grace(name, run); });
}

void TaskSupervisor::request_cancel(Node& node, DeferredActions& out) {
  if (std::exchange(node.cancel, true)) return;
  node.restart_after = false;
  disarm(node, out);
  const bool waits = node.record.state == TaskState::queued || node.record.state == TaskState::backing_off;
  if (waits && !node.record.is_scope) {
    std::erase(queue_, node.record.name);
    node.record.error.clear();  // of a run before
    remove(node, TaskState::cancelled, out);
    return;
  }
  if (node.record.is_scope && node.children.empty()) {
    over(node, out);
    return;
  }
  cancel_children(node, out);  // the last one that goes may take the scope with it
  if (node.active) request_stop(node, out);
}

void TaskSupervisor::cancel_children(Node& node, DeferredActions& out) {
  const auto children = node.children;
  for (Node* const child : children | std::views::reverse) request_cancel(*child, out);
}

void TaskSupervisor::job_over(Node& node, DeferredActions& out) {
  node.active = false;
  ++out.freed;
  count(out);
  take_notes(node, node.record);
  out.timers.push_back(std::exchange(node.deadline_timer, 0));
  out.timers.push_back(std::exchange(node.grace_timer, 0));
  disarm(node, out);
  if (node.children.empty()) {
    over(node, out);
    return;
  }
  node.record.state = TaskState::ending;
  cancel_children(node, out);
}

// What is in a parent that ends, or in a supervisor that stops, is cancelled or kept; nothing else can come into it.
bool TaskSupervisor::wants_restart(const Node& node) const {
  if (node.cancel || node.abandoned) return false;
  return node.policy() == TaskRestart::permanent || (node.policy() == TaskRestart::transient && !node.result);
}

void TaskSupervisor::over(Node& node, DeferredActions& out) {
  // That it was cancelled is its state; what went wrong in a run before is not why it ended.
  const bool failed = !node.result && !(node.cancel && node.result.error().kind == ErrorKind::cancelled);
  if (failed) {
    node.record.error = node.result.error().message;
  } else if (node.cancel) {
    node.record.error.clear();
  }
  if (node.restart_after && !node.abandoned) {
    node.record.state = TaskState::backing_off;
    settle(*node.parent, out);
  } else if (wants_restart(node)) {
    restart(node, out);
  } else {
    remove(node,
           node.abandoned ? TaskState::abandoned
           : node.cancel  ? TaskState::cancelled
           : node.result  ? TaskState::completed
                          : TaskState::failed,
           out);
  }
}

void TaskSupervisor::restart(Node& node, DeferredActions& out) {
  Node& scope = *node.parent;
  if (!scope.restarts.count(timers_.now(), scope.scope.intensity.value_or(intensity_),
                            scope.scope.period.value_or(period_))) {
    give_up(scope, node, out);
    return;
  }
  ++node.record.restarts;
  node.restart_after = true;
  if (scope.scope.strategy != Strategy::one_for_one) {
    disarm(scope, out);
    const auto children = scope.children;
    const bool all = scope.scope.strategy == Strategy::one_for_all;
    for (Node* const child : children | std::views::reverse) {
      if (child != &node) {
        end_for_restart(*child, out);
      } else if (!all) {
        break;
      }
    }
  }
  node.record.state = TaskState::backing_off;  // only now: the scope is not quiet before all of them are told
  out.announcements.push_back({"restarts", node.record, Level::warn});
  count(out);
  settle(scope, out);
}

void TaskSupervisor::end_for_restart(Node& node, DeferredActions& out) {
  if (node.policy() == TaskRestart::temporary) request_cancel(node, out);
  if (node.cancel) return;
  node.restart_after = true;
  disarm(node, out);
  if (node.record.is_scope) {
    const auto children = node.children;
    for (Node* const child : children | std::views::reverse) end_for_restart(*child, out);
    settle(node, out);
  } else if (node.active) {
    cancel_children(node, out);
    request_stop(node, out);
  } else if (node.record.state == TaskState::queued) {
    std::erase(queue_, node.record.name);
    node.record.state = TaskState::backing_off;
  }
}

void TaskSupervisor::give_up(Node& scope, Node& cause, DeferredActions& out) {
  const bool is_root = &scope == root_.get();
  const std::string why = "more than " + std::to_string(scope.scope.intensity.value_or(intensity_)) +
                          " restarts within its period, the last of " + cause.record.name + ": " + cause.record.error;
  scope.giving_up = true;
  scope.result = fail(ErrorKind::unavailable, why);
  scope.record.error = why;
  disarm(scope, out);
  TaskRecord record = scope.record;
  if (is_root) record.name = "root";
  out.announcements.push_back({"gave up", std::move(record), Level::error});
  count(out);
  // What the scope may start again as a whole is kept; the root never is.
  const bool comes_back = !is_root && scope.record.is_scope && scope.policy() != TaskRestart::temporary;
  cause.restart_after = comes_back;
  const auto children = scope.children;
  for (Node* const child : children | std::views::reverse) {
    if (child == &cause) continue;
    if (comes_back) {
      end_for_restart(*child, out);
    } else {
      request_cancel(*child, out);
    }
  }
  if (scope.active) request_stop(scope, out);  // a task whose tasks fail too often
  if (comes_back) {
    cause.record.state = TaskState::backing_off;
    settle(scope, out);
  } else {
    remove(cause, TaskState::failed, out);
  }
}

void TaskSupervisor::settle(Node& parent, DeferredActions& out) {
  if (parent.stopped()) return;
  const bool quiet =
      std::all_of(parent.children.begin(), parent.children.end(), [](const Node* n) { return n->stopped(); });
  if (&parent == root_.get()) {
    if (parent.giving_up && parent.children.empty()) {
      parent.giving_up = false;
      parent.restarts.clear();
    }
  } else if (!parent.record.is_scope) {
    if (!parent.active && parent.children.empty()) {
      over(parent, out);
      return;
    }
  } else if (parent.cancel ? parent.children.empty() : (parent.giving_up || parent.restart_after) && quiet) {
    over(parent, out);
    return;
  }
  if (!parent.giving_up && !parent.restart_after) restart_when_quiet(parent);
}

void TaskSupervisor::restart_when_quiet(Node& scope) {
  const bool together = scope.scope.strategy != Strategy::one_for_one;
  bool any = false;
  for (const Node* const child : scope.children) {
    if (child->stopped()) {
      any = true;
    } else if (child->restart_after || (together && child->cancel)) {
      return;
    }
  }
  if (!any || scope.restart_timer != 0 || stopping_) return;
  RetryPolicy policy = backoff_;
  policy.seed = ++backoff_.seed;
  const std::uint64_t run = scope.restart_run = ++last_run_;
  scope.restart_timer =
      timers_.after(scope.restarts.delay(policy), [this, name = scope.record.name, run] { on_restart(name, run); });
}

void TaskSupervisor::disarm(Node& scope, DeferredActions& out) {
  out.timers.push_back(std::exchange(scope.restart_timer, 0));
  scope.restart_run = 0;
}

void TaskSupervisor::on_restart(const std::string& scope, std::uint64_t run) {
  DeferredActions out;
  {
    const Lock lock(mutex_);
    const auto it = nodes_.find(scope);
    Node* const node = scope.empty() ? root_.get() : it == nodes_.end() ? nullptr : it->second.get();
    if (node == nullptr || node->restart_run != run) return;
    disarm(*node, out);
    for (Node* const child : node->children) {
      if (child->stopped()) enqueue_again(*child);
    }
  }
  flush(out);
}

void TaskSupervisor::enqueue_again(Node& node) {
  node.restart_after = false;
  node.giving_up = false;
  node.result = {};
  node.restarts.clear();
  if (node.record.is_scope) {
    node.record.state = TaskState::running;
    for (Node* const child : node.children) enqueue_again(*child);
    return;
  }
  node.record.state = TaskState::queued;
  node.record.queued_at = timers_.now();
  queue_.push_back(node.record.name);
}

void TaskSupervisor::remove(Node& node, TaskState state, DeferredActions& out) {
  Node& parent = *node.parent;
  std::erase(parent.children, &node);
  take_out(node, state, out);
  settle(parent, out);
}

void TaskSupervisor::take_out(Node& node, TaskState state, DeferredActions& out) {
  // A scope that gave up for good takes with it what it kept.
  for (Node* const child : std::exchange(node.children, {}) | std::views::reverse)
    take_out(*child, child->result ? TaskState::cancelled : TaskState::failed, out);
  node.record.state = state;
  node.record.ended_at = timers_.now();
  const char* const what = task_state_name(state).data();
  out.announcements.push_back(
      {what, node.record, state == TaskState::completed || state == TaskState::cancelled ? Level::info : Level::error});
  count(out);
  if (node.reply) {
    Result<void> result = std::move(node.result);
    if (state == TaskState::cancelled)
      result = fail(ErrorKind::cancelled, "task " + node.record.name + " was cancelled");
    out.replies.emplace_back(std::move(*node.reply), std::move(result));
  }
  keep(node.record);
  if (node.record.is_scope) --scopes_;
  const auto owner = nodes_.extract(node.record.name);
  out.gone.push_back(std::move(owner.mapped()));
}

void TaskSupervisor::keep(TaskRecord record) {
  history_.push_front(std::move(record));
  if (history_.size() > kMaxHistory) history_.pop_back();
}

void TaskSupervisor::count(DeferredActions& out) {
  if (!std::exchange(out.counted, true)) ++leaving_;
}

}  // namespace gantry::host
