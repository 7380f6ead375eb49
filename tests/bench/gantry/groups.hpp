// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gantry/channel/oneshot.hpp>
#include <gantry/coro.hpp>
#include <memory>

#include "tests/bench/peers/common.hpp"

std::vector<peer::Workload> messages();
std::vector<peer::Workload> events();
std::vector<peer::Workload> state();

namespace core {

/// One executor, or two executors of one group, each on a thread of its own.
class Loops {
 public:
  explicit Loops(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) executors_.push_back(std::make_unique<gantry::LocalExecutor>(this));
    for (std::size_t i = 1; i < count; ++i) threads_.emplace_back([e = executors_[i].get()] { e->run(); });
  }
  ~Loops() {
    for (std::size_t i = 1; i < executors_.size(); ++i) executors_[i]->stop();
    for (auto& thread : threads_) thread.join();
  }
  Loops(const Loops&) = delete;
  Loops& operator=(const Loops&) = delete;

  gantry::LocalExecutor& operator[](std::size_t i) { return *executors_[i % executors_.size()]; }
  /// Runs the first executor on this thread until `task` has ended.
  void run(gantry::Task<void> task) {
    (void)gantry::spawn(*executors_[0], then_stop(std::move(task), executors_[0].get()));
    executors_[0]->run();
  }

 private:
  static gantry::Task<void> then_stop(gantry::Task<void> task, gantry::LocalExecutor* executor) {
    co_await std::move(task);
    executor->stop();
  }
  std::vector<std::unique_ptr<gantry::LocalExecutor>> executors_;
  std::vector<std::thread> threads_;
};

}  // namespace core
