// SPDX-License-Identifier: Apache-2.0
#include "host/cli/client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "host/protocols/rpc/listener.hpp"

namespace gantry::host {

Result<Client> Client::connect(const std::filesystem::path& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket.string();
  if (auto ok = check_socket_path(socket); !ok) return std::unexpected(ok.error());
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(ErrorKind::unavailable, "no socket: " + std::system_category().message(errno));
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const std::string why = std::system_category().message(errno);
    ::close(fd);
    return fail(ErrorKind::unavailable, "no host answers on " + path + " (" + why + ")");
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != ::geteuid()) {
    ::close(fd);
    return fail(ErrorKind::permission_denied, "whoever answers on " + path + " is another user's; nothing was sent");
  }
  return Client(fd, peer.pid, path);
}

Client::Client(Client&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      pid_(other.pid_),
      socket_(std::move(other.socket_)),
      next_id_(other.next_id_),
      decoder_(std::size_t{1} << 30, Framing::lines) {}

Client::~Client() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> Client::send(std::string_view message) {
  std::string frame;
  append_frame(frame, Framing::lines, message);
  for (std::size_t sent = 0; sent < frame.size();) {
    const ssize_t wrote = ::send(fd_, frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return fail(ErrorKind::unavailable, "the host has closed the connection");
    sent += static_cast<std::size_t>(wrote);
  }
  return {};
}

std::unexpected<Error> Client::no_answer() const {
  const std::string pid = std::to_string(pid_);
  return fail(
      ErrorKind::timeout,
      "the host on " + socket_ + (pid_ > 0 ? " (pid " + pid + ")" : "") + " gives no answer in time" +
          (pid_ > 0 ? "; see whether it is stopped (`kill -CONT " + pid + "`), or end it (`kill -9 " + pid + "`)"
                    : ""));
}

Result<json> Client::receive(std::chrono::milliseconds timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  while (true) {
    std::string_view message;
    if (decoder_.next(message) == FrameDecoder::Status::message) return parse_json(message);
    int wait = -1;
    if (timeout.count() >= 0) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      if (left.count() < 0) return no_answer();
      wait = static_cast<int>(std::min<std::int64_t>(left.count() + 1, 1'000'000));
    }
    pollfd state{fd_, POLLIN, 0};
    const int ready = ::poll(&state, 1, wait);
    if (ready < 0 && errno != EINTR)
      return fail(ErrorKind::unavailable, "poll: " + std::system_category().message(errno));
    if (ready <= 0) continue;
    constexpr std::size_t kBytes = 64 * 1024;
    const ssize_t got = ::recv(fd_, decoder_.prepare(kBytes), kBytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(ErrorKind::unavailable, "the host has closed the connection");
    decoder_.commit(static_cast<std::size_t>(got));
  }
}

Result<json> Client::call(const std::string& method, const json& params, std::chrono::milliseconds timeout,
                          const OnNotification& on_notification) {
  return call_with_text(method, dump_json(params), timeout, on_notification);
}

Result<json> Client::call_with_text(const std::string& method, const std::string& params,
                                    std::chrono::milliseconds timeout, const OnNotification& on_notification) {
  const int id = next_id_++;
  const auto sent = send(R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":)" + dump_json(method) +
                         R"(,"params":)" + params + "}");
  // A host that takes no more clients says so before it closes, and may do both before it is asked.
  if (!sent) timeout = std::chrono::milliseconds(0);
  const auto until = std::chrono::steady_clock::now() + timeout;
  while (true) {
    auto left = timeout;
    if (timeout.count() >= 0)
      left = std::max(std::chrono::milliseconds(0),
                      std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()));
    auto message = receive(left);
    if (!message) return sent ? message : std::unexpected(sent.error());
    if (!message->is_object()) continue;
    if (message->contains("method")) {
      if (on_notification) on_notification(message->value("method", ""), message->value("params", json::object()));
      continue;
    }
    const bool ours = message->value("id", json()) == id;
    const bool nobodys = message->value("id", json()).is_null();
    if (!ours && !nobodys) continue;
    if (message->contains("result")) return message->at("result");
    const json error = message->value("error", json::object());
    return fail(static_cast<ErrorKind>(error.value("code", -32603)), error.value("message", ""),
                dump_json(error.value("data", json::object())));
  }
}

Result<void> Client::notify(const std::string& method, const json& params) {
  return send(dump_json({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}}));
}

}  // namespace gantry::host
