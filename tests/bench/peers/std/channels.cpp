// SPDX-License-Identifier: Apache-2.0
//
// mutex + deque + condition variable as a queue and as a pool; promise and future as a oneshot.
#include <condition_variable>
#include <deque>
#include <future>
#include <limits>
#include <mutex>

#include "tests/bench/peers/std/groups.hpp"

namespace {

using namespace peer;

template <class T>
class Queue {
 public:
  explicit Queue(std::size_t capacity) : capacity_(capacity) {}
  void push(T value) {
    {
      std::unique_lock lock(mutex_);
      not_full_.wait(lock, [&] { return items_.size() < capacity_; });
      items_.push_back(std::move(value));
    }
    not_empty_.notify_one();
  }
  T pop() {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [&] { return !items_.empty(); });
    T value = std::move(items_.front());
    items_.pop_front();
    lock.unlock();
    not_full_.notify_one();
    return value;
  }

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable not_full_, not_empty_;
  std::deque<T> items_;
};

u64 mpsc(std::size_t senders, std::size_t capacity, u64 ops, Timer& timer) {
  Queue<Message> queue(capacity);
  Order order(senders);
  Team team(senders, [&](std::size_t sender) {
    const u64 mine = share(ops, senders, sender);
    for (u64 i = 0; i < mine; ++i) queue.push({sender, i});
  });
  timer.start();
  team.go();
  for (u64 i = 0; i < ops; ++i) order.got(queue.pop());
  timer.stop();
  team.join();
  order.finished(ops);
  return ops;
}

u64 oneshot(u64 ops, Timer& timer) {
  Order order(1);
  timer.start();
  for (u64 i = 0; i < ops; ++i) {
    std::promise<Message> promise;
    auto future = promise.get_future();
    promise.set_value({0, i});
    order.got(future.get());
  }
  timer.stop();
  order.finished(ops);
  return ops;
}

/// An empty job ends a worker.
u64 pool(u64 ops, Timer& timer) {
  Queue<std::function<void()>> jobs(std::numeric_limits<std::size_t>::max());
  std::vector<u64> out(ops);
  Team workers(2, [&](std::size_t) {
    while (auto job = jobs.pop()) job();
  });
  workers.go();
  timer.start();
  for (u64 i = 0; i < ops; ++i) jobs.push([&out, i] { out[i] = i + 1; });
  jobs.push({});
  jobs.push({});
  workers.join();
  timer.stop();
  for (u64 i = 0; i < ops; ++i) require(out[i] == i + 1, "a job did not run");
  return ops;
}

}  // namespace

std::vector<Workload> channels() {
  std::vector<Workload> all;
  for (const std::size_t senders : {1, 4}) {
    const auto name = [&](const char* kind) {
      return std::string("mpsc.") + kind + "." + std::to_string(senders) + "p.thr";
    };
    all.push_back({name("bounded"), "mutex + deque + two condition variables; bounded",
                   [=](u64 ops, Timer& t) { return mpsc(senders, kCapacity, ops, t); }});
    all.push_back({name("unbounded"), "mutex + deque + condition variable",
                   [=](u64 ops, Timer& t) { return mpsc(senders, std::numeric_limits<std::size_t>::max(), ops, t); }});
  }
  all.push_back({"oneshot.ct", "promise and future; no task", oneshot});
  all.push_back({"pool.2", "mutex + deque + condition variable, std::function jobs", pool});
  return all;
}
