// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/worker.hpp: an Asio io_context, an inbox of tasks, and the thread that runs both. Workers (workers.hpp)
// has one for each core.
//
// The inbox is an mpsc channel. What the worker posts to itself costs no system call, and what others post wakes it
// once for however much follows.
//
// What runs on a worker must not block. The exception is a turn: a call into a plugin that says it returns soon and may
// be lying. A turn is the last thing its handler does, and what it causes is posted, never run on the way back; so when
// one does not return, another thread can take the worker over and nothing but the turn is lost with the old thread.
//
// Thread rule: post() and the counts from any thread; begin_turn() and end_turn() by the worker's thread; serve() by
// the thread that is to be it; take_over() by whoever watches.
// Bounds: the inbox holds kInbox tasks; each connection, plugin and timer posts a few of its own at most. What is
// beyond goes through the io_context, in no order with the rest. Never: two threads run one worker's handlers, except
// the one that is stuck in a turn and the one that took over.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/mutex.hpp>
#include <memory>
#include <string_view>
#include <utility>

#include "host/runtime/polling.hpp"

namespace gantry::host {

struct WorkerCounts {
  std::uint64_t turns = 0;
  std::uint64_t taken_over = 0;
  std::uint64_t sleeps = 0;
  std::uint64_t polls = 0;
  std::uint64_t poll_hits = 0;
  Duration polled{0};
};

class Worker;

/// What all workers of a daemon share.
struct WorkersShared {
  std::atomic<const Worker*> poller{nullptr};  ///< only one polls: the other cores are for who sends the work
  std::atomic<bool> not_on_battery{false};     ///< polling waits while the machine runs on its battery
  std::atomic<bool> watch_rests{false};        ///< nobody watches for lost turns; wake_watch() changes that
  std::function<void()> wake_watch;
};

/// Whose turns may not return.
class TurnOwner {
 public:
  TurnOwner() = default;
  TurnOwner(const TurnOwner&) = delete;
  TurnOwner& operator=(const TurnOwner&) = delete;
  virtual ~TurnOwner() = default;
  /// Its turn has not returned and its thread is no worker any more. Called by who watches.
  virtual void turn_lost() = 0;
};

class Worker {
 public:
  using OnUnhandledException = std::function<void(std::string_view)>;
  using Task = std::move_only_function<void()>;
  static constexpr std::size_t kInbox = std::size_t{1} << 16;
  /// No descriptor waits for longer than this much of turns, and one turn more.
  static constexpr Duration kLookAfter = std::chrono::milliseconds(1);
  /// Thrown by a turn's handler after its worker was taken over: its thread has nothing left to do here.
  struct Lost {};

  explicit Worker(WorkersShared& shared) : shared_(shared) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// The one whose thread this is, or nullptr.
  [[nodiscard]] static Worker* current() { return here().worker; }
  [[nodiscard]] boost::asio::io_context& context() { return context_; }
  void post(Task task) {
    if (inbox_.tx.try_send(std::move(task))) return;
    boost::asio::post(context_, std::move(task));  // NOLINT(bugprone-use-after-move): what was refused is untouched
  }

  /// Serves until stop(), or until this thread was lost in a turn. An exception that leaves a
  /// handler is a bug of the host: it is told to `on_unhandled_exception` and the worker goes on.
  void serve(const OnUnhandledException& on_unhandled_exception);
  void stop();
  void set_polling(bool on);

  /// From here to end_turn() this thread may be lost. The number is never 0.
  [[nodiscard]] std::uint64_t begin_turn(const std::shared_ptr<TurnOwner>& owner);
  /// False: the worker was taken over. The handler does what it must for the turn's owner and throws Lost.
  [[nodiscard]] bool end_turn(std::uint64_t turn);
  /// By a turn's handler. True: it is time to look at the descriptors; the handler posts the rest and returns.
  [[nodiscard]] bool spend(Duration in_turn) { return (spent_ += in_turn) > kLookAfter; }
  /// The turn that this worker is in; 0: none.
  [[nodiscard]] std::uint64_t turn() const { return turn_.load(std::memory_order_seq_cst); }
  /// True: the thread in `turn` is lost, its owner was told, and the caller's is to serve() instead. False: the turn
  /// has ended.
  [[nodiscard]] bool take_over(std::uint64_t turn);
  /// After every thread has ended, on one thread: what was left posted is run. False: there was nothing.
  bool run_leftovers(const OnUnhandledException& on_unhandled_exception);

  [[nodiscard]] WorkerCounts counts() const;

 private:
  struct Here {
    Worker* worker = nullptr;
    std::uint64_t turn = 0;  ///< that this thread is in
  };
  [[nodiscard]] static Here& here();
  void wake_up() noexcept;
  bool run_inbox();
  void run();
  void poll_or_sleep();
  [[nodiscard]] bool poll_for(Duration window);
  [[nodiscard]] bool saves_power();
  /// As only this worker's thread counts, a load and a store do.
  static void count(std::atomic<std::uint64_t>& counter, std::uint64_t more = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }

  WorkersShared& shared_;
  // Any number of threads: the one that is lost posts as well, and what it posts must not wait for its return.
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  mpsc::Channel<Task> inbox_ = mpsc::channel<Task>(kInbox);
  /// Woken when a task comes to an inbox that had none.
  Waker<Worker, &Worker::wake_up> waker_{*this};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> polling_{false};
  PollWindow window_;
  std::uint32_t power_asked_ = 0;
  bool on_battery_ = false;
  Duration spent_{0};  ///< in turns since the descriptors were looked at
  std::uint64_t last_turn_ = 0;
  std::atomic<std::uint64_t> turn_{0};
  Mutex mutex_;
  std::weak_ptr<TurnOwner> owner_ GANTRY_GUARDED_BY(mutex_);  ///< of the turn, or of the last one
  std::weak_ptr<TurnOwner> owner_set_;                        ///< the worker's thread: the same
  std::atomic<std::uint64_t> turns_{0}, taken_over_{0}, sleeps_{0}, polls_{0}, poll_hits_{0}, polled_ns_{0};
};

}  // namespace gantry::host
