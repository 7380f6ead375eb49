// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/child/child_output.hpp: reads a plugin's process's stdout and stderr: lines for the
// host's log, and the last ones as evidence after a death.
//
// Thread rule: the pipe is read on its worker; last_lines(), wait_for_end() and finish() may be
// called from any thread.
// Bounds: a line has kMaxLine bytes, the rest of a longer one is the next line; after kBurst lines
// at once, kPerSecond. More lines are dropped and counted in the log. The pipe is not read for a
// moment then: the process that floods waits, the worker does not.
// Never: a line that the process wrote before it ended is missing from the last lines.
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
  static constexpr std::size_t kMaxLine = 8 * 1024 - 256;  ///< with the prefix that the log adds
  static constexpr std::size_t kLastLines = 20;
  static constexpr double kBurst = 1000;
  static constexpr double kPerSecond = 100;
  using Log = std::function<void(std::string_view line)>;

  /// `fd`: the reading end of a pipe, owned by this object from here on. `timers` are real ones.
  ChildOutput(Worker& worker, Timers& timers, int fd, Log log);
  void start();
  [[nodiscard]] std::vector<std::string> last_lines() const;
  /// Blocks until the pipe has ended, at most until `until`.
  void wait_for_end(std::chrono::steady_clock::time_point until);
  /// On the worker: reads all that is in the pipe now.
  void read_rest();
  /// The process has ended: other processes that still have the writing end are not waited for.
  void finish();

 private:
  void wait();
  void read();
  /// False: there is nothing more to read now.
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
  std::string partial_;  ///< this and the next three are the worker's
  double may_log_ = kBurst;
  std::chrono::steady_clock::time_point counted_ = std::chrono::steady_clock::now();
  std::uint64_t dropped_ = 0;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> last_ GANTRY_GUARDED_BY(mutex_);
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
