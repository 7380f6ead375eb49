// SPDX-License-Identifier: Apache-2.0
//
// worker.hpp: one thread for work that may block on files.
//
// Thread rule: post() from any thread; tasks run one after the other, in the order in which they
//   were posted. A task must not throw.
// Full: post() refuses with `overloaded`. After stop() post() refuses with `unavailable`, and tasks
//   that wait are destroyed.
#pragma once

#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/mutex.hpp>
#include <thread>
#include <utility>

namespace gantry::lsp {

class Worker {
 public:
  using Task = std::move_only_function<void()>;
  static constexpr std::size_t kMaxWaiting = 1024;

  Worker() : Worker(mpsc::channel<Task>(kMaxWaiting)) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { stop(); }

  [[nodiscard]] Result<void> post(Task task) {
    Lock lock(mutex_);
    return tx_.try_send(std::move(task));
  }

  /// Returns when the task that runs has ended.
  void stop() {
    {
      Lock lock(mutex_);
      stopping_ = true;
      tx_.close();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  explicit Worker(mpsc::Channel<Task> channel)
      : tx_(std::move(channel.tx)), thread_([this, rx = std::move(channel.rx)]() mutable { run(rx); }) {}

  void run(mpsc::Receiver<Task>& rx) {
    while (auto task = rx.recv()) {
      {
        Lock lock(mutex_);
        if (stopping_) return;
      }
      (*task)();
    }
  }

  Mutex mutex_;
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  mpsc::Sender<Task> tx_ GANTRY_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace gantry::lsp
