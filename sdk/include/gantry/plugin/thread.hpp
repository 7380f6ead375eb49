// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/thread.hpp: a named thread of a plugin's own.
//
//   auto started = gantry::PluginThread::start(host_, "my-audio", [this](gantry::CancelToken token) { ... },
//                                              {.real_time_priority = 10});
//   if (!started) return std::unexpected(started.error());
//   thread_ = std::move(*started);
//
// Thread rule: start, stop and the destructor serially with the plugin's handlers; the token may be
//   used on any thread.
// Life: stop() and the destructor cancel the token and wait for the thread: operations that the
//   thread waits in must heed the token. Declare the PluginThread last in the plugin's class, so
//   that it is destroyed first.
// Exceptions: an exception that leaves the body ends the thread, and is logged.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <gantry/plugin/call.hpp>

#include <exception>
#include <functional>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace gantry {

class PluginThread {
 public:
  struct Options {
    /// SCHED_FIFO, 1 to 99. A system that does not allow it (RLIMIT_RTPRIO) starts an ordinary
    /// thread, and a log line says so.
    std::optional<int> real_time_priority;
  };

  /// A thread that has not been started.
  PluginThread() = default;
  PluginThread(PluginThread&&) noexcept = default;
  PluginThread& operator=(PluginThread&& other) noexcept {
    if (this != &other) {
      stop();
      thread_ = std::move(other.thread_);
      real_time_ = other.real_time_;
    }
    return *this;
  }
  ~PluginThread() { stop(); }

  /// The system shows the first 15 bytes of `name`. `unavailable`: the system gives no thread.
  [[nodiscard]] static Result<PluginThread> start(const Host& host, std::string_view name,
                                                  std::move_only_function<void(CancelToken)> body,
                                                  const Options& options) {
    PluginThread out;
    const std::string shown(name.substr(0, 15));
    try {
      out.thread_ = std::jthread([host, shown, run = std::move(body)](const CancelToken& token) mutable {
        (void)pthread_setname_np(pthread_self(), shown.c_str());
        std::string what;
        try {
          auto own = std::move(run);  // its captures are destroyed here, not when it is joined
          own(token);
          return;
        } catch (const std::exception& e) {
          what = e.what();
        } catch (...) {
          what = "an exception of unknown type";
        }
        host.log(Level::error, "exception in thread " + shown + ": " + what);
      });
    } catch (const std::system_error& e) {
      return fail(ErrorKind::unavailable, "thread " + shown + " cannot be started: " + e.what());
    }
    if (options.real_time_priority) {
      sched_param param{};
      param.sched_priority = *options.real_time_priority;
      const int refused = pthread_setschedparam(out.thread_.native_handle(), SCHED_FIFO, &param);
      out.real_time_ = refused == 0;
      if (refused != 0) {
        host.log(Level::warn, "thread " + shown + " has no real-time priority: " +
                                  std::error_code(refused, std::generic_category()).message());
      }
    }
    return out;
  }
  [[nodiscard]] static Result<PluginThread> start(const Host& host, std::string_view name,
                                                  std::move_only_function<void(CancelToken)> body) {
    return start(host, name, std::move(body), Options{});
  }

  /// Cancels the token and joins the thread. Does nothing when the thread has not been started.
  void stop() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
  }
  /// True: the real-time priority that was asked for was given.
  [[nodiscard]] bool real_time() const { return real_time_; }
  [[nodiscard]] bool joinable() const { return thread_.joinable(); }

 private:
  std::jthread thread_;
  bool real_time_ = false;
};

}  // namespace gantry
