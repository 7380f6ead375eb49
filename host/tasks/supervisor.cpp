// SPDX-License-Identifier: Apache-2.0
//
// The supervisor's methods: starting, running, cancelling, listing. What an end means for the tree
// is in supervisor_tree.cpp. Everything that calls somebody (log, bus, tokens, replies, timers) is
// collected in DeferredActions under the mutex and done by flush() when it is free.
#include "host/tasks/supervisor.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "host/tasks/supervisor_node.hpp"

namespace gantry::host {

TaskSupervisor::TaskSupervisor(WorkerPool& pool, Timers& timers, EventBus& bus, Log& log, SupervisorLimits limits)
    : pool_(pool),
      timers_(timers),
      bus_(bus),
      log_(log),
      intensity_(limits.intensity),
      period_(limits.period),
      max_running_(std::max<std::size_t>(limits.max_running, 1)),
      cleanup_interval_(limits.cleanup_interval),
      backoff_(limits.backoff),
      root_(std::make_unique<Node>()) {
  root_->record.is_scope = true;
  root_->record.state = TaskState::running;
}

// What was abandoned comes back to this object as well.
TaskSupervisor::~TaskSupervisor() {
  (void)stop(std::chrono::hours(1));
  const Lock lock(mutex_);
  while (running_ + leaving_ + abandoned_ != 0) changed_.wait(mutex_);
  assert(nodes_.empty());
}

void TaskSupervisor::refuse(const std::string& name, const Error& why) {
  TaskRecord record;
  record.name = name;
  record.error = why.message;
  // Whoever asked is told, and knows what to do.
  publish_state("refused", record, why.kind == ErrorKind::conflict ? Level::info : Level::warn);
}

Result<TaskSupervisor::Node*> TaskSupervisor::place(const std::string& name, const std::string& parent) {
  if (stopping_) return fail(ErrorKind::unavailable, "the host is stopping; task " + name + " was not started");
  if (name.empty()) return fail(ErrorKind::invalid_params, "a task needs a name");
  if (nodes_.contains(name))
    return fail(ErrorKind::conflict,
                "task " + name + " runs already; a name runs once at a time: wait for its end, or cancel it");
  Node* into = root_.get();
  if (!parent.empty()) {
    const auto it = nodes_.find(parent);
    if (it == nodes_.end()) return fail(ErrorKind::not_found, "there is no scope or task " + parent + " for " + name);
    into = it->second.get();
  }
  const bool ends = into->cancel || into->giving_up || (!into->record.is_scope && !into->active);
  if (into->restart_after || ends)
    return fail(ErrorKind::conflict, (parent.empty() ? "the root scope" : parent) + " is " +
                                         (into->restart_after ? "being started again" : "ending") + "; " + name +
                                         " was not started in it");
  return into;
}

Result<TaskHandle> TaskSupervisor::spawn(const std::string& name, Job job, TaskOptions options) {
  auto [reply, end] = oneshot::channel<Result<void>>();
  std::optional<Error> refused;
  {
    const Lock lock(mutex_);
    const auto parent = place(name, options.parent);
    if (!parent) {
      refused = parent.error();
    } else if (nodes_.size() >= kMaxQueued + scopes_ + running_) {  // also those that will be started again
      refused =
          Error{ErrorKind::overloaded, std::to_string(kMaxQueued) + " tasks wait; " + name + " was not started", {}};
    } else {
      auto node = std::make_unique<Node>();
      node->record.name = name;
      node->record.parent = options.parent;
      node->record.queued_at = timers_.now();
      for (const auto& old : history_) {
        if (old.name == name) node->record.runs = std::max(node->record.runs, old.runs);
      }
      node->options = std::move(options);
      node->job = std::make_shared<Job>(std::move(job));
      node->reply.emplace(std::move(reply));
      node->parent = *parent;
      (*parent)->children.push_back(node.get());
      nodes_.emplace(name, std::move(node));
      queue_.push_back(name);
    }
  }
  if (refused) {
    refuse(name, *refused);
    return std::unexpected(std::move(*refused));
  }
  start_ready();
  return TaskHandle(*this, name, std::move(end));
}

Result<void> TaskSupervisor::open_scope(const std::string& name, ScopeOptions options) {
  std::optional<Error> refused;
  {
    const Lock lock(mutex_);
    if (const auto it = nodes_.find(name); options.may_exist && it != nodes_.end() && it->second->record.is_scope)
      return {};
    const auto parent = place(name, options.parent);
    if (!parent) {
      refused = parent.error();
    } else if (scopes_ >= kMaxScopes) {
      refused = Error{ErrorKind::overloaded, std::to_string(scopes_) + " scopes are open; " + name + " was not", {}};
    } else {
      auto node = std::make_unique<Node>();
      node->record.name = name;
      node->record.parent = options.parent;
      node->record.is_scope = true;
      node->record.state = TaskState::running;
      node->record.queued_at = node->record.started_at = timers_.now();
      node->scope = std::move(options);
      node->parent = *parent;
      (*parent)->children.push_back(node.get());
      nodes_.emplace(name, std::move(node));
      ++scopes_;
    }
  }
  if (!refused) return {};
  refuse(name, *refused);
  return std::unexpected(std::move(*refused));
}

void TaskSupervisor::start_ready() {
  while (true) {
    std::string name;
    std::uint64_t number = 0;
    std::shared_ptr<TaskContext> context;
    std::shared_ptr<Job> job;
    TaskRecord record;
    {
      const Lock lock(mutex_);
      if (queue_.empty() || running_ >= max_running_ || stopping_) return;
      name = std::move(queue_.front());
      queue_.pop_front();
      Node& node = *nodes_.at(name);
      number = node.run = ++last_run_;
      node.active = true;
      node.timed_out = node.overdue = false;
      node.context = context = std::make_shared<TaskContext>(*this, name, timers_);
      job = node.job;
      ++node.record.runs;
      node.record.state = TaskState::running;
      node.record.started_at = timers_.now();
      record = node.record;
      ++running_;
      if (node.options.deadline)
        node.deadline_timer =
            timers_.after(*node.options.deadline, [this, name, number] { on_deadline(name, number); });
    }
    publish_state("started", record, Level::info);
    const auto spawned = pool_.spawn([this, name, number, context, job] { run(name, number, context, job); });
    if (!spawned) returned(name, number, std::unexpected(spawned.error()));
  }
}

void TaskSupervisor::run(const std::string& name, std::uint64_t run, const std::shared_ptr<TaskContext>& context,
                         const std::shared_ptr<Job>& job) {
  Result<void> result;
  try {
    result = (*job)(*context);
  } catch (const std::exception& e) {
    result = fail(ErrorKind::internal, e.what());
  } catch (...) {
    result = fail(ErrorKind::internal, "an exception of unknown type");
  }
  context->end_step();
  returned(name, run, std::move(result));
}

void TaskSupervisor::returned(const std::string& name, std::uint64_t run, Result<void> result) {
  DeferredActions out;
  {
    const Lock lock(mutex_);
    const auto it = nodes_.find(name);
    if (it == nodes_.end() || it->second->run != run || !it->second->active) {
      if (abandoned_ != 0) --abandoned_;
      pool_.drop_thread();
      TaskRecord late;
      late.name = name;
      late.error = "after it had been abandoned";
      count(out);
      out.announcements.push_back({"came back", std::move(late), Level::warn});
    } else {
      Node& node = *it->second;
      if (!node.giving_up) node.result = std::move(result);
      if (node.timed_out) node.result = fail(ErrorKind::timeout, "its deadline has passed");
      job_over(node, out);
    }
  }
  flush(out);
}

void TaskSupervisor::on_deadline(const std::string& name, std::uint64_t run) {
  DeferredActions out;
  {
    const Lock lock(mutex_);
    const auto it = nodes_.find(name);
    if (it == nodes_.end() || it->second->run != run || !it->second->active) return;
    it->second->timed_out = true;
    request_stop(*it->second, out);
  }
  flush(out);
}

void TaskSupervisor::on_grace(const std::string& name, std::uint64_t run) {
  DeferredActions out;
  {
    const Lock lock(mutex_);
    const auto it = nodes_.find(name);
    if (it == nodes_.end() || it->second->run != run || !it->second->active) return;
    Node& node = *it->second;
    if (abandoned_ >= kMaxAbandoned) {
      // Once more when one of those may have come back.
      if (!std::exchange(node.overdue, true)) out.announcements.push_back({"does not end", node.record, Level::error});
      node.grace_timer = 0;
      request_stop(node, out);
    } else {
      ++abandoned_;
      pool_.add_thread();
      node.abandoned = true;
      node.result = fail(ErrorKind::timeout, "it did not end within its grace period and was abandoned");
      job_over(node, out);
    }
  }
  flush(out);
}

Result<void> TaskSupervisor::cancel(const std::string& name) {
  DeferredActions out;
  {
    const Lock lock(mutex_);
    const auto it = nodes_.find(name);
    if (it == nodes_.end()) return fail(ErrorKind::not_found, "no task named " + name + " is running; see host.tasks");
    request_cancel(*it->second, out);
  }
  flush(out);
  return {};
}

void TaskSupervisor::slow(const std::string& name, const SlowStep& step) {
  log_.write(Level::warn, "tasks",
             "background task " + name + ": step " + step.name + " took " +
                 std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(step.took).count()) + " ms");
}

