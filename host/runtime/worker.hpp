// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/worker.hpp: a worker: an Asio io_context, an inbox of tasks, and the thread that
// runs both. Workers (workers.hpp) has one for each core.
//
// The inbox is an mpsc channel. Tasks that the worker posts to itself cost no system call, and
// tasks from others wake it once, however many follow.
//
// Code on a worker must not block. The exception is a turn: a call into a plugin whose manifest
// promises to return soon, which may be untrue. A turn is the last thing its handler does, and its
// consequences are posted, never run on the way back; so when a turn does not return, another
// thread can take the worker over and only the turn is lost with the old thread.
//
// Thread rule: post() and the counts from any thread; begin_turn() and end_turn() by the worker's
// thread; serve() by the thread that becomes the worker's; take_over() by the watching thread.
// Bounds: the inbox holds kInbox tasks; each connection, plugin and timer posts a few at most.
// Further tasks go through the io_context, in no order with the others.
// Never: two threads run one worker's handlers, except a thread that is stuck in a turn and the one
// that took over.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
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

/// The state that all workers of a daemon share.
struct WorkersShared {
  std::atomic<const Worker*> poller{nullptr};  ///< only one worker polls: other cores are for threads that send work
  std::atomic<bool> not_on_battery{false};     ///< true: no polling while the machine runs on its battery
  std::atomic<bool> watch_rests{false};        ///< no thread watches for lost turns; wake_watch() changes that
  std::function<void()> wake_watch;
};

/// The owner of turns that may not return.
class TurnOwner {
 public:
  TurnOwner() = default;
  TurnOwner(const TurnOwner&) = delete;
  TurnOwner& operator=(const TurnOwner&) = delete;
  virtual ~TurnOwner() = default;
  /// Its turn has not returned, and its thread is lost to the worker. Called by the watching
  /// thread.
  virtual void turn_lost() = 0;
};

class Worker {
 public:
  using OnUnhandledException = std::function<void(std::string_view)>;
  using Task = std::move_only_function<void()>;
  static constexpr std::size_t kInbox = std::size_t{1} << 16;
  /// No descriptor waits longer than this time of turns, plus one turn.
  static constexpr Duration kLookAfter = std::chrono::milliseconds(1);
  /// Thrown by a turn's handler after its worker was taken over: its thread has nothing left to do
  /// here.
  struct Lost {};

  /// Throws where the system gives no descriptor.
  explicit Worker(WorkersShared& shared);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// The worker whose thread this is, or nullptr.
  [[nodiscard]] static Worker* current() { return here().worker; }
  [[nodiscard]] boost::asio::io_context& context() { return context_; }
  void post(Task task) {
    if (inbox_.tx.try_send(std::move(task))) return;
    boost::asio::post(context_, std::move(task));  // NOLINT(bugprone-use-after-move): a refused task is untouched
  }

  /// Serves until stop(), or until this thread was lost in a turn. An exception that leaves a
  /// handler is a bug of the host: it is passed to `on_unhandled_exception` and the worker goes on.
  void serve(const OnUnhandledException& on_unhandled_exception);
  void stop();
  void set_polling(bool on);
  /// `let_go` runs on this worker each time before it sleeps, and at its end: what was kept for the next task may be
  /// kept too long. It must not throw. Once, before serve().
  void on_rest(std::function<void()> let_go) { on_rest_ = std::move(let_go); }

  /// From here to end_turn() this thread may be lost. Returns the number of the turn, never 0.
  [[nodiscard]] std::uint64_t begin_turn(const std::shared_ptr<TurnOwner>& owner);
  /// False: the worker was taken over. The handler then does its last work for the turn's owner and
  /// throws Lost.
  [[nodiscard]] bool end_turn(std::uint64_t turn);
  /// Called by a turn's handler. True: it is time to look at the descriptors; the handler posts the
  /// rest of its work and returns.
  [[nodiscard]] bool spend(Duration in_turn) { return (spent_ += in_turn) > kLookAfter; }
  /// The turn that this worker is in; 0: none.
  [[nodiscard]] std::uint64_t turn() const { return turn_.load(std::memory_order_seq_cst); }
  /// True: the thread in `turn` is lost, its owner was told, and the caller's thread has to serve()
  /// instead. False: the turn has ended.
  [[nodiscard]] bool take_over(std::uint64_t turn);
  /// After every thread has ended, on one thread: runs tasks that were left. False: there were
  /// none.
  bool run_leftovers(const OnUnhandledException& on_unhandled_exception);

  [[nodiscard]] WorkerCounts counts() const;

 private:
  struct Here {
    Worker* worker = nullptr;
    std::uint64_t turn = 0;  ///< the turn that this thread is in
  };
  [[nodiscard]] static Here& here();
  void wake_up() noexcept;
  void wait_for_wake_up();
  bool run_inbox();
  void run();
  void poll_or_sleep();
  [[nodiscard]] bool may_sleep();
  void sleep();
  [[nodiscard]] bool poll_for(Duration window);
  [[nodiscard]] bool saves_power();
  /// Only this worker's thread counts, so a load and a store suffice.
  static void count(std::atomic<std::uint64_t>& counter, std::uint64_t more = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }

  WorkersShared& shared_;
  // For any number of threads: the lost one posts as well, and its posts must not wait for its
  // return.
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  /// An eventfd. To post to the context would take its mutex around a system call that wakes the worker: on one core
  /// the worker then waits for the mutex.
  boost::asio::posix::stream_descriptor wake_ups_;
  std::uint64_t wake_up_count_ = 0;
  mpsc::Channel<Task> inbox_ = mpsc::channel<Task>(kInbox);
  /// Runs when a task comes to an empty inbox.
  Waker<Worker, &Worker::wake_up> waker_{*this};
  std::function<void()> on_rest_ = [] {};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> polling_{false};
  PollWindow window_;
  std::uint32_t power_asked_ = 0;
  bool on_battery_ = false;
  Duration spent_{0};  ///< in turns, since the descriptors were looked at
  std::uint64_t last_turn_ = 0;
  std::atomic<std::uint64_t> turn_{0};
  Mutex mutex_;
  std::weak_ptr<TurnOwner> owner_ GANTRY_GUARDED_BY(mutex_);  ///< of the turn, or of the last one
  std::weak_ptr<TurnOwner> owner_set_;                        ///< as owner_, for the worker's thread
  std::atomic<std::uint64_t> turns_{0}, taken_over_{0}, sleeps_{0}, polls_{0}, poll_hits_{0}, polled_ns_{0};
};

}  // namespace gantry::host
