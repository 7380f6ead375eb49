// SPDX-License-Identifier: Apache-2.0
#include "host/tasks/task.hpp"

#include "host/tasks/supervisor.hpp"

namespace gantry::host {

std::string_view task_state_name(TaskState state) {
  switch (state) {
    case TaskState::queued:
      return "queued";
    case TaskState::running:
      return "running";
    case TaskState::backing_off:
      return "backing_off";
    case TaskState::ending:
      return "ending";
    case TaskState::completed:
      return "completed";
    case TaskState::failed:
      return "failed";
    case TaskState::cancelled:
      return "cancelled";
    case TaskState::abandoned:
      return "abandoned";
  }
  return "failed";
}

void TaskContext::progress(std::string message) {
  const Lock lock(mutex_);
  progress_ = std::move(message);
}

void TaskContext::step(std::string name) {
  end_step();
  const Lock lock(mutex_);
  step_ = std::move(name);
  step_began_ = timers_.now();
}

void TaskContext::end_step() {
  SlowStep slow;
  {
    const Lock lock(mutex_);
    if (step_.empty()) return;
    slow = {std::exchange(step_, {}), timers_.now() - step_began_};
    if (slow.took <= kSlow) return;
    if (slow_.size() == kSlowSteps) slow_.pop_front();
    slow_.push_back(slow);
  }
  supervisor_.slow(name_, slow);
}

Result<TaskHandle> TaskContext::spawn(const std::string& name, TaskJob job, TaskOptions options) {
  options.parent = name_;
  return supervisor_.spawn(name, std::move(job), std::move(options));
}

Result<void> TaskHandle::cancel() { return supervisor_->cancel(name_); }

}  // namespace gantry::host
