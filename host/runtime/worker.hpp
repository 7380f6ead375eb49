// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/worker.hpp: an Asio io_context with the one thread that runs it, and the timers on it.
//
// Thread rule: post(), timers() and stop() from any thread; run() is the worker's thread. Nothing on it blocks.
// An exception that leaves a handler is a mistake of ours: it is reported to `on_escape` and the worker goes on.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string_view>

#include "host/runtime/timers.hpp"

namespace gantry::host {

class Worker {
 public:
  Worker();
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Serves until stop(). Called once, by the thread that is to be the worker.
  void run(const std::function<void(std::string_view)>& on_escape);
  void stop();
  void post(std::move_only_function<void()> task);
  /// Is this the worker's thread?
  [[nodiscard]] bool here() const;

  [[nodiscard]] boost::asio::io_context& context();
  [[nodiscard]] Timers& timers();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gantry::host
