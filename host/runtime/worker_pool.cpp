// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/worker_pool.hpp"

#include <exception>
#include <utility>

namespace gantry::host {

WorkerPool::WorkerPool(std::size_t threads, std::size_t max_queued, std::function<void(std::string_view)> on_escape)
    : max_queued_(max_queued), on_escape_(std::move(on_escape)), max_threads_(threads == 0 ? 1 : threads) {}

WorkerPool::~WorkerPool() { (void)stop(); }

Result<void> WorkerPool::spawn(Job job) {
  {
    Lock lock(mutex_);
    if (stopping_) return fail(ErrorKind::unavailable, "the worker pool has stopped");
    if (queue_.size() >= max_queued_)
      return fail(ErrorKind::overloaded, std::to_string(queue_.size()) + " jobs wait for the worker pool",
                  R"({"retry_after_ms":100})");
    queue_.push_back(std::move(job));
    if (idle_ < queue_.size() && threads_.size() < max_threads_) {
      ++live_;
      threads_.emplace_back([this] { serve(); });
    }
  }
  changed_.notify_one();
  return {};
}

void WorkerPool::set_threads(std::size_t threads) {
  Lock lock(mutex_);
  max_threads_ = threads == 0 ? 1 : threads;
}

bool WorkerPool::stop(std::chrono::steady_clock::time_point until) {
  std::vector<std::thread> threads;
  std::deque<Job> dropped;
  {
    Lock lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
  }
  changed_.notify_all();
  {
    Lock lock(mutex_);
    while (live_ != 0) {
      if (until == std::chrono::steady_clock::time_point::max()) {
        changed_.wait(mutex_);
      } else if (!changed_.wait_until(mutex_, until)) {
        return false;
      }
    }
    threads.swap(threads_);
  }
  for (auto& thread : threads) thread.join();
  return true;
}

void WorkerPool::serve() {
  while (true) {
    Job job;
    {
      Lock lock(mutex_);
      ++idle_;
      while (queue_.empty() && !stopping_) changed_.wait(mutex_);
      --idle_;
      if (stopping_) {
        --live_;
        changed_.notify_all();
        return;
      }
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    try {
      job();
    } catch (const std::exception& e) {
      on_escape_(e.what());
    } catch (...) {
      on_escape_("an exception of unknown type");
    }
  }
}

}  // namespace gantry::host
