// SPDX-License-Identifier: Apache-2.0
//
// A client of the Unix server that controls each byte.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tests/unit/support/host.hpp"

namespace gantry::host::test {

/// A client that sends the text that it is given.
class Raw {
 public:
  explicit Raw(const std::filesystem::path& socket) : Raw(::socket(AF_UNIX, SOCK_STREAM, 0), socket) {}
  /// Uses a descriptor that exists already, and closes it.
  Raw(int fd, const std::filesystem::path& socket) : fd_(fd) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    timeval timeout{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  ~Raw() { ::close(fd_); }

  /// False: the host has closed the connection.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t wrote = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (wrote <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return true;
  }
  bool line(const json& message) { return send(message.dump() + "\n"); }
  /// Waits for the next message; null: the host has closed the connection.
  json receive() {
    while (true) {
      std::string_view message;
      if (decoder_.next(message) == FrameDecoder::Status::message) return json::parse(message);
      const ssize_t got = ::recv(fd_, decoder_.prepare(65536), 65536, 0);
      if (got < 0) FAIL("nothing came");
      if (got == 0) return nullptr;
      decoder_.commit(static_cast<std::size_t>(got));
    }
  }
  /// Waits for the next message that is no notification.
  json answer() {
    while (true) {
      auto message = receive();
      if (message.is_null() || !message.contains("method")) return message;
    }
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void use(Framing framing) { decoder_ = std::move(*std::make_unique<FrameDecoder>(1 << 28, framing)); }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  struct Decoder {
    std::unique_ptr<FrameDecoder> d = std::make_unique<FrameDecoder>(std::size_t{1} << 28, Framing::lines);
    Decoder& operator=(FrameDecoder&& other) {
      d = std::make_unique<FrameDecoder>(std::size_t{1} << 28, other.framing());
      return *this;
    }
    FrameDecoder::Status next(std::string_view& m) { return d->next(m); }
    char* prepare(std::size_t n) { return d->prepare(n); }
    void commit(std::size_t n) { d->commit(n); }
  } decoder_;
};

inline json request(const json& id, const std::string& method, const json& params = json::object()) {
  return {{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}};
}

inline std::string kind_of(const json& message) {
  return message.is_null() ? "closed" : message["error"]["data"]["kind"].get<std::string>();
}

}  // namespace gantry::host::test
