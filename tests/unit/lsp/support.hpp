// SPDX-License-Identifier: Apache-2.0
//
// tests/unit/lsp/support.hpp: helpers for the tests of the lsp plugin.
#pragma once

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <gantry/detail/known_servers.hpp>
#include <gantry/testing.hpp>
#include <string>
#include <vector>

#include "plugins/lsp/capabilities/superset.hpp"
#include "tests/folders.hpp"
#include "tests/process_stat.hpp"
#include "tests/unit/support/process.hpp"

namespace lsp_test {

using gantry::ErrorKind;
using gantry::json;
using gantry::testing::TestStream;
using gantry::testing::Time;

/// A test host with the real launcher of the host.
struct TestHost : gantry::testing::TestHost {
  using Prepare = std::function<void(gantry::testing::TestHost&)>;
  explicit TestHost(const std::string& file, const json& config = json::object(), Time time = Time::manual)
      : TestHost(file, config, time, std::nullopt) {}
  /// `prepare`: as below.
  explicit TestHost(const std::string& file, const json& config, const std::string& handed_over,
                    const Prepare& prepare = {})
      : TestHost(file, config, Time::manual, handed_over, prepare) {}
  /// `prepare` may replace methods of the launcher.
  explicit TestHost(const std::string& file, const json& config, const Prepare& prepare)
      : TestHost(file, config, Time::manual, std::nullopt, prepare) {}
  /// Stops the plugin without a next instance.
  void stop() { gantry::testing::TestHost::stop(std::chrono::seconds(5), false); }

 private:
  TestHost(const std::string& file, const json& config, Time time, std::optional<std::string> handed_over,
           const Prepare& prepare = {})
      : gantry::testing::TestHost(file, config, time, std::move(handed_over),
                                  [&prepare](gantry::testing::TestHost& host) {
                                    gantry::host::test::serve_processes(host, "lsp");
                                    if (prepare) prepare(host);
                                  }) {}
};

inline const std::string kPlugin = gantry::folders::build() + "/plugins/lsp.so";
inline const std::string kFakeServer = gantry::folders::build() + "/tests/lsp_fake_server";

/// A temporary folder.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "gantry-lsp-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = std::filesystem::canonical(name);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    std::filesystem::remove(log(), ignored);
  }
  /// The log of the fake server, beside the folder, so that nothing changes in the folder.
  [[nodiscard]] std::string log() const { return path_.string() + ".log"; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  [[nodiscard]] std::string path() const { return path_.string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::trunc) << text;
    return *this / name;
  }

 private:
  std::filesystem::path path_;
};

[[nodiscard]] inline json fake_server(const TempDir& dir, std::vector<std::string> options = {}) {
  std::vector<std::string> command{kFakeServer, "--log", dir.log()};
  command.insert(command.end(), options.begin(), options.end());
  return {{"command", command}, {"languages", {"fake"}}, {"extensions", {".fake"}}, {"root_markers", {"fake.root"}}};
}

/// One that callers do not share with editors.
[[nodiscard]] inline json unshared(json server) {
  server["share"] = "none";
  return server;
}

/// `lsp`: further keys of the [lsp] table, besides the servers. A server that is idle stays unless they say otherwise,
/// for tests count the timers that there are. With `servers`, no other that this machine may have is
/// used.
[[nodiscard]] inline json config_of(const json& servers, const TempDir& dir, json async = json::object(),
                                    json lsp = json::object()) {
  lsp.emplace("idle_stop_seconds", 0);
  if (!servers.empty()) {
    lsp["servers"] = servers;
    for (const auto name : gantry::detail::kKnownServers)
      lsp["servers"].emplace(std::string(name), json{{"enabled", false}});
  }
  return {{"name", "lsp"}, {"workspaces", {dir.path()}}, {"settings", std::move(lsp)}, {"async", std::move(async)}};
}

/// What the fake server was sent, in order. `method`: of this one alone.
[[nodiscard]] inline std::vector<json> sent_to(const TempDir& dir, const std::string& method = {}) {
  std::vector<json> out;
  std::ifstream in(dir.log());
  for (std::string line; std::getline(in, line);) {
    if (in.eof()) break;  // a line that is still being written
    if (line.find(method) == std::string::npos) continue;
    auto message = json::parse(line);
    if (method.empty() || message.value("method", "") == method) out.push_back(std::move(message));
  }
  return out;
}

