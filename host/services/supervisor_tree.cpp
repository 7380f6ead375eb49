// SPDX-License-Identifier: Apache-2.0
//
// What an end means for the tree. All of it runs under the supervisor's mutex.
//
//   job_over   a job has returned, or was abandoned: what it started is cancelled, and waited for
//   over       nothing of it runs any more: it is started again, or kept for that, or removed
//   remove     its record goes into the history, its owner is told
//   settle     one of a parent's children was removed or stopped: is the parent now over, or quiet enough to restart?
#include <algorithm>
#include <utility>

#include "host/services/supervisor_node.hpp"

namespace gantry::host {

void TaskSupervisor::tell_to_end(Node& node, Outside& out) {
  out.stops.push_back(node.context->stop_);
  if (node.grace_timer == 0)
    node.grace_timer =
        timers_.after(node.options.grace, [this, name = node.record.name, run = node.run] { on_grace(name, run); });
}

void TaskSupervisor::request_cancel(Node& node, Outside& out) {
  if (std::exchange(node.cancel, true)) return;
  node.restart_after = false;
  out.timers.push_back(std::exchange(node.restart_timer, 0));
  const auto children = node.children;  // the last one that goes may take `node` with it
  const bool was_active = node.active;
  const bool waits = node.record.state == TaskState::queued || node.record.state == TaskState::backing_off;
  const bool is_scope = node.record.is_scope;
  if (was_active) tell_to_end(node, out);
  if (waits && !is_scope) {
    std::erase(queue_, node.record.name);
    remove(node, TaskState::cancelled, out);
    return;
  }
  for (Node* const child : children) request_cancel(*child, out);
  if (is_scope && children.empty()) over(node, out);
}

void TaskSupervisor::job_over(Node& node, Outside& out) {
  node.active = false;
  ++out.freed;
  count(out);
  take_notes(node, node.record);
  out.timers.push_back(std::exchange(node.deadline_timer, 0));
  out.timers.push_back(std::exchange(node.grace_timer, 0));
  if (node.children.empty()) {
    over(node, out);
    return;
  }
  node.record.state = TaskState::ending;
  const auto children = node.children;
  for (Node* const child : children) request_cancel(*child, out);
}

bool TaskSupervisor::wants_restart(const Node& node) const {
  if (stopping_ || node.cancel || node.abandoned || node.parent->cancel || node.parent->giving_up) return false;
  if (!node.parent->record.is_scope && !node.parent->active) return false;
  const bool failed = node.giving_up || !node.result;
  return node.policy() == TaskRestart::permanent || (node.policy() == TaskRestart::transient && failed);
}

void TaskSupervisor::over(Node& node, Outside& out) {
  if (!node.result) node.record.error = node.result.error().message;
  if (node.restart_after && !node.cancel && !node.abandoned && !stopping_) {
    node.record.state = TaskState::backing_off;
    settle(*node.parent, out);
  } else if (wants_restart(node)) {
    restart(node, out);
  } else {
    remove(node,
           node.abandoned             ? TaskState::abandoned
           : node.giving_up           ? TaskState::failed
           : node.cancel || stopping_ ? TaskState::cancelled
           : node.result              ? TaskState::completed
                                      : TaskState::failed,
           out);
  }
}

void TaskSupervisor::restart(Node& node, Outside& out) {
  Node& scope = *node.parent;
  const TimePoint now = timers_.now();
  const Duration period = scope.scope.period.value_or(period_);
  scope.restarted_at.push_back(now);
  while (scope.restarted_at.front() + period < now) scope.restarted_at.pop_front();
  if (std::cmp_greater(scope.restarted_at.size(), scope.scope.intensity.value_or(intensity_))) {
    give_up(scope, node, out);
    return;
  }
  ++node.record.restarts;
  node.record.state = TaskState::backing_off;
  node.restart_after = true;
  out.tells.push_back({"restarts", node.record, Level::warn});
  count(out);
  const Strategy strategy = scope.record.is_scope ? scope.scope.strategy : Strategy::one_for_one;
  if (strategy != Strategy::one_for_one) {
    const auto children = scope.children;
    const auto first =
        strategy == Strategy::one_for_all ? children.begin() : std::find(children.begin(), children.end(), &node);
    for (auto it = first; it != children.end(); ++it) {
      if (*it != &node) end_for_restart(**it, out);
    }
  }
  settle(scope, out);
}

void TaskSupervisor::end_for_restart(Node& node, Outside& out) {
  if (node.policy() == TaskRestart::temporary || node.record.is_scope) {
    request_cancel(node, out);
    return;
  }
  node.restart_after = true;
  if (node.active) {
    tell_to_end(node, out);
  } else if (node.record.state == TaskState::queued) {
    std::erase(queue_, node.record.name);
    node.record.state = TaskState::backing_off;
  }
}

void TaskSupervisor::give_up(Node& scope, Node& cause, Outside& out) {
  const bool is_root = &scope == root_.get();
  const std::string why = "more than " + std::to_string(scope.scope.intensity.value_or(intensity_)) +
                          " restarts within its period, the last of " + cause.record.name + ": " + cause.record.error;
  scope.giving_up = true;
  scope.result = fail(ErrorKind::unavailable, why);
  scope.record.error = why;
  out.timers.push_back(std::exchange(scope.restart_timer, 0));
  TaskRecord told = scope.record;
  if (is_root) told.name = "root";
  out.tells.push_back({"gave up", std::move(told), Level::error});
  count(out);
  // What the scope may start again as a whole is kept; the root never is.
  const bool comes_back = !is_root && scope.record.is_scope && scope.policy() != TaskRestart::temporary;
  cause.restart_after = comes_back;
  const auto children = scope.children;
  for (Node* const child : children) {
    if (child == &cause) continue;
    if (comes_back) {
      end_for_restart(*child, out);
    } else {
      request_cancel(*child, out);
    }
  }
  if (comes_back) {
    cause.record.state = TaskState::backing_off;
    settle(scope, out);
  } else {
    remove(cause, TaskState::failed, out);
  }
}

void TaskSupervisor::settle(Node& parent, Outside& out) {
  const bool quiet =
      std::all_of(parent.children.begin(), parent.children.end(), [](const Node* n) { return n->stopped(); });
  if (&parent == root_.get()) {
    if (parent.giving_up && parent.children.empty()) {
      parent.giving_up = false;
      parent.restarted_at.clear();
    }
  } else if (!parent.record.is_scope) {
    if (!parent.active && parent.children.empty()) {
      over(parent, out);
      return;
    }
  } else if (parent.cancel ? parent.children.empty() : parent.giving_up && quiet) {
    over(parent, out);
    return;
  }
  if (!parent.giving_up && !parent.cancel) restart_when_quiet(parent);
}

void TaskSupervisor::restart_when_quiet(Node& scope) {
  bool any = false;
  for (const Node* const child : scope.children) {
    if (child->restart_after && !child->stopped()) return;
    any = any || child->stopped();
  }
  if (!any || scope.restart_timer != 0 || stopping_) return;
  RetryPolicy policy = backoff_;
  policy.seed = ++backoff_.seed;
  Backoff backoff(policy);
  Duration delay = policy.initial_delay;
  for (std::size_t i = 0; i < scope.restarted_at.size(); ++i) delay = backoff.next().value_or(policy.max_delay);
  scope.restart_timer = timers_.after(delay, [this, name = scope.record.name] { on_restart(name); });
}

void TaskSupervisor::on_restart(const std::string& scope) {
  Outside out;
  {
    const Lock lock(mutex_);
    const auto it = nodes_.find(scope);
    Node* const node = scope.empty() ? root_.get() : it == nodes_.end() ? nullptr : it->second.get();
    if (node == nullptr || stopping_ || node->cancel) return;
    node->restart_timer = 0;
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
  if (node.record.is_scope) {
    node.record.state = TaskState::running;
    node.restarted_at.clear();
    for (Node* const child : node.children) enqueue_again(*child);
    return;
  }
  node.record.state = TaskState::queued;
  node.record.queued_at = timers_.now();
  queue_.push_back(node.record.name);
}

void TaskSupervisor::remove(Node& node, TaskState state, Outside& out) {
  // A scope that gave up for good takes with it what it kept.
  const auto children = node.children;
  node.children.clear();
  for (Node* const child : children) {
    child->parent = root_.get();
    root_->children.push_back(child);
    child->cancel = true;
    remove(*child, TaskState::failed, out);
  }
  Node& parent = *node.parent;
  node.record.state = state;
  node.record.ended_at = timers_.now();
  out.timers.push_back(std::exchange(node.restart_timer, 0));
  const char* const what = task_state_name(state).data();
  out.tells.push_back(
      {what, node.record, state == TaskState::completed || state == TaskState::cancelled ? Level::info : Level::error});
  count(out);
  if (node.reply) {
    Result<void> result = std::move(node.result);
    if (state == TaskState::cancelled)
      result = fail(ErrorKind::cancelled, "task " + node.record.name + " was cancelled");
    out.replies.emplace_back(std::move(*node.reply), std::move(result));
  }
  keep(node.record);
  std::erase(parent.children, &node);
  const auto owner = nodes_.extract(node.record.name);
  out.gone.push_back(std::move(owner.mapped()));
  settle(parent, out);
}

void TaskSupervisor::keep(TaskRecord record) {
  history_.push_front(std::move(record));
  if (history_.size() > kMaxHistory) history_.pop_back();
}

void TaskSupervisor::count(Outside& out) {
  if (!std::exchange(out.counted, true)) ++leaving_;
}

}  // namespace gantry::host
