// SPDX-License-Identifier: Apache-2.0
//
// process.hpp: one running language server: messages to it, messages from it, and its end.
//
// The server is a helper process, which the host starts, confines and ends
// (gantry/plugin/process.hpp), with a socket as stdin and pipes as stdout and stderr.
//
// Thread rule: see connection.hpp. The events come from the reactor's thread.
// Bounds: `backlog()` counts the bytes that the server has not taken; users send no more above
//   kHighWater. A message from the server over kMaxMessage is skipped and reported, and so are
//   lines on its stdout that are no message; beyond FrameDecoder::kMaxNoise bytes of these in a row
//   the server is killed. The last kStderrTail bytes of stderr are kept.
// Never: a process of the server alive after on_exit.
#pragma once

#include <atomic>
#include <chrono>
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

#include "plugins/lsp/connection.hpp"
#include "plugins/lsp/reactor.hpp"

namespace gantry::lsp {

class ServerProcess final : public ServerConnection, public std::enable_shared_from_this<ServerProcess> {
 public:
  static constexpr std::size_t kMaxMessage = std::size_t{64} << 20;
  static constexpr std::size_t kStderrTail = 4096;
  /// Between two looks at stderr: servers write a line for each message.
  static constexpr std::chrono::milliseconds kStderrPause{100};

  ServerProcess(Reactor& reactor, Host host, HelperProcess helper, std::weak_ptr<ConnectionEvents> events);
  /// Kills the server if it runs.
  ~ServerProcess() override;

  [[nodiscard]] bool owns_process() const override { return true; }
  [[nodiscard]] bool ends_by_crash() const override { return true; }
  void begin() override;
  void enqueue(std::string_view message) override;
  void enqueue_with_id(std::string_view message, std::string_view id, std::string_view new_id) override;
  void flush() override;
  void close_input() override;
  [[nodiscard]] std::size_t backlog() const override { return backlog_.load(std::memory_order_relaxed); }
  void resume() override;
  [[nodiscard]] bool held() const override { return held_; }
  void expect_exit() override { exit_expected_.store(true, std::memory_order_relaxed); }
  void kill_group(int signal) override;

  /// Called when the reactor does not use it any more, either. Empty: the destructor kills the server.
  [[nodiscard]] std::optional<Suspended> suspend() override;
  void restore(Suspended suspended) override;
  void seek_answer(long long id) override { sought_ = id; }

  [[nodiscard]] int pid() const override { return pid_; }
  [[nodiscard]] const std::vector<std::string>& writable() const override { return writable_; }
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] bool warm() const override { return warm_; }
  [[nodiscard]] std::string stderr_tail() const override;

 private:
  void queued(std::size_t bytes) GANTRY_REQUIRES(out_mutex_);
  [[nodiscard]] bool next_chunk();
  void finish_flush();
  [[nodiscard]] bool stops_writing();
  void await_room();
  void has_room();
  void watch();
  void readable();
  void deliver();
  void seek();
  void output_ended(std::string reason);
  [[nodiscard]] bool read_errors();
  void errors_readable();
  void exited(std::string reason);

  Reactor& reactor_;
  const Host host_;
  const std::weak_ptr<ConnectionEvents> events_;
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
  std::atomic<bool> room_awaited_{false};
  bool output_open_ = true;
  std::string end_reason_;

  mutable Mutex err_mutex_;
  std::string tail_ GANTRY_GUARDED_BY(err_mutex_);

  std::atomic<bool> gone_{false};
  std::atomic<bool> exit_expected_{false};
};

}  // namespace gantry::lsp
