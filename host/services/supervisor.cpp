// SPDX-License-Identifier: Apache-2.0
#include "host/services/supervisor.hpp"

#include <algorithm>
#include <utility>

namespace gantry::host {

std::string_view task_state_name(TaskState state) {
  switch (state) {
    case TaskState::queued:
      return "queued";
    case TaskState::running:
      return "running";
    case TaskState::completed:
      return "completed";
    case TaskState::failed:
      return "failed";
    case TaskState::cancelled:
      return "cancelled";
  }
  return "failed";
}

void TaskContext::progress(std::string message) {
  Lock lock(mutex_);
  progress_ = std::move(message);
}

TaskSupervisor::TaskSupervisor(WorkerPool& pool, Timers& timers, EventBus& bus, Log& log, std::size_t max_running,
                               Duration cleanup_interval)
    : pool_(pool),
      timers_(timers),
      bus_(bus),
      log_(log),
      max_running_(std::max<std::size_t>(max_running, 1)),
      cleanup_interval_(cleanup_interval) {}

TaskSupervisor::~TaskSupervisor() { (void)stop(std::chrono::hours(1)); }

Result<void> TaskSupervisor::spawn(const std::string& name, Job job) {
  TaskRecord record;
  record.name = name;
  record.queued_at = timers_.now();
  std::optional<Error> refused;
  {
    Lock lock(mutex_);
    if (stopping_) {
      refused = Error{ErrorKind::unavailable, "the host is stopping; task " + name + " was not started", {}};
    } else if (live_.contains(name)) {
      refused = Error{ErrorKind::conflict, "task " + name + " is already running", {}};
    } else if (queue_.size() >= kMaxQueued) {
      refused =
          Error{ErrorKind::overloaded, std::to_string(queue_.size()) + " tasks wait; " + name + " was not started", {}};
    } else {
      for (const auto& old : history_) {
        if (old.name == name) record.runs = std::max(record.runs, old.runs);
      }
      ++record.runs;
      Live& live = live_[name];
      live.record = record;
      live.job = std::move(job);
      queue_.push_back(name);
    }
  }
  if (refused) {
    record.error = refused->message;
    tell("refused", record, Level::warn);
    return std::unexpected(std::move(*refused));
  }
  start_ready();
  return {};
}

void TaskSupervisor::start_ready() {
  while (true) {
    std::string name;
    std::shared_ptr<TaskContext> context;
    Job job;
    TaskRecord record;
    {
      Lock lock(mutex_);
      if (queue_.empty() || running_ >= max_running_ || stopping_) return;
      name = std::move(queue_.front());
      queue_.pop_front();
      Live& live = live_.at(name);
      live.record.state = TaskState::running;
      live.record.started_at = timers_.now();
      record = live.record;
      context = live.context;
      job = std::move(live.job);
      ++running_;
    }
    tell("started", record, Level::info);
    auto spawned =
        pool_.spawn([this, name, context, work = std::move(job)]() mutable { run(name, context, std::move(work)); });
    if (!spawned) ended(name, spawned, false);
  }
}

void TaskSupervisor::run(const std::string& name, const std::shared_ptr<TaskContext>& context, Job job) {
  Result<void> result;
  try {
    result = job(*context);
  } catch (const std::exception& e) {
    result = fail(ErrorKind::internal, e.what());
  } catch (...) {
    result = fail(ErrorKind::internal, "an exception of unknown type");
  }
  ended(name, result, context->cancelled());
}

void TaskSupervisor::ended(const std::string& name, const Result<void>& result, bool cancelled) {
  TaskRecord record;
  {
    Lock lock(mutex_);
    auto live = live_.extract(name);
    record = std::move(live.mapped().record);
    record.ended_at = timers_.now();
    record.state = cancelled ? TaskState::cancelled : result ? TaskState::completed : TaskState::failed;
    if (!result) record.error = result.error().message;
    keep(record);
    ++leaving_;
  }
  switch (record.state) {
    case TaskState::completed:
      tell("completed", record, Level::info);
      break;
    case TaskState::cancelled:
      tell("cancelled", record, Level::info);
      break;
    default:
      tell("failed", record, Level::error);
  }
  schedule_cleanup();
  {
    Lock lock(mutex_);
    --running_;
  }
  start_ready();
  Lock lock(mutex_);
  --leaving_;
  changed_.notify_all();
}

void TaskSupervisor::keep(TaskRecord record) {
  history_.push_front(std::move(record));
  if (history_.size() > kMaxHistory) history_.pop_back();
}

Result<void> TaskSupervisor::cancel(const std::string& name) {
  Job dropped;
  std::optional<TaskRecord> never_started;
  {
    Lock lock(mutex_);
    const auto it = live_.find(name);
    if (it == live_.end()) return fail(ErrorKind::not_found, "no task named " + name + " is running; see host.tasks");
    it->second.context->cancelled_.store(true, std::memory_order_relaxed);
    if (it->second.record.state == TaskState::queued) {
      std::erase(queue_, name);
      dropped = std::move(it->second.job);
      never_started = std::move(it->second.record);
      never_started->state = TaskState::cancelled;
      never_started->ended_at = timers_.now();
      live_.erase(it);
      keep(*never_started);
    }
  }
  if (never_started) {
    tell("cancelled", *never_started, Level::info);
    schedule_cleanup();
  }
  return {};
}

std::vector<TaskRecord> TaskSupervisor::records() const {
  std::vector<TaskRecord> out;
  Lock lock(mutex_);
  for (const auto& [name, live] : live_) {
    out.push_back(live.record);
    Lock inner(live.context->mutex_);
    out.back().progress = live.context->progress_;
  }
  out.insert(out.end(), history_.begin(), history_.end());
  return out;
}

void TaskSupervisor::set_limits(std::size_t max_running, Duration cleanup_interval) {
  {
    Lock lock(mutex_);
    max_running_ = std::max<std::size_t>(max_running, 1);
    cleanup_interval_ = cleanup_interval;
  }
  start_ready();
}

TaskSupervisor::Counts TaskSupervisor::counts() const {
  Lock lock(mutex_);
  return Counts{max_running_, running_, queue_.size()};
}

// One timer, and only while there is something to clean up: an idle host does not wake.
void TaskSupervisor::schedule_cleanup() {
  Lock lock(mutex_);
  if (cleanup_timer_ != 0 || stopping_ || history_.empty()) return;
  cleanup_timer_ = timers_.after(cleanup_interval_, [this] {
    std::deque<TaskRecord> old;
    {
      Lock inner(mutex_);
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
  TimerKey timer = 0;
  std::map<std::string, Live> never_started;
  {
    Lock lock(mutex_);
    stopping_ = true;
    timer = std::exchange(cleanup_timer_, 0);
    for (const auto& name : queue_) never_started.insert(live_.extract(name));
    queue_.clear();
    for (auto& [name, live] : live_) live.context->cancelled_.store(true, std::memory_order_relaxed);
  }
  if (timer != 0) (void)timers_.cancel(timer);
  Lock lock(mutex_);
  while (running_ + leaving_ != 0) {
    if (!changed_.wait_until(mutex_, until)) break;
  }
  return running_ + leaving_ == 0;
}

void TaskSupervisor::tell(const char* what, const TaskRecord& record, Level level) {
  log_.write(level, "tasks",
             "background task " + record.name + " " + what + (record.error.empty() ? "" : ": " + record.error));
  json payload{{"name", record.name}, {"state", task_state_name(record.state)}};
  if (!record.error.empty()) payload["error"] = record.error;
  (void)bus_.publish(std::string("host.task.") + what, dump_json(payload));
}

}  // namespace gantry::host
