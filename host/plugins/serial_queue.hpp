// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/serial_queue.hpp: a plugin's symbolic thread: tasks, one at a time, in order.
//
// Two kinds: with an OS thread of its own, or borrowed, where tasks run on the host's workers: on the very worker that
// pushes (no thread switch), or through `hand_over` when the pusher is no worker or is inside a task already.
//
// A new queue is held: tasks wait until release(). Whoever created it may act as the symbolic thread until then, and
// again once join() has returned true.
//
// Thread rule: push() from any thread. Bounds are the pusher's business: each kind of message has its own.
// After close(): what was pushed runs, push() refuses. join() waits until it has run.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <gantry/mutex.hpp>
#include <memory>
#include <optional>
#include <thread>

namespace gantry::host {

class SerialQueue : public std::enable_shared_from_this<SerialQueue> {
 public:
  using Task = std::move_only_function<void()>;
  struct Borrowed {
    std::function<bool()> on_worker;      ///< is this thread a worker?
    std::function<void(Task)> hand_over;  ///< runs a task on a worker
  };

  [[nodiscard]] static std::shared_ptr<SerialQueue> with_thread();
  [[nodiscard]] static std::shared_ptr<SerialQueue> borrowed(Borrowed where);
  ~SerialQueue();

  void release();
  /// For a queue that will never be released: runs what was pushed, here.
  void drain_here();
  /// False: it is closed and the task was dropped.
  bool push(Task task);
  [[nodiscard]] std::size_t size() const;
  void close();
  /// After close(): true when everything has run before `until`. A queue that is stuck is given up: its thread is let
  /// go.
  [[nodiscard]] bool join(std::chrono::steady_clock::time_point until);

 private:
  explicit SerialQueue(std::optional<Borrowed> where) : borrowed_(std::move(where)) {}
  void serve();
  void drain();

  const std::optional<Borrowed> borrowed_;
  std::thread thread_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Task> queue_ GANTRY_GUARDED_BY(mutex_);
  bool running_ GANTRY_GUARDED_BY(mutex_) = true;
  bool closed_ GANTRY_GUARDED_BY(mutex_) = false;
  bool finished_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
