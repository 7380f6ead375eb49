// SPDX-License-Identifier: Apache-2.0
//
// An agent in front of `gantry mcp`: MCP on the pipes of a child process, one message a line.
#pragma once

#include "tests/integration/daemon.hpp"

namespace gantry::host::test {

class StdioAgent {
 public:
  explicit StdioAgent(Sandbox& box, const std::vector<std::string>& words = {"mcp"}) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    REQUIRE(::pipe2(in.data(), O_CLOEXEC) == 0);
    REQUIRE(::pipe2(out.data(), O_CLOEXEC) == 0);
    pid_ = box.spawn(words, "", box.dir() / "mcp.err", in[0], out[1]);
    ::close(in[0]);
    ::close(out[1]);
    to_ = in[1];
    from_ = out[0];
  }
  StdioAgent(const StdioAgent&) = delete;
  StdioAgent& operator=(const StdioAgent&) = delete;
  ~StdioAgent() {
    hang_up();
    ::close(from_);
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  void send_text(const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t wrote = ::write(to_, text.data() + at, text.size() - at);
      REQUIRE(wrote > 0);
      at += static_cast<std::size_t>(wrote);
    }
  }
  void send(json message) {
    message["jsonrpc"] = "2.0";
    send_text(message.dump() + "\n");
  }
  void request(const json& id, const std::string& method, const json& params = json::object()) {
    send({{"id", id}, {"method", method}, {"params", params}});
  }
  void notify(const std::string& method, const json& params = json::object()) {
    send({{"method", method}, {"params", params}});
  }
  /// The next message; null: the output has ended.
  [[nodiscard]] json receive() {
    while (true) {
      const auto end = buffer_.find('\n');
      if (end != std::string::npos) {
        const json message = json::parse(buffer_.substr(0, end));
        buffer_.erase(0, end + 1);
        return message;
      }
      std::array<char, 65536> bytes{};
      const ssize_t got = ::read(from_, bytes.data(), bytes.size());
      if (got <= 0) return {};
      buffer_.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }
  /// The next message with this id, or of this method; others before it are dropped.
  [[nodiscard]] json response(const json& id) {
    while (true) {
      json message = receive();
      if (message.is_null() || (!message.contains("method") && message.value("id", json()) == id)) return message;
    }
  }
  [[nodiscard]] json message_of(const std::string& method) {
    while (true) {
      json message = receive();
      if (message.is_null() || message.value("method", "") == method) return message;
    }
  }
  json ask(const std::string& method, const json& params = json::object()) {
    const int id = ++last_;
    request(id, method, params);
    return response(id);
  }
  json initialize(const json& capabilities = json::object(), const std::string& version = "2025-11-25") {
    json opened = ask("initialize", {{"protocolVersion", version},
                                     {"capabilities", capabilities},
                                     {"clientInfo", {{"name", "test"}, {"version", "1"}}}});
    notify("notifications/initialized");
    return opened;
  }
  /// Ends the input.
  void hang_up() {
    if (to_ >= 0) ::close(std::exchange(to_, -1));
  }
  [[nodiscard]] int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  int last_ = 0;
  std::string buffer_;
};

/// The params of a request of 2026-07-28.
[[nodiscard]] inline json modern(json params = json::object(), const json& capabilities = json::object()) {
  params["_meta"] = {{"io.modelcontextprotocol/protocolVersion", "2026-07-28"},
                     {"io.modelcontextprotocol/clientCapabilities", capabilities}};
  return params;
}

}  // namespace gantry::host::test
