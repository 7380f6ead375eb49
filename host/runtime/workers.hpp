// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/workers.hpp: the host's workers, one for each core, with their threads, their
// timers, and the watch over them.
//
// Thread rule: run() is called once, on a thread that then watches; stop(), set_polling(), timers()
// and counts() from any thread.
// Watch: a turn (worker.hpp) that is the same at kTicks looks in a row, kTick apart, is given up: a
// new thread serves its worker. No thread looks while no turn is taken, so an idle host costs
// nothing.
// Never: a worker is left without a thread because a turn does not return.
#pragma once

#include <cstddef>
#include <functional>
#include <gantry/mutex.hpp>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "host/runtime/timers.hpp"
#include "host/runtime/worker.hpp"

namespace gantry::host {

class Workers {
 public:
  static constexpr Duration kTick = std::chrono::milliseconds(25);
  static constexpr int kTicks = 3;

  /// `count` 0: one worker for each core that this process may use.
  explicit Workers(std::size_t count = 0);
  /// run() has returned, or was never called.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  [[nodiscard]] std::size_t size() const { return workers_.size(); }
  [[nodiscard]] Worker& at(std::size_t index) { return *workers_[index]; }
  [[nodiscard]] Worker& first() { return *workers_.front(); }
  /// The clock and the timers, whose callbacks run on the first worker.
  [[nodiscard]] Timers& timers() { return *timers_; }

  /// Starts the threads and watches them until stop(). False: one of them did not end within a
  /// second, and was detached. Throws when the system gives no threads.
  bool run(const Worker::OnUnhandledException& on_unhandled_exception);
  void stop();
  /// `on`: idle workers poll for a moment before they sleep; `on_battery_too`: also while the
  /// machine runs on its battery. On one core they never poll.
  void set_polling(bool on, bool on_battery_too);
  [[nodiscard]] bool polling() const { return polling_; }
  [[nodiscard]] std::vector<WorkerCounts> counts() const;
  /// True: no thread looks, because no turn was taken for a while. The next turn changes that.
  [[nodiscard]] bool watch_rests() const { return shared_.watch_rests; }

 private:
  struct Thread {
    std::thread thread;
    bool ended = false;
  };
  struct Seen {
    std::uint64_t turn = 0;
    int ticks = 0;
  };
  void start(std::function<void()> body);
  /// Looks once at every worker. True: some turn was taken since the last look.
  bool look(std::vector<Seen>& seen, std::vector<std::uint64_t>& turns,
            const Worker::OnUnhandledException& on_unhandled_exception);
  void watch(const Worker::OnUnhandledException& on_unhandled_exception);
  void rest();
  [[nodiscard]] bool end_threads();

  WorkersShared shared_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Timers> timers_;
  std::atomic<bool> polling_{false};

  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<std::shared_ptr<Thread>> threads_ GANTRY_GUARDED_BY(mutex_);
  bool stopped_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
