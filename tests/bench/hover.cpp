// SPDX-License-Identifier: Apache-2.0
//
// A hover in clangd, reached four ways: directly; through two bare relay processes; through `gantry lsp`. Each way has
// a clangd of its own on the same file; rounds are interleaved.
#include <unistd.h>

#include <fstream>
#include <memory>

#include "tests/bench/support.hpp"

namespace bench {

namespace {

/// An LSP client on two descriptors.
class Editor {
 public:
  Editor(const std::string& name, const std::vector<std::string>& words, const std::vector<std::string>& environment)
      : name_(name), server_(words, environment, true) {}

  void open(const std::string& root, const std::string& uri, const std::string& text) {
    (void)call("initialize", {{"processId", nullptr}, {"rootUri", "file://" + root}, {"capabilities", json::object()}});
    notify("initialized", json::object());
    notify("textDocument/didOpen",
           {{"textDocument", {{"uri", uri}, {"languageId", "cpp"}, {"version", 1}, {"text", text}}}});
    while (receive().value("method", "") != "textDocument/publishDiagnostics") {
    }
  }
  /// Microseconds.
  [[nodiscard]] double hover(const std::string& uri, int line, int character) {
    const auto start = Clock::now();
    const auto answer = call("textDocument/hover", {{"textDocument", {{"uri", uri}}},
                                                    {"position", {{"line", line}, {"character", character}}}});
    const double us = seconds_since(start) * 1e6;
    if (!answer.is_object() || !answer.contains("contents"))
      throw std::runtime_error(name_ + ": no hover: " + answer.dump());
    return us;
  }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] double cpu_seconds() const { return server_.cpu_seconds(); }

 private:
  [[nodiscard]] json call(const std::string& method, const json& params) {
    const int id = ++last_id_;
    send({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
    while (true) {
      auto message = receive();
      if (message.contains("id") && !message.contains("method") && message["id"] == id) {
        if (message.contains("error")) throw std::runtime_error(name_ + ": " + message["error"].dump());
        return message["result"];
      }
      if (message.contains("id") && message.contains("method"))
        send({{"jsonrpc", "2.0"}, {"id", message["id"]}, {"result", nullptr}});
    }
  }
  void notify(const std::string& method, const json& params) {
    send({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}});
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

constexpr const char* kText = R"(#include <string>
#include <vector>
/// Adds up.
int add(int a, int b) { return a + b; }
int main() { std::vector<std::string> words; return add(1, 2) + static_cast<int>(words.size()); }
)";

}  // namespace

void hover(const Options& options, std::vector<Row>& rows) {
  const std::string root = temp_dir();
  const std::string dir = temp_dir();
  std::ofstream(root + "/main.cpp") << kText;
  std::ofstream(root + "/compile_flags.txt") << "-std=c++20\n";
  // It indexes the standard library beside the first thousands of hovers otherwise.
  std::ofstream(root + "/.clangd") << "Index:\n  StandardLibrary: No\n";
  const std::string uri = "file://" + root + "/main.cpp";
  const std::string relay = options.build_dir + "/bench/relay";
  const std::string clangd = "clangd-19";
  Child host({options.build_dir + "/gantry", "serve", "--socket", dir + "/g.sock", "--ready-fd", "1"},
             {"GANTRY_STATE_DIR=" + dir + "/state"}, false);
  ::close(connect_soon(dir + "/g.sock"));
  std::vector<std::unique_ptr<Editor>> editors;
  editors.push_back(std::make_unique<Editor>(
      "gantry",
      std::vector<std::string>{options.build_dir + "/gantry", "lsp", "--socket", dir + "/g.sock", "--no-start"},
      std::vector<std::string>{"GANTRY_STATE_DIR=" + dir + "/state"}));
  editors.push_back(std::make_unique<Editor>("two relays", std::vector<std::string>{relay, relay, clangd},
                                             std::vector<std::string>{}));
  editors.push_back(std::make_unique<Editor>("direct", std::vector<std::string>{clangd}, std::vector<std::string>{}));
  std::vector<Row> found;
  for (auto& editor : editors) {
    editor->open(root, uri, kText);
    for (int i = 0; i < 50; ++i) (void)editor->hover(uri, 4, 52);
    found.push_back(
        Row{"hover", editor->name(), "p50", "us", "lower", {}, 0, "clangd-19, one small file, polling off"});
  }
  const int rounds = options.quick ? 7 : 15;
  const double host_before = host.cpu_seconds();
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t e = 0; e < editors.size(); ++e) {
      std::vector<double> times;
      for (int i = 0; i < 100; ++i) times.push_back(editors[e]->hover(uri, 4, 52));
      found[e].samples.push_back(median(times));
    }
  }
  found[0].cpu_seconds = host.cpu_seconds() - host_before + editors[0]->cpu_seconds();
  found[0].note += "; CPU: host and shim";
  found[1].cpu_seconds = editors[1]->cpu_seconds();
  found[1].note += "; CPU: the outer relay alone";
  found[2].cpu_seconds = editors[2]->cpu_seconds();
  found[2].note += "; CPU: clangd";
  std::vector<double> ratios;
  for (std::size_t i = 0; i < found[0].samples.size(); ++i) ratios.push_back(found[0].samples[i] / found[1].samples[i]);
  rows.insert(rows.end(), found.begin(), found.end());
  rows.push_back(Row{"hover", "gantry", "ratio to two relays", "x", "lower", ratios, 0, "goal: at most 1.05"});
}

}  // namespace bench
