// SPDX-License-Identifier: Apache-2.0
//
// A host with language servers: the fake server, and the real clangd.
#pragma once

#include "tests/folders.hpp"
#include "tests/integration/editor.hpp"

namespace gantry::host::test {

/// `more`: further tables of the configuration.
inline void serve(Sandbox& box, const std::vector<std::string>& options, const std::string& isolation,
                  const std::string& more = {}) {
  // The log is in the workspace, where the server may write, and in a folder whose changes do not
  // count as changes of the project.
  fs::create_directories(box.work() / ".cache");
  json command{gantry::folders::build() + "/tests/lsp_fake_server", "--log", (box.work() / ".cache" / "said").string()};
  for (const auto& option : options) command.push_back(option);
  box.write("g.toml", "[log]\nstderr = false\n[supervisor]\nintensity = 100\n[plugins.lsp]\nisolation = \"" +
                          isolation + "\"\n[async]\nlsp_request_timeout_seconds = 60\n[lsp.servers.fake]\ncommand = " +
                          command.dump() + "\nlanguages = [\"fake\"]\nextensions = [\".fake\"]\n" + more);
  (void)box.serve({"--config", (box.dir() / "g.toml").string(), "--workspace", box.work().string()});
}

inline void reload(Client& client) {
  const auto done = client.call("plugin.reload", {{"name", "lsp"}}, kTimeout);
  if (!done) FAIL(done.error().message);
}
[[nodiscard]] inline json server(Client& client, const std::string& kind) {
  for (const auto& entry : client.call("lsp.servers", json::object(), kTimeout)->at("servers")) {
    if (entry.value("kind", "") == kind) return entry;
  }
  return json::object();
}
[[nodiscard]] inline std::vector<json> said(const Sandbox& box, const std::string& method) {
  std::vector<json> out;
  std::istringstream lines(box.read("work/.cache/said"));
  for (std::string line; std::getline(lines, line) && !lines.eof();) {
    if (auto message = json::parse(line); message.value("method", "") == method) out.push_back(std::move(message));
  }
  return out;
}
[[nodiscard]] inline json lsp_plugin(Client& client) {
  for (const auto& entry : *client.call("host.plugins", json::object(), kTimeout)) {
    if (entry["name"] == "lsp") return entry;
  }
  return json::object();
}
/// Kills the plugin's process, and waits until the host has noticed its end.
inline void kill_plugin(Client& client) {
  const auto before = lsp_plugin(client);
  ::kill(before.at("pid").get<pid_t>(), SIGKILL);
  wait_for("the plugin's end", [&] {
    const auto now = lsp_plugin(client);
    return now["state"] != "ready" || now["pid"] != before["pid"];
  });
}

struct Clangd {
  Sandbox box;
  Client client;

  explicit Clangd(const std::string& isolation) : client(begin(box, isolation)) {}
  static Client begin(Sandbox& box, const std::string& isolation) {
    box.write("g.toml", "[log]\nstderr = false\n[plugins.lsp]\nisolation = \"" + isolation +
                            "\"\n[async]\nlsp_request_timeout_seconds = 60\n");
    box.write("work/compile_flags.txt", "-std=c++20\n");
    box.write("work/a.cpp", "/// Adds two numbers.\nint add(int a, int b) { return a + b; }\nint x = add(1, 2);\n");
    (void)box.serve({"--config", (box.dir() / "g.toml").string(), "--workspace", box.work().string()});
    return box.connect();
  }
  /// Makes a hover succeed; returns the pid of the server's process.
  pid_t hovers() {
    const auto result = client.call("lsp.request",
                                    {{"uri", (box.work() / "a.cpp").string()},
                                     {"method", "textDocument/hover"},
                                     {"params", {{"position", {{"line", 2}, {"character", 9}}}}}},
                                    std::chrono::seconds(90));
    if (!result) FAIL(result.error().message);
    REQUIRE(result->at("contents")["value"].get<std::string>().find("Adds two numbers") != std::string::npos);
    return server(client, "shared")["pid"].get<pid_t>();
  }
};

}  // namespace gantry::host::test
