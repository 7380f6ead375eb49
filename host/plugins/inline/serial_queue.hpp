// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/inline/serial_queue.hpp: a plugin's strand: tasks run one at a time, in order; they
// wait in an mpsc channel.
//
// There are two kinds. One has an OS thread of its own. The other borrows threads: its tasks run in
// turns on the host's workers, on the worker that pushes the task if there is one (no thread
// switch); a turn is posted, never run within the push. A borrowing queue gets a thread of its own,
// for good, when one of its tasks takes longer than kSlow, or when one does not return and its
// worker was taken over; in the second case the thread that it holds becomes its own.
//
// A new queue is held: tasks wait until release(). Its creator may act as the strand until then,
// and again once join() has returned true. The thread exists from the start, so that a system
// without free threads fails before the plugin has begun anything.
//
// Thread rule: push() from any thread; release(), drain_here(), drop(), close() and join() by the
// code that starts or stops the plugin. Full: push() refuses at kMaxTasks. Each kind of message has
// a smaller bound of its own; the rest of the room is for items. After close(): tasks that were
// pushed run, push() refuses. join() waits until they have run.
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/channel/oneshot.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <string>
#include <thread>

#include "host/runtime/workers.hpp"

namespace gantry::host {

class Plugin;

class SerialQueue final : public TurnOwner, public std::enable_shared_from_this<SerialQueue> {
 public:
  static constexpr std::size_t kMaxTasks = std::size_t{1} << 18;
  static constexpr Duration kSlow = std::chrono::milliseconds(5);

  /// The argument is the queue's owner; nullptr: the owner is gone, or about to go.
  using Task = std::move_only_function<void(Plugin*)>;
  /// Called with an exception from a task, which is a bug of the host: the queue goes on. Serial.
  using OnUnhandledException = Worker::OnUnhandledException;
  /// Called serially when the queue has become empty. Must not throw.
  using OnIdle = std::function<void()>;
  enum class Where : std::uint8_t { worker, own_thread };
  struct Borrowed {
    Workers& workers;
    const Timers& clock;
    /// The queue has a thread of its own from now on; `why` is for the log. Any thread.
    std::function<void(const std::string& why)> on_moved;
  };

  /// `overloaded`: the system gives no thread.
  [[nodiscard]] static Result<std::shared_ptr<SerialQueue>> with_thread(OnUnhandledException on_unhandled_exception,
                                                                        OnIdle on_idle = {});
  [[nodiscard]] static std::shared_ptr<SerialQueue> borrowed(OnUnhandledException on_unhandled_exception,
                                                             Borrowed where, OnIdle on_idle = {});
  ~SerialQueue() override;

  /// Before release(): sets the argument of the tasks.
  void belongs_to(std::weak_ptr<Plugin> owner) { owner_ = std::move(owner); }
  /// Called once; drain_here() is the alternative.
  void release();
  /// For a queue that will never be released: runs the tasks that were pushed, on this thread.
  void drain_here();
  /// As drain_here(), but the tasks are not run.
  void drop();
  /// False: the queue is closed, or full, and the task was dropped.
  bool push(Task task);
  template <std::invocable<> F>
  bool push(F task) {
    return push(Task([task = std::move(task)](Plugin*) mutable { task(); }));
  }
  [[nodiscard]] std::size_t size() const { return rx_.size(); }
  [[nodiscard]] Where where() const { return where_; }
  void close();
  /// After close(). True: every task has run before `until`. False: the thread that is in a task is
  /// detached, and the tasks behind that one are dropped. May be called again.
  [[nodiscard]] bool join(std::chrono::steady_clock::time_point until);

  void turn_lost() override;

 private:
  SerialQueue(OnUnhandledException on_unhandled_exception, OnIdle on_idle, std::optional<Borrowed> where,
              mpsc::Channel<Task> channel);
  static constexpr std::size_t kTasksATurn = 64;
  /// Throws std::system_error when there is none to be had.
  void start_thread();
  void schedule();
  void schedule_on(Worker& worker);
  void turn(Worker& worker);
  [[nodiscard]] bool move_to_thread(Duration took);
  void serve();
  void run(Task& task, Plugin* owner);
  void rest();
  void over();

  const OnUnhandledException on_unhandled_exception_;
  const OnIdle on_idle_;
  bool has_run_ = false;  ///< serial: some task has run since the last OnIdle
  const std::optional<Borrowed> borrowed_;
  std::weak_ptr<Plugin> owner_;
  mpsc::Sender<Task> tx_;  ///< never closed: any thread sends
  mpsc::Receiver<Task> rx_;
  /// Woken when a task comes to a borrowed queue that has none.
  Waker<SerialQueue, &SerialQueue::schedule> waker_{*this};
  std::atomic<Worker*> last_worker_{nullptr};
  std::atomic<Where> where_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> drops_{false};  ///< join() has returned false
  oneshot::Channel<bool> begin_ = oneshot::channel<bool>();
  oneshot::Channel<bool> over_ = oneshot::channel<bool>();
  Mutex mutex_;
  std::thread thread_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
