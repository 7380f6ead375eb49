// SPDX-License-Identifier: Apache-2.0
//
// A supervisor with a clock that stands still, and jobs that the test controls.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>

#include "tests/unit/support/host.hpp"

namespace gantry::host::test {

/// Jobs that report their start and then do what the test orders; they outlive the supervisor.
class Script {
 public:
  TaskSupervisor::Job job(const std::string& name) {
    return [this, name](TaskContext& context) -> Result<void> {
      const std::stop_callback cancelled(context.token(), [this] { change([] {}); });
      std::unique_lock lock(mutex_);
      started_.push_back(name);
      ++starts_[name];
      changed_.wait(lock, [&] { return orders_.contains(name) || (context.cancelled() && !deaf_.contains(name)); });
      if (context.cancelled() && !deaf_.contains(name)) return {};
      const auto order = orders_.extract(name);
      return order.mapped() ? fail(ErrorKind::internal, name + " broke") : Result<void>();
    };
  }
  /// The job ignores its cancel until let_go().
  void deafen(const std::string& name) {
    change([&] { deaf_.insert(name); });
  }
  void let_go(const std::string& name) {
    change([&] { deaf_.erase(name); });
  }
  void let_all_go() {
    change([&] { deaf_.clear(); });
  }
  void fail_now(const std::string& name) {
    change([&] { orders_[name] = true; });
  }
  void end_now(const std::string& name) {
    change([&] { orders_[name] = false; });
  }
  int starts(const std::string& name) {
    const std::lock_guard guard(mutex_);
    return starts_[name];
  }
  std::vector<std::string> started() {
    const std::lock_guard guard(mutex_);
    return started_;
  }

 private:
  template <class F>
  void change(F&& how) {
    const std::lock_guard guard(mutex_);
    how();
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> started_;
  std::map<std::string, int> starts_;
  std::map<std::string, bool> orders_;
  std::set<std::string> deaf_;
};

/// Timers that cannot be cancelled: each fires, like a timer that was just about to.
class LateTimers final : public Timers {
 public:
  explicit LateTimers(ManualTimers& timers) : timers_(timers) {}
  [[nodiscard]] TimePoint now() const override { return timers_.now(); }
  TimerKey at(TimePoint when, Callback callback) override { return timers_.at(when, std::move(callback)); }
  bool cancel(TimerKey /*key*/) override { return false; }

 private:
  ManualTimers& timers_;
};

struct Tree {
  Script script;
  TempDir dir;
  std::shared_ptr<Log> log = log_in(dir.path() / "log");
  ManualTimers timers;
  WorkerPool pool{8, 100, [](std::string_view) {}};
  EventBus bus{"epoch", 1000};
  LateTimers late{timers};
  TaskSupervisor tasks;

  explicit Tree(bool too_late_to_cancel = false)
      : tasks(pool, too_late_to_cancel ? static_cast<Timers&>(late) : timers, bus, *log, {.max_running = 8}) {}
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() { script.let_all_go(); }  // so that a test that failed half way ends

  TaskHandle spawn(const std::string& name, TaskOptions options = {}) {
    auto handle = tasks.spawn(name, script.job(name), std::move(options));
    REQUIRE(handle);
    return std::move(*handle);
  }
  [[nodiscard]] TaskRecord record(const std::string& name) const {
    for (const auto& r : tasks.records()) {
      if (r.name == name) return r;
    }
    return {};
  }
  [[nodiscard]] std::string state(const std::string& name) const {
    const auto r = record(name);
    return r.name.empty() ? "" : std::string(task_state_name(r.state));
  }
  void runs(const std::string& name, int times) {
    eventually(name + " to run", [&] { return script.starts(name) == times && state(name) == "running"; });
  }
  void reaches(const std::string& name, const std::string& wanted) {
    eventually(name + " to be " + wanted, [&] { return state(name) == wanted; });
  }
  /// Advances the clock over the back-off.
  void back_off() {
    eventually("a restart's timer", [&] { return timers.next_in() && *timers.next_in() <= std::chrono::seconds(30); });
    timers.advance(*timers.next_in());
  }
  /// True: no restart is due. Wait for this condition: a timer is cancelled a moment after the
  /// state has changed.
  [[nodiscard]] bool calm() const {
    return timers.next_in().value_or(std::chrono::hours(1)) > std::chrono::seconds(30);
  }
  [[nodiscard]] std::string log_text() const {
    std::ifstream in(dir.path() / "log");
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

}  // namespace gantry::host::test
