// SPDX-License-Identifier: Apache-2.0
//
// process.hpp: one running language server: messages to it, messages from it, and its end.
//
// The server is a helper process, which the host starts, confines and ends
// (gantry/plugin/process.hpp), with a socket as stdin and pipes as stdout and stderr.
//
// Thread rule: all functions except the destructor are for any thread and never block. The events
//   come from the reactor's thread, one at a time.
// Order: messages reach the server in the order of their enqueue calls, whichever thread flushes.
// Bounds: `backlog()` counts the bytes that the server has not taken; users send no more above
//   kHighWater. A message from the server over kMaxMessage is skipped and reported, and so are
//   lines on its stdout that are no message; beyond FrameDecoder::kMaxNoise bytes of these in a row
//   the server is killed. The last kStderrTail bytes of stderr are kept.
// Never: an event after on_exit, which comes exactly once after begin(), unless suspend() or the
//   plugin's end comes first; a process of the server alive after on_exit.
#pragma once

#include <atomic>
#include <cstddef>
#include <gantry/framing.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin/process.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/reactor.hpp"

namespace gantry::lsp {

class ServerProcess;

class ProcessEvents {
 public:
  ProcessEvents() = default;
  ProcessEvents(const ProcessEvents&) = delete;
  ProcessEvents& operator=(const ProcessEvents&) = delete;
  virtual ~ProcessEvents() = default;
  /// One message; valid until the return. False: send no further ones until resume().
  [[nodiscard]] virtual bool on_message(ServerProcess& from, std::string_view text) = 0;
  /// The backlog fell from above kHighWater to below kLowWater.
  virtual void on_drained(ServerProcess& from) = 0;
  /// A message over the limit is skipped. `beginning`: the part of it that has come.
  virtual void on_skipped(ServerProcess& from, std::string_view beginning) = 0;
  /// Lines that are no message are skipped; reported once. `beginning`: their first
  /// FrameDecoder::kNoiseKept bytes.
  virtual void on_noise(ServerProcess& from, std::string_view beginning) = 0;
  virtual void on_exit(ServerProcess& from, const std::string& reason) = 0;
};

class ServerProcess : public std::enable_shared_from_this<ServerProcess> {
 public:
  static constexpr std::size_t kMaxMessage = std::size_t{64} << 20;
  static constexpr std::size_t kHighWater = std::size_t{1} << 20;
  static constexpr std::size_t kLowWater = std::size_t{256} << 10;
  static constexpr std::size_t kStderrTail = 4096;

  ServerProcess(Reactor& reactor, Host host, HelperProcess helper, std::weak_ptr<ProcessEvents> events);
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  /// Kills the server if it runs.
  ~ServerProcess();

  /// Starts the events. Called once.
  void begin();

  /// The state that passes from one instance of the plugin to the next, which goes on with the
  /// server.
  struct Suspended {
    std::string unread;  ///< of the server's output
    std::string unsent;
    std::string stderr_tail;
    bool close_wanted = false;
  };
  /// Ends this object; the server lives on. Called when no other thread uses it any more, the
  /// reactor included. Empty: no other instance could go on with the server, and the destructor
  /// kills it.
  [[nodiscard]] std::optional<Suspended> suspend();
  /// Called before begin().
  void restore(Suspended suspended);
  /// Called before begin(), for a server whose plugin has died: output before the answer to this id
  /// is dropped, since it may begin in the middle of a message.
  void seek_answer(long long id) { sought_ = id; }

  void enqueue(std::string_view message);
  /// As enqueue(), with the id (a view into `message`) replaced.
  void enqueue_with_id(std::string_view message, std::string_view id, std::string_view new_id);
  /// Writes the bytes that the server takes now; the rest follows automatically.
  void flush();
  /// No more input: closes stdin behind the last message.
  void close_input();
  [[nodiscard]] std::size_t backlog() const { return backlog_.load(std::memory_order_relaxed); }

  void resume();
  /// True: the server's output is not read, for want of room.
  [[nodiscard]] bool held() const { return held_; }
  /// The exit is wanted: a closed output is then no reason to kill.
  void expect_exit() { exit_expected_.store(true, std::memory_order_relaxed); }
  /// Sends the signal; SIGKILL ends all processes that the server has started, too.
  void kill_group(int signal);

  [[nodiscard]] int pid() const { return pid_; }
  /// The folders in which the server may write.
  [[nodiscard]] const std::vector<std::string>& writable() const { return writable_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  /// True: the server ran before it was asked for here, because another instance has left it.
  [[nodiscard]] bool warm() const { return warm_; }
  [[nodiscard]] std::string stderr_tail() const;

 private:
  void queued(std::size_t bytes) GANTRY_REQUIRES(out_mutex_);
  [[nodiscard]] bool next_chunk();
  void finish_flush();
  void watch();
  void readable();
  void deliver();
  void seek();
  void output_ended(std::string reason);
  void errors_readable();
  void exited(std::string reason);

  Reactor& reactor_;
  const Host host_;
  const std::weak_ptr<ProcessEvents> events_;
  const std::string name_;  ///< the host's name of the helper process
  const int pid_;
  const std::vector<std::string> writable_;
  const bool warm_;
  const Descriptor in_, out_, err_;

  // Messages to the server. One thread writes at a time (`writing_`), without the lock; front_ is
  // that thread's.
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

  // Messages from the server, on the reactor's thread.
  FrameDecoder decoder_{kMaxMessage, Framing::headers, Noise::skipped};
  bool noise_reported_ = false;
  std::optional<long long> sought_;
  std::string unsynced_;
  std::atomic<bool> held_{false};
  std::atomic<bool> resume_posted_{false};
  std::atomic<bool> drained_posted_{false};
  bool output_open_ = true;
  std::string end_reason_;

  mutable Mutex err_mutex_;
  std::string tail_ GANTRY_GUARDED_BY(err_mutex_);

  std::atomic<bool> gone_{false};
  std::atomic<bool> exit_expected_{false};
};

}  // namespace gantry::lsp
