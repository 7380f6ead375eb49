// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/inline/serial_queue.hpp: a plugin's strand: tasks, one at a time, in order, through
// an mpsc channel.
//
// Two kinds. One has an OS thread of its own. One is borrowed: its tasks run in turns on the host's workers, on the
// very worker that pushes where there is one (no thread switch); a turn is posted, never run within the push. A
// borrowed queue gets a thread of its own, for good, when a task of it takes longer than kSlow, or when one does not
// return and its worker was taken over; then the thread that it holds becomes its own.
//
// A new queue is held: tasks wait until release(). Whoever created it may act as the strand until
// then, and again once join() has returned true. Its thread is there from the start, so that a
// system that gives no thread says so before the plugin has begun anything.
//
// Thread rule: push() from any thread; release(), drain_here(), drop(), close() and join() by who started the plugin or
// stops it. Full: push() refuses at kMaxTasks. Each kind of message has a bound of its own below that; what remains is
// for items. After close(): what was pushed runs, push() refuses. join() waits until it has run.
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

  /// Given the queue's owner; nullptr: it is gone, or about to go.
  using Task = std::move_only_function<void(Plugin*)>;
  /// Told what a task has thrown, which is a bug of the host: the queue goes on. Serially.
  using OnUnhandledException = Worker::OnUnhandledException;
  /// Runs, serially, when something has run and nothing waits. Must not throw.
  using OnIdle = std::function<void()>;
  enum class Where : std::uint8_t { worker, own_thread };
  struct Borrowed {
    Workers& workers;
    const Timers& clock;
    /// It has a thread of its own from now on, and why. Any thread.
    std::function<void(const std::string& why)> on_moved;
  };

  /// `overloaded`: the system gives no thread.
  [[nodiscard]] static Result<std::shared_ptr<SerialQueue>> with_thread(OnUnhandledException on_unhandled_exception,
                                                                        OnIdle on_idle = {});
  [[nodiscard]] static std::shared_ptr<SerialQueue> borrowed(OnUnhandledException on_unhandled_exception,
                                                             Borrowed where, OnIdle on_idle = {});
  ~SerialQueue() override;

  /// Before release(): who is handed to the tasks while it lives.
  void belongs_to(std::weak_ptr<Plugin> owner) { owner_ = std::move(owner); }
  /// Once, or drain_here() instead.
  void release();
  /// For a queue that will never be released: runs what was pushed, here.
  void drain_here();
  /// The same, but what was pushed is never run.
  void drop();
  /// False: it is closed, or full, and the task was dropped.
  bool push(Task task);
  template <std::invocable<> F>
  bool push(F task) {
    return push(Task([task = std::move(task)](Plugin*) mutable { task(); }));
  }
  [[nodiscard]] std::size_t size() const { return rx_.size(); }
  [[nodiscard]] Where where() const { return where_; }
  void close();
  /// After close(): true when everything has run before `until`. A queue that is stuck is given up: its thread is let
  /// go.
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
  bool has_run_ = false;  ///< serial: since it rested
  const std::optional<Borrowed> borrowed_;
  std::weak_ptr<Plugin> owner_;
  mpsc::Sender<Task> tx_;  ///< never closed: any thread sends
  mpsc::Receiver<Task> rx_;
  /// Woken when a task comes to a borrowed queue that has none.
  Waker<SerialQueue, &SerialQueue::schedule> waker_{*this};
  std::atomic<Worker*> last_worker_{nullptr};
  std::atomic<Where> where_;
  std::atomic<bool> closed_{false};
  oneshot::Channel<bool> begin_ = oneshot::channel<bool>();
  oneshot::Channel<bool> over_ = oneshot::channel<bool>();
  Mutex mutex_;
  std::thread thread_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
