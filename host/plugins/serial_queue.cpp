// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/serial_queue.hpp"

#include <utility>

namespace gantry::host {

namespace {
// How many tasks of borrowed queues this thread is inside of. What a task causes is handed over, not run within it.
thread_local int inside_task = 0;
}  // namespace

std::shared_ptr<SerialQueue> SerialQueue::with_thread() {
  return std::shared_ptr<SerialQueue>(new SerialQueue(std::nullopt));
}

std::shared_ptr<SerialQueue> SerialQueue::borrowed(Borrowed where) {
  return std::shared_ptr<SerialQueue>(new SerialQueue(std::move(where)));
}

void SerialQueue::release() {
  // The runner keeps the queue alive, so that a stuck one can be let go.
  if (borrowed_) {
    borrowed_->hand_over([self = shared_from_this()] { self->drain(); });
  } else {
    thread_ = std::thread([self = shared_from_this()] { self->serve(); });
  }
}

void SerialQueue::drain_here() { drain(); }

SerialQueue::~SerialQueue() {
  if (thread_.joinable()) thread_.detach();
}

bool SerialQueue::push(Task task) {
  {
    Lock lock(mutex_);
    if (closed_) return false;
    queue_.push_back(std::move(task));
    if (running_) return true;
    if (borrowed_) running_ = true;
  }
  if (!borrowed_) {
    changed_.notify_one();
  } else if (inside_task == 0 && borrowed_->on_worker()) {
    drain();
  } else {
    borrowed_->hand_over([self = shared_from_this()] { self->drain(); });
  }
  return true;
}

void SerialQueue::drain() {
  ++inside_task;
  while (true) {
    Task task;
    {
      Lock lock(mutex_);
      if (queue_.empty()) {
        running_ = false;
        if (closed_) finished_ = true;
        break;
      }
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
  --inside_task;
  changed_.notify_all();
}

void SerialQueue::serve() {
  while (true) {
    Task task;
    {
      Lock lock(mutex_);
      running_ = false;
      while (queue_.empty() && !closed_) changed_.wait(mutex_);
      if (queue_.empty()) {
        finished_ = true;
        break;
      }
      running_ = true;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
  changed_.notify_all();
}

std::size_t SerialQueue::size() const {
  Lock lock(mutex_);
  return queue_.size();
}

void SerialQueue::close() {
  {
    Lock lock(mutex_);
    closed_ = true;
    if (borrowed_ && !running_ && queue_.empty()) finished_ = true;
  }
  changed_.notify_all();
}

bool SerialQueue::join(std::chrono::steady_clock::time_point until) {
  bool finished = false;
  {
    Lock lock(mutex_);
    while (!finished_) {
      if (!changed_.wait_until(mutex_, until)) break;
    }
    finished = finished_;
  }
  if (thread_.joinable()) {
    if (finished) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }
  return finished;
}

}  // namespace gantry::host
