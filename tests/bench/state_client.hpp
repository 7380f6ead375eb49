// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/state_client.hpp: a JSON-RPC client for the rows of the project state: lines on a Unix
// socket, waits that give up after 60 s.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/bench/support.hpp"

namespace bench {

class StateClient {
 public:
  explicit StateClient(const std::string& socket) : StateClient(connect_soon(socket)) {}
  explicit StateClient(int fd) : fd_(fd) {
    if (fd_ < 0) throw std::runtime_error("nobody listens");
  }
  StateClient(StateClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), in_(std::move(other.in_)), begin_(other.begin_), next_(other.next_) {}
  StateClient& operator=(StateClient&&) = delete;
  ~StateClient() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] static std::string request(std::uint64_t id, const std::string& method, const std::string& params) {
    return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":")" + method + R"(","params":)" + params +
           "}\n";
  }
  void send(const std::string& text) { write_all(fd_, text); }
  /// The next line, without its end; empty: none is there yet.
  [[nodiscard]] std::string_view take() {
    const auto end = in_.find('\n', begin_);
    if (end == std::string::npos) return {};
    const std::string_view line(in_.data() + begin_, end - begin_);
    begin_ = end + 1;
    return line;
  }
  /// Reads what is there, and waits for it. The lines that were taken are gone.
  void fill() {
    in_.erase(0, begin_);
    begin_ = 0;
    pollfd wanted{fd_, POLLIN, 0};
    if (::poll(&wanted, 1, 60'000) <= 0) throw std::runtime_error("waited in vain");
    std::array<char, 262'144> buffer{};
    const auto got = ::read(fd_, buffer.data(), buffer.size());
    if (got <= 0) throw std::runtime_error("the host has closed the connection");
    in_.append(buffer.data(), static_cast<std::size_t>(got));
  }
  /// Waits for the next line.
  [[nodiscard]] std::string_view line() {
    while (true) {
      if (const auto found = take(); !found.empty()) return found;
      fill();
    }
  }
  /// Calls, and waits for the answer; events that come before are left out.
  json call(const std::string& method, const json& params = json::object()) {
    send(request(next_, method, params.dump()));
    const std::string id = R"("id":)" + std::to_string(next_++) + ",";
    while (true) {
      const auto text = line();
      if (text.find(id) == std::string_view::npos) continue;
      auto answer = json::parse(text);
      if (!answer.contains("result")) throw std::runtime_error(method + ": " + std::string(text));
      return answer["result"];
    }
  }

 private:
  int fd_;
  std::string in_;
  std::size_t begin_ = 0;
  std::uint64_t next_ = 1;
};

}  // namespace bench
