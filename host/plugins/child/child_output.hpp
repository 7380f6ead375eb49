// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/child/child_output.hpp: what a plugin's process writes to stdout and stderr: lines
// for the host's log, and the last ones as evidence.
//
// Thread rule: it reads on its worker; last_lines(), wait_for_end() and finish() from any thread.
// Bounds: a line has kMaxLine bytes, the rest of a longer one is the next; after kBurst lines at once, kPerSecond. More
// are dropped, and their number is said. Nothing is read for a moment then: who floods waits, the worker does not.
// Never: what a process has written before it ended is missing among the last lines.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <gantry/mutex.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/runtime/timers.hpp"
#include "host/runtime/worker.hpp"

namespace gantry::host {

class ChildOutput : public std::enable_shared_from_this<ChildOutput> {
 public:
  static constexpr std::size_t kMaxLine = 8 * 1024 - 256;  ///< with what the log writes before it
  static constexpr std::size_t kLastLines = 20;
  static constexpr double kBurst = 1000;
  static constexpr double kPerSecond = 100;
  using Log = std::function<void(std::string_view line)>;

  /// `fd`: the end of a pipe to read from, which is its from here on. `timers` are real ones.
  ChildOutput(Worker& worker, Timers& timers, int fd, Log log);
  void start();
  [[nodiscard]] std::vector<std::string> last_lines() const;
  /// Blocks until the pipe has ended, or until then.
  void wait_for_end(std::chrono::steady_clock::time_point until);
  /// On the worker: all that is in the pipe now.
  void read_rest();
  /// Its process has ended: nobody who still has the other end is waited for.
  void finish();

 private:
  void wait();
  void read();
  /// False: nothing more is to come now.
  [[nodiscard]] bool read_some();
  void take(std::string_view bytes);
  void line(std::string_view text);
  void log_line(std::string_view text);
  void say_dropped();
  void end();

  Worker& worker_;
  Timers& timers_;
  const Log log_;
  boost::asio::posix::stream_descriptor pipe_;
  std::string partial_;  ///< these four are the worker's
  double may_log_ = kBurst;
  std::chrono::steady_clock::time_point counted_ = std::chrono::steady_clock::now();
  std::uint64_t dropped_ = 0;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> last_ GANTRY_GUARDED_BY(mutex_);
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