void TaskSupervisor::list(const Node& node, std::vector<TaskRecord>& out) const {
  for (const Node* const child : node.children) {
    out.push_back(child->record);
    if (child->active) take_notes(*child, out.back());
    list(*child, out);
  }
}

void TaskSupervisor::take_notes(const Node& node, TaskRecord& record) {
  const Lock lock(node.context->mutex_);
  record.progress = node.context->progress_;
  record.slow_steps.assign(node.context->slow_.begin(), node.context->slow_.end());
}

std::vector<TaskRecord> TaskSupervisor::records() const {
  std::vector<TaskRecord> out;
  const Lock lock(mutex_);
  list(*root_, out);
  out.insert(out.end(), history_.begin(), history_.end());
  return out;
}

void TaskSupervisor::set_limits(std::size_t max_running, Duration cleanup_interval) {
  {
    const Lock lock(mutex_);
    max_running_ = std::max<std::size_t>(max_running, 1);
    cleanup_interval_ = cleanup_interval;
  }
  start_ready();
}

TaskSupervisor::Counts TaskSupervisor::counts() const {
  const Lock lock(mutex_);
  return Counts{max_running_, running_, queue_.size(), abandoned_};
}

bool TaskSupervisor::block_until_idle(std::optional<TimePoint> until) {
  const Lock lock(mutex_);
  while (running_ + leaving_ + queue_.size() != 0) {
    if (!until) {
      changed_.wait(mutex_);
    } else if (!changed_.wait_until(mutex_, *until)) {
      return running_ + leaving_ + queue_.size() == 0;
    }
  }
  return true;
}

