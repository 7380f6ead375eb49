// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/lsp_editor.hpp: an LSP client on the pipes of a process.
#pragma once

#include <unistd.h>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/support.hpp"

namespace bench {

/// Any failure throws std::runtime_error with the name.
class Editor {
 public:
  Editor(const std::string& name, const std::vector<std::string>& words, const std::vector<std::string>& environment)
      : name_(name), server_(words, environment, true) {}

  /// Returns with the first diagnostics of this document.
  void open(const std::string& root, const std::string& uri, const std::string& text) {
    (void)call("initialize", {{"processId", nullptr}, {"rootUri", "file://" + root}, {"capabilities", json::object()}});
    notify("initialized", json::object());
    notify("textDocument/didOpen",
           {{"textDocument", {{"uri", uri}, {"languageId", "cpp"}, {"version", 1}, {"text", text}}}});
    // Those of .clangd come before them.
    while (true) {
      const auto message = receive();
      if (message.value("method", "") == "textDocument/publishDiagnostics" && message["params"]["uri"] == uri) return;
    }
  }
  /// Returns when the other side has ended.
  void close() {
    (void)call("shutdown", nullptr);
    notify("exit", nullptr);
    try {
      while (true) (void)receive();
    } catch (const std::runtime_error&) {
    }
  }
  /// A request at a position: its time in microseconds. An empty result is a failure.
  [[nodiscard]] double timed(const std::string& method, const std::string& uri, int line, int character,
                             json more = json::object()) {
    more["textDocument"] = {{"uri", uri}};
    more["position"] = {{"line", line}, {"character", character}};
    const auto start = Clock::now();
    const auto answer = call(method, more);
    const double us = seconds_since(start) * 1e6;
    if (answer.empty()) throw std::runtime_error(name_ + ": " + method + " found nothing");
    return us;
  }
  [[nodiscard]] double hover(const std::string& uri, int line, int character) {
    return timed("textDocument/hover", uri, line, character);
  }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] double cpu_seconds() const { return server_.cpu_seconds(); }
  [[nodiscard]] double pss_mib() const { return server_.pss_mib(); }

 private:
  [[nodiscard]] json call(const std::string& method, const json& params) {
    const int id = ++last_id_;
    json message{{"jsonrpc", "2.0"}, {"id", id}, {"method", method}};
    if (!params.is_null()) message["params"] = params;
    send(message);
    while (true) {
      message = receive();
      if (message.contains("id") && !message.contains("method") && message["id"] == id) {
        if (message.contains("error")) throw std::runtime_error(name_ + ": " + message["error"].dump());
        return message["result"];
      }
      if (message.contains("id") && message.contains("method"))
        send({{"jsonrpc", "2.0"}, {"id", message["id"]}, {"result", nullptr}});
    }
  }
  void notify(const std::string& method, const json& params) {
    json message{{"jsonrpc", "2.0"}, {"method", method}};
    if (!params.is_null()) message["params"] = params;
    send(message);
  }
  void send(const json& message) {
    const std::string text = message.dump();
    write_all(server_.in(), "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text);
  }
  [[nodiscard]] json receive() {
    while (true) {
      const auto blank = buffer_.find("\r\n\r\n");
      if (blank != std::string::npos) {
        const std::size_t length = std::stoul(buffer_.substr(buffer_.find(':') + 1));
        if (buffer_.size() >= blank + 4 + length) {
          auto message = json::parse(buffer_.substr(blank + 4, length));
          buffer_.erase(0, blank + 4 + length);
          return message;
        }
      }
      std::array<char, 65536> bytes{};
      const ssize_t got = ::read(server_.out(), bytes.data(), bytes.size());
      if (got <= 0) throw std::runtime_error(name_ + " has ended");
      buffer_.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }

  std::string name_;
  Child server_;
  std::string buffer_;
  int last_id_ = 0;
};

}  // namespace bench
