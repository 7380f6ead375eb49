// SPDX-License-Identifier: Apache-2.0
//
// host/cli/client.hpp: a blocking JSON-RPC client on the host's socket, for the command line.
//
// Thread rule: one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <gantry/framing.hpp>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gantry::host {

class Client {
 public:
  using OnNotification = std::function<void(const std::string& method, const json& params)>;

  /// Connects. `unavailable`: nobody listens on the socket.
  [[nodiscard]] static Result<Client> connect(const std::filesystem::path& socket);
  Client(Client&& other) noexcept;
  Client& operator=(Client&&) = delete;
  ~Client();

  /// Sends a call and waits for its answer; `timeout` negative: for ever. Notifications that come
  /// meanwhile are passed to `on_notification`.
  [[nodiscard]] Result<json> call(const std::string& method, const json& params,
                                  std::chrono::milliseconds timeout = std::chrono::milliseconds(-1),
                                  const OnNotification& on_notification = {});
  /// As call(), with the params as text: a JSON document would lose the order of an object's
  /// members.
  [[nodiscard]] Result<json> call_with_text(const std::string& method, const std::string& params,
                                            std::chrono::milliseconds timeout,
                                            const OnNotification& on_notification = {});
  [[nodiscard]] Result<void> notify(const std::string& method, const json& params);

  [[nodiscard]] Result<void> send(std::string_view message);
  /// The next message. `timeout`: the time is up (the error names the socket and the process);
  /// `unavailable`: the host has closed the connection.
  [[nodiscard]] Result<json> receive(std::chrono::milliseconds timeout);
  [[nodiscard]] int fd() const { return fd_; }
  /// The process of the host; 0 where the system does not show it.
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  Client(int fd, pid_t pid, std::string socket) : fd_(fd), pid_(pid), socket_(std::move(socket)) {}
  [[nodiscard]] std::unexpected<Error> no_answer() const;
  int fd_;
  pid_t pid_;
  std::string socket_;
  int next_id_ = 1;
  FrameDecoder decoder_{std::size_t{1} << 30, Framing::lines};
};

struct ConnectOptions {
  std::filesystem::path socket;
  bool socket_is_named = false;     ///< the user has named the socket for this client
  std::filesystem::path state_dir;  ///< if nobody listens on the socket, the host that has this folder is used
  std::string config;               ///< passed to a host that is started
  bool may_start = true;
  std::string client;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);  ///< for host.hello
};

struct Common;  // commands.hpp
/// The connection options of the command line.
[[nodiscard]] ConnectOptions connect_options(const Common& common, std::string client);

struct Connected {
  Client client;
  /// How the host that answers differs from the host that this client would have started: version,
  /// configuration, state folder.
  std::vector<std::string> notes;
  std::size_t max_message_bytes = 0;  ///< that the host takes
};

/// Connects to the host that listens on the socket, or else to the host that has the state folder:
/// that host is woken, and has some seconds to make its socket anew. `unavailable`: there is none.
[[nodiscard]] Result<Client> find_host(const ConnectOptions& options);
/// Connects and says hello. Without a running host starts one, which has the state folder.
[[nodiscard]] Result<Connected> connect_or_start(const ConnectOptions& options);
/// Connects to a host that runs; prints the notes.
[[nodiscard]] Result<Client> connect_only(const Common& common);
/// Prints one line for each note on stderr.
void print_notes(const std::vector<std::string>& notes);

}  // namespace gantry::host
