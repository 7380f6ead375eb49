// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/workers.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "host/runtime/timer_queue.hpp"

namespace gantry::host {

namespace {

constexpr int kRestAfter = 40;  // ticks without a turn

[[nodiscard]] TimePoint now() { return std::chrono::steady_clock::now(); }

/// Those that this process may run on, which taskset and cgroups may have made fewer than the machine has.
[[nodiscard]] std::size_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return std::max(1U, std::thread::hardware_concurrency());
  return static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
}

// One steady_timer serves the whole queue; it is touched on the first worker only. The timer may be set to a time at
// which nothing is due any more: to wake once for nothing is cheaper than to set it with each deadline that comes and
// goes.
class AsioTimers final : public Timers {
 public:
  explicit AsioTimers(Worker& worker) : worker_(worker), timer_(worker.context()) {}

  [[nodiscard]] TimePoint now() const override { return std::chrono::steady_clock::now(); }
  TimerKey at(TimePoint when, Callback callback) override {
    const auto added = queue_.add(when, std::move(callback));
    if (added.first && when < set_to_.load(std::memory_order_acquire)) worker_.post([this] { arm(); });
    return added.key;
  }
  bool cancel(TimerKey key) override { return queue_.remove(key); }

 private:
  struct Rearm {
    AsioTimers& timers;
    ~Rearm() { timers.arm(); }
  };
  void arm() {
    const auto next = queue_.earliest();
    if (!next || *next >= set_to_.load(std::memory_order_relaxed)) return;
    set_to_.store(*next, std::memory_order_release);
    timer_.expires_at(*next);
    timer_.async_wait([this](const boost::system::error_code& failed) {
      if (failed) return;
      // Before the queue is looked at: what is added from now on sets the timer itself.
      set_to_.store(TimePoint::max(), std::memory_order_seq_cst);
      const Rearm rearm{*this};  // also when a callback throws
      const auto time = now();
      while (auto due = queue_.take_due(time)) (*due)();
    });
  }

  Worker& worker_;
  boost::asio::steady_timer timer_;
  std::atomic<TimePoint> set_to_{TimePoint::max()};
  TimerQueue queue_;
};

}  // namespace

Workers::Workers(std::size_t count) {
  shared_.wake_watch = [this] {
    Lock lock(mutex_);
    shared_.watch_rests.store(false, std::memory_order_relaxed);
    changed_.notify_all();
  };
  if (count == 0) count = usable_cores();
  for (std::size_t i = 0; i < count; ++i) workers_.push_back(std::make_unique<Worker>(shared_));
  timers_ = std::make_unique<AsioTimers>(first());
}

Workers::~Workers() = default;

void Workers::set_polling(bool on, bool on_battery_too) {
  shared_.not_on_battery = !on_battery_too;
  polling_ = on && usable_cores() > 1;
  for (const auto& worker : workers_) worker->set_polling(polling_);
}

std::vector<WorkerCounts> Workers::counts() const {
  std::vector<WorkerCounts> out;
  out.reserve(workers_.size());
  for (const auto& worker : workers_) out.push_back(worker->counts());
  return out;
}

void Workers::start(std::function<void()> body) {
  auto thread = std::make_shared<Thread>();
  Lock lock(mutex_);
  threads_.push_back(thread);
  try {
    thread->thread = std::thread([this, thread = thread.get(), body = std::move(body)] {
      body();
      Lock ended(mutex_);
      thread->ended = true;
      changed_.notify_all();
    });
  } catch (...) {
    threads_.pop_back();
    throw;
  }
  (void)::pthread_setname_np(thread->thread.native_handle(), "gantry-worker");
}

bool Workers::run(const Worker::OnUnhandledException& on_unhandled_exception) {
  try {
    for (const auto& worker : workers_) {
      start([&on_unhandled_exception, w = worker.get()] { w->serve(on_unhandled_exception); });
    }
    watch(on_unhandled_exception);
  } catch (...) {
    stop();
    (void)end_threads();
    throw;
  }
  const bool ended = end_threads();
  // What one worker's end has posted to another that had ended already. It holds its owners: let it go now.
  bool more = ended;
  while (more) {
    more = false;
    for (const auto& worker : workers_) more = worker->run_leftovers(on_unhandled_exception) || more;
  }
  return ended;
}

void Workers::stop() {
  for (const auto& worker : workers_) worker->stop();
  Lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void Workers::watch(const Worker::OnUnhandledException& on_unhandled_exception) {
  std::vector<Seen> seen(workers_.size());
  std::vector<std::uint64_t> turns(workers_.size());
  int quiet = 0;
  while (true) {
    {
      Lock lock(mutex_);
      const TimePoint until = now() + kTick;
      while (!stopped_ && changed_.wait_until(mutex_, until)) {
      }
      if (stopped_) return;
    }
    quiet = look(seen, turns, on_unhandled_exception) ? 0 : quiet + 1;
    if (quiet < kRestAfter) continue;
    rest();
    quiet = 0;
  }
}

bool Workers::look(std::vector<Seen>& seen, std::vector<std::uint64_t>& turns,
                   const Worker::OnUnhandledException& on_unhandled_exception) {
  bool active = false;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = *workers_[i];
    const auto taken = worker.counts().turns;
    active = active || taken != std::exchange(turns[i], taken);
    const auto turn = worker.turn();
    active = active || turn != 0;
    if (turn == 0 || turn != seen[i].turn) {
      seen[i] = Seen{turn, 1};
    } else if (++seen[i].ticks >= kTicks) {
      seen[i].ticks = 0;  // if no thread can be had now, perhaps later
      try {
        start([&worker, turn, &on_unhandled_exception] {
          if (worker.take_over(turn)) worker.serve(on_unhandled_exception);
        });
      } catch (const std::system_error& e) {
        on_unhandled_exception("a turn does not return, and there is no thread to take its worker over: " +
                               std::string(e.what()));
      }
    }
  }
  return active;
}

void Workers::rest() {
  Lock lock(mutex_);
  shared_.watch_rests.store(true, std::memory_order_seq_cst);
  const bool busy = std::any_of(workers_.begin(), workers_.end(), [](const auto& w) { return w->turn() != 0; });
  while (!busy && !stopped_ && shared_.watch_rests.load(std::memory_order_relaxed)) changed_.wait(mutex_);
  shared_.watch_rests.store(false, std::memory_order_relaxed);
}

bool Workers::end_threads() {
  const TimePoint until = now() + std::chrono::seconds(1);
  std::vector<std::shared_ptr<Thread>> threads;
  bool all = true;
  {
    Lock lock(mutex_);
    const auto running = [&]() GANTRY_REQUIRES(mutex_) {
      return std::any_of(threads_.begin(), threads_.end(), [](const auto& t) { return !t->ended; });
    };
    while (running() && changed_.wait_until(mutex_, until)) {
    }
    threads = threads_;
    for (const auto& thread : threads) {
      all = all && thread->ended;
      if (!thread->ended) thread->thread.detach();
    }
  }
  for (const auto& thread : threads) {
    if (thread->thread.joinable()) thread->thread.join();
  }
  return all;
}

}  // namespace gantry::host
