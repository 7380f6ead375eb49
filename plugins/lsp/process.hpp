// SPDX-License-Identifier: Apache-2.0
//
// process.hpp: one running language server: its messages in, its messages out, its end.
//
// The server gets a process group of its own, a socket as stdin (so that writing to a dead server raises no signal),
// and pipes as stdout and stderr. No other descriptor of the host is open in it.
//
// Thread rule: spawn() blocks and belongs on a worker. enqueue, flush, close_input, kill_group, resume and the getters
// are
//   for any thread and never block. The events come from the reactor's thread, one at a time.
// Order: messages reach the server in the order of their enqueue calls, whoever flushes.
// Bounds: `backlog()` counts what the server has not taken; its users hold back above kHighWater. A message from the
//   server over kMaxMessage is skipped and reported. The last kStderrTail bytes of stderr are kept.
// Never: an event after on_exit, which comes exactly once for a process whose begin() succeeded; a process of the group
//   alive after on_exit, or after destruction.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <gantry/framing.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "reactor.hpp"

namespace gantry::lsp {

class ServerProcess;

class ProcessEvents {
 public:
  ProcessEvents() = default;
  ProcessEvents(const ProcessEvents&) = delete;
  ProcessEvents& operator=(const ProcessEvents&) = delete;
  virtual ~ProcessEvents() = default;
  /// One message; valid until the return. False: hold further ones back until resume().
  [[nodiscard]] virtual bool on_message(ServerProcess& from, std::string_view text) = 0;
  /// The backlog fell from above kHighWater to below kLowWater.
  virtual void on_drained(ServerProcess& from) = 0;
  /// A message over the limit was skipped.
  virtual void on_skipped(ServerProcess& from) = 0;
  virtual void on_exit(ServerProcess& from, const std::string& reason) = 0;
};

/// Descriptors that close themselves.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  void reset();
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_ = -1;
};

class ServerProcess : public std::enable_shared_from_this<ServerProcess> {
 public:
  static constexpr std::size_t kMaxMessage = std::size_t{64} << 20;
  static constexpr std::size_t kHighWater = std::size_t{1} << 20;
  static constexpr std::size_t kLowWater = std::size_t{256} << 10;
  static constexpr std::size_t kStderrTail = 4096;

  /// `not_found` when there is no such program.
  [[nodiscard]] static Result<std::shared_ptr<ServerProcess>> spawn(Reactor& reactor,
                                                                    const std::vector<std::string>& command,
                                                                    const std::string& folder,
                                                                    std::weak_ptr<ProcessEvents> events);
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess();

  /// Starts the events. Call once.
  void begin();

  void enqueue(std::string_view message);
  /// The same, with the id token (a view into `message`) replaced.
  void enqueue_with_id(std::string_view message, std::string_view id, std::string_view new_id);
  /// Writes what the server takes now; the rest follows by itself.
  void flush();
  /// No more input: closes stdin behind the last message.
  void close_input();
  [[nodiscard]] std::size_t backlog() const { return backlog_.load(std::memory_order_relaxed); }

  void resume();
  /// Is its output held back, for want of room?
  [[nodiscard]] bool held() const { return held_; }
  /// The exit is wanted: a closed output is then no reason to kill.
  void expect_exit() { exit_expected_.store(true, std::memory_order_relaxed); }
  void kill_group(int signal);
  /// Kills the group and waits briefly for the kernel to be done with it. For the end of the house.
  void destroy();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::string stderr_tail() const;

 private:
  ServerProcess(Reactor& reactor, std::weak_ptr<ProcessEvents> events);

  void queued(std::size_t bytes) GANTRY_REQUIRES(out_mutex_);
  [[nodiscard]] bool next_chunk();
  void finish_flush();
  void watch();
  void readable();
  void deliver();
  void output_ended(std::string reason);
  void errors_readable();
  void exited();
  [[nodiscard]] std::string reap() GANTRY_REQUIRES(pid_mutex_);

  Reactor& reactor_;
  const std::weak_ptr<ProcessEvents> events_;
  pid_t pid_ = -1;
  Fd pidfd_, in_, out_, err_;

  // Towards the server. One thread writes at a time (`writing_`), without the lock; front_ is that thread's.
  mutable Mutex out_mutex_;
  std::string queue_ GANTRY_GUARDED_BY(out_mutex_);
  bool writing_ GANTRY_GUARDED_BY(out_mutex_) = false;
  bool write_again_ GANTRY_GUARDED_BY(out_mutex_) = false;
  bool close_wanted_ GANTRY_GUARDED_BY(out_mutex_) = false;
  bool broken_ GANTRY_GUARDED_BY(out_mutex_) = false;
  bool was_high_ GANTRY_GUARDED_BY(out_mutex_) = false;
  std::string front_;
  std::size_t front_at_ = 0;
  std::atomic<std::size_t> backlog_{0};

  // From the server: the reactor's thread.
  FrameDecoder decoder_{kMaxMessage, Framing::headers};
  std::atomic<bool> held_{false};
  std::atomic<bool> resume_posted_{false};
  std::atomic<bool> drained_posted_{false};
  bool output_open_ = true;
  std::string end_reason_;

  mutable Mutex err_mutex_;
  std::string tail_ GANTRY_GUARDED_BY(err_mutex_);

  Mutex pid_mutex_;
  bool reaped_ GANTRY_GUARDED_BY(pid_mutex_) = false;
  std::atomic<bool> exit_expected_{false};
};

}  // namespace gantry::lsp