/// The result of a call, which must succeed.
[[nodiscard]] inline json value_of(const gantry::Result<json>& result) {
  if (!result) FAIL("the call failed: " << result.error().message);
  return *result;
}

[[nodiscard]] inline std::string kind_of(const json& response) { return response.at("error").at("data").at("kind"); }

[[nodiscard]] inline bool alive(int pid) { return gantry::host::test::lives(pid); }

/// The capabilities of a client that understands all that a server may be offered.
[[nodiscard]] inline json all_capabilities() {
  json all = gantry::lsp::superset_params(json::object(), {{"capabilities", json::object()}}, {}, 0)["capabilities"];
  const auto registers = [](json& in, const auto& self) -> void {
    for (auto& [name, value] : in.items()) {
      if (name == "dynamicRegistration") value = true;
      if (value.is_object()) self(value, self);
    }
  };
  registers(all, registers);
  return all;
}

/// An editor at the other end of lsp.attach.
class EditorClient {
 public:
  EditorClient(TestHost& host, const json& params, std::uint32_t credit = 100'000, std::uint64_t origin = 1)
      : stream_(host.open("lsp.attach", params, credit, gantry::Duration(-1), origin)) {}
  /// One whose stream goes on at the next instance of the plugin. `call`: of TestHost::given_streams().
  static EditorClient resumed(TestHost& host, const json& params, std::uint64_t call) {
    gantry::testing::CallWith with{.credit = 100'000};
    with.resumes = call;
    with.granted = 100;
    return EditorClient(host.begin("lsp.attach", params, std::move(with)));
  }

  int send(const std::string& method, const json& params = json::object()) {
    stream_.send({{"jsonrpc", "2.0"}, {"id", ++last_}, {"method", method}, {"params", params}});
    return last_;
  }
  void notify(const std::string& method, const json& params = json::object()) {
    stream_.send({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}});
  }
  void raw(const json& message) { stream_.send(message); }
  /// Sends a meaningless notification of `bytes` bytes. It is not built as a JSON document, which
  /// would be slow.
  void filler(std::size_t bytes) {
    stream_.send_text(R"({"jsonrpc":"2.0","method":"test/nothing","params":{"filler":")" + std::string(bytes, 'x') +
                      "\"}}");
  }

  /// Waits for the answer to a request; other messages in between are kept.
  json answer(const json& id) {
    return take([&](const json& m) { return !m.contains("method") && m.value("id", json()) == id; });
  }
  json ask(const std::string& method, const json& params = json::object()) { return answer(send(method, params)); }
  /// Waits for the next request or notification of this method.
  json said(const std::string& method) {
    return take([&](const json& m) { return m.value("method", "") == method; });
  }
  template <class F>
  json take(F wanted) {
    for (auto it = kept_.begin(); it != kept_.end(); ++it) {
      if (!wanted(*it)) continue;
      auto found = *it;
      kept_.erase(it);
      return found;
    }
    while (auto item = stream_.next()) {
      if (wanted(*item)) return *item;
      kept_.push_back(*item);
    }
    throw std::runtime_error("the stream ended; result: " +
                             (stream_.result() ? stream_.result()->dump() : stream_.result().error().message));
  }

  /// `capabilities`: of an editor that understands everything unless others are given.
  json initialize(const std::string& root, const json& capabilities = all_capabilities()) {
    auto answer =
        ask("initialize", {{"processId", nullptr}, {"rootUri", "file://" + root}, {"capabilities", capabilities}});
    notify("initialized");
    return answer;
  }
  void open(const std::string& uri, const std::string& text, const std::string& language = "fake", int version = 1) {
    notify("textDocument/didOpen",
           {{"textDocument", {{"uri", uri}, {"languageId", language}, {"version", version}, {"text", text}}}});
  }
  void cancel(const json& id) { notify("$/cancelRequest", {{"id", id}}); }

  TestStream& stream() { return stream_; }
  [[nodiscard]] const std::vector<json>& kept() const { return kept_; }

 private:
  explicit EditorClient(TestStream stream) : stream_(std::move(stream)), last_(1'000) {}

  TestStream stream_;
  int last_ = 0;
  std::vector<json> kept_;
};

[[nodiscard]] inline json server_entry(TestHost& host, const std::string& kind) {
  const auto servers = host.call("lsp.servers");
  for (const auto& server : servers->at("servers")) {
    if (server.value("kind", "") == kind) return server;
  }
  return json();
}

}  // namespace lsp_test