// One timer, and only while there is something to clean up: an idle host does not wake.
void TaskSupervisor::schedule_cleanup() {
  const Lock lock(mutex_);
  if (cleanup_timer_ != 0 || stopping_ || history_.empty()) return;
  cleanup_timer_ = timers_.after(cleanup_interval_, [this] {
    std::deque<TaskRecord> old;
    {
      const Lock inner(mutex_);
      cleanup_timer_ = 0;
      const TimePoint before = timers_.now() - cleanup_interval_;
      while (!history_.empty() && history_.back().ended_at <= before) {
        old.push_back(std::move(history_.back()));
        history_.pop_back();
      }
    }
    if (!old.empty()) log_.write(Level::debug, "tasks", "cleaned up " + std::to_string(old.size()) + " records");
    schedule_cleanup();
  });
}

bool TaskSupervisor::stop(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  DeferredActions out;
  {
    const Lock lock(mutex_);
    stopping_ = true;
    out.timers.push_back(std::exchange(cleanup_timer_, 0));
    disarm(*root_, out);
    cancel_children(*root_, out);
  }
  flush(out);
  const Lock lock(mutex_);
  while (running_ + leaving_ != 0) {
    if (!changed_.wait_until(mutex_, until)) break;
  }
  return running_ + leaving_ + abandoned_ == 0;
}

void TaskSupervisor::flush(DeferredActions& out) {
  for (const auto timer : out.timers) {
    if (timer != 0) (void)timers_.cancel(timer);
  }
  for (auto& stop : out.stops) stop.request_stop();
  for (const auto& each : out.announcements) publish_state(each.what, each.record, each.level);
  for (auto& [reply, result] : out.replies) (void)reply.send(std::move(result));
  out.gone.clear();
  schedule_cleanup();
  {
    const Lock lock(mutex_);
    running_ -= std::exchange(out.freed, 0);
  }
  start_ready();
  const Lock lock(mutex_);
  if (std::exchange(out.counted, false)) --leaving_;
  changed_.notify_all();
}

void TaskSupervisor::publish_state(const char* what, const TaskRecord& record, Level level) {
  log_.write(level, "tasks",
             std::string(record.is_scope ? "scope " : "background task ") + record.name + " " + what +
                 (record.error.empty() ? "" : ": " + record.error));
  json payload{{"name", record.name}, {"state", task_state_name(record.state)}};
  if (!record.parent.empty()) payload["parent"] = record.parent;
  if (!record.error.empty()) payload["error"] = record.error;
  std::string topic = what;
  std::replace(topic.begin(), topic.end(), ' ', '_');
  (void)bus_.publish("host.task." + topic, dump_json(payload));
}

}  // namespace gantry::host
