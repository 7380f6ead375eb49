// SPDX-License-Identifier: Apache-2.0
//
// connection.hpp: the way of messages to one language server and from it, until its end.
//
// There are two: a process of one's own (process.hpp), and a guest's place at a server of editors (guest.hpp).
//
// Thread rule: all functions except the destructor are for any thread and never block. The events come one at a time.
// Order: messages reach the server in the order of their enqueue calls, whichever thread flushes.
// Never: an event after on_exit, which comes exactly once after begin(), unless suspend() or the plugin's end comes
//   first.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

class ServerConnection;

class ConnectionEvents {
 public:
  ConnectionEvents() = default;
  ConnectionEvents(const ConnectionEvents&) = delete;
  ConnectionEvents& operator=(const ConnectionEvents&) = delete;
  virtual ~ConnectionEvents() = default;
  /// One message; valid until the return. False: send no further ones until resume().
  [[nodiscard]] virtual bool on_message(ServerConnection& from, std::string_view text) = 0;
  /// The backlog fell from above kHighWater to below kLowWater.
  virtual void on_drained(ServerConnection& from) = 0;
  /// A message over the limit is skipped. `beginning`: the part of it that has come.
  virtual void on_skipped(ServerConnection& from, std::string_view beginning) = 0;
  /// Lines that are no message are skipped; reported once. `beginning`: their first
  /// FrameDecoder::kNoiseKept bytes.
  virtual void on_noise(ServerConnection& from, std::string_view beginning) = 0;
  virtual void on_exit(ServerConnection& from, const std::string& reason) = 0;
};

class ServerConnection {
 public:
  static constexpr std::size_t kHighWater = std::size_t{1} << 20;
  static constexpr std::size_t kLowWater = std::size_t{256} << 10;

  /// The state that passes from one instance of the plugin to the next, which goes on with the
  /// server.
  struct Suspended {
    std::string unread;  ///< of the server's output
    std::string unsent;
    std::string stderr_tail;
    bool close_wanted = false;
  };

  ServerConnection() = default;
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;
  virtual ~ServerConnection() = default;

  /// False: the process is another session's, and nothing is known of it here: the functions below that are about a
  /// process say so.
  [[nodiscard]] virtual bool owns_process() const = 0;
  /// True: its end says that the server is at fault.
  [[nodiscard]] virtual bool ends_by_crash() const = 0;
  /// Starts the events. Called once.
  virtual void begin() = 0;

  virtual void enqueue(std::string_view message) = 0;
  /// As enqueue(), with the id (a view into `message`) replaced.
  virtual void enqueue_with_id(std::string_view message, std::string_view id, std::string_view new_id) = 0;
  /// Writes the bytes that the server takes now; the rest follows automatically.
  virtual void flush() = 0;
  /// No more input: the server's ends behind the last message.
  virtual void close_input() = 0;
  /// The bytes that the server has not taken.
  [[nodiscard]] virtual std::size_t backlog() const = 0;

  virtual void resume() = 0;
  /// True: the server's output is not read, for want of room.
  [[nodiscard]] virtual bool held() const = 0;
  /// The exit is wanted: a closed output is then no reason to kill.
  virtual void expect_exit() = 0;
  /// Sends the signal; SIGKILL ends all processes that the server has started, too.
  virtual void kill_group(int signal) = 0;

  /// Ends this object; the server lives on. Called when no other thread uses it any more. Empty: no other instance
  /// could go on with the server.
  [[nodiscard]] virtual std::optional<Suspended> suspend() = 0;
  /// Called before begin().
  virtual void restore(Suspended suspended) = 0;
  /// Called before begin(), for a server whose plugin has died: output before the answer to this id
  /// is dropped, since it may begin in the middle of a message.
  virtual void seek_answer(long long id) = 0;

  // ---- of the process; 0 and empty: there is none of one's own
  [[nodiscard]] virtual int pid() const = 0;
  /// The folders in which the server may write.
  [[nodiscard]] virtual const std::vector<std::string>& writable() const = 0;
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// True: the server ran before it was asked for here, because another instance has left it.
  [[nodiscard]] virtual bool warm() const = 0;
  [[nodiscard]] virtual std::string stderr_tail() const = 0;
};

}  // namespace gantry::lsp
