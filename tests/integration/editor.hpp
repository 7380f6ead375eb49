// SPDX-License-Identifier: Apache-2.0
//
// An editor in front of `gantry lsp`: LSP on the pipes of a child process.
#pragma once

#include <poll.h>

#include <gantry/framing.hpp>

#include "tests/integration/daemon.hpp"
#include "tests/process_stat.hpp"

namespace gantry::host::test {

/// The item `n` that the fake server sends in a test/flood.
[[nodiscard]] inline std::string flood_item(int n, std::size_t size) {
  return R"({"jsonrpc":"2.0","method":"test/drop","params":{"n":)" + std::to_string(n) + R"(,"fill":")" +
         std::string(size, 'x') + "\"}}";
}

class StdioEditor {
 public:
  StdioEditor(Sandbox& box, const std::vector<std::string>& words) : box_(box) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    REQUIRE(::pipe2(in.data(), O_CLOEXEC) == 0);
    REQUIRE(::pipe2(out.data(), O_CLOEXEC) == 0);
    pid_ = box.spawn(words, "", box.dir() / "lsp.err", in[0], out[1]);
    ::close(in[0]);
    ::close(out[1]);
    to_ = in[1];
    from_ = out[0];
  }
  StdioEditor(const StdioEditor&) = delete;
  StdioEditor& operator=(const StdioEditor&) = delete;
  ~StdioEditor() {
    ::close(to_);
    ::close(from_);
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  /// Waits while the child does not read. False: the child is gone. Uses nothing of Catch, so any
  /// thread may call it.
  bool send(json message) {
    message["jsonrpc"] = "2.0";
    return send_text(message.dump());
  }
  bool send_text(const std::string& message) {
    std::string frame;
    append_frame(frame, Framing::headers, message);
    for (std::size_t at = 0; at < frame.size();) {
      const ssize_t wrote = ::write(to_, frame.data() + at, frame.size() - at);
      if (wrote <= 0) return false;
      at += static_cast<std::size_t>(wrote);
    }
    return true;
  }
  bool request(int id, const std::string& method, const json& params = json::object()) {
    return send({{"id", id}, {"method", method}, {"params", params}});
  }
  bool notify(const std::string& method, const json& params = json::object()) {
    return send({{"method", method}, {"params", params}});
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// True: the child reads nothing more, because it waits for another process; its pipe is full.
  [[nodiscard]] bool is_held_up() const {
    pollfd room{to_, POLLOUT, 0};
    return ::poll(&room, 1, 0) == 0 && state_of(pid_) == 'S';
  }
  [[nodiscard]] json answer_to(const json& id) {
    while (true) {
      const auto text = receive_text();
      if (text.starts_with(R"({"jsonrpc":"2.0","method":)")) continue;  // many large ones take their time to be read
      auto message = json::parse(text);
      if (!message.contains("method") && message["id"] == id) return message;
    }
  }
  json initialize(int id) {
    // What the tests' servers ask and say is the editor's to answer and to read.
    const json workspace{{"applyEdit", true},
                         {"configuration", true},
                         {"workspaceFolders", true},
                         {"didChangeWatchedFiles", {{"dynamicRegistration", true}}},
                         {"workspaceEdit", {{"documentChanges", true}}}};
    const json text{{"publishDiagnostics", {{"versionSupport", true}}}};
    (void)request(id, "initialize",
                  {{"processId", nullptr},
                   {"rootUri", "file://" + box_.work().string()},
                   {"capabilities",
                    {{"workspace", workspace}, {"textDocument", text}, {"window", {{"workDoneProgress", true}}}}}});
    auto answer = answer_to(id);
    (void)notify("initialized");
    return answer;
  }
  /// Waits for the end of the child; returns its exit code.
  [[nodiscard]] int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  /// Waits for the next message of any kind.
  [[nodiscard]] json receive() { return json::parse(receive_text()); }
  /// As receive(), as the text that was sent.
  [[nodiscard]] std::string receive_text() {
    std::string_view message;
    while (decoder_.next(message) != FrameDecoder::Status::message) {
      const ssize_t got = ::read(from_, decoder_.prepare(65536), 65536);
      INFO(box_.read("lsp.err"));
      REQUIRE(got > 0);
      decoder_.commit(static_cast<std::size_t>(got));
    }
    return std::string(message);
  }

 private:
  Sandbox& box_;
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  FrameDecoder decoder_{1 << 24, Framing::headers};
};

}  // namespace gantry::host::test
