// SPDX-License-Identifier: Apache-2.0
//
// Helper processes of plugins in the real host: what becomes of them when it is killed, and of the language servers.
#include "integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

constexpr auto kPatience = std::chrono::seconds(20);

[[nodiscard]] bool lives(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto name_ends = text.rfind(") ");
  return name_ends != std::string::npos && text[name_ends + 2] != 'Z';
}
[[nodiscard]] pid_t parent_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  return std::stoi(text.substr(text.rfind(") ") + 4));
}
template <class F>
void wait_for(const char* what, F&& condition) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) FAIL("waited in vain for " << what);
    std::this_thread::yield();
  }
}

}  // namespace

TEST_CASE("helpers: those of a host that is killed die with it, also what has left its group, session and parent") {
  Sandbox box;
  box.write("g.toml", "[plugins.keeper]\nisolation = \"child\"\ngrants = [\"processes\"]\npath = \"" GANTRY_BUILD_DIR
                      "/tests/plugins/keeper.so\"\n");
  const pid_t host = box.serve({"--config", (box.dir() / "g.toml").string()});
  auto client = box.connect();
  const auto line = [&] {
    const auto read = client.call("keeper.reads", {{"name", "a"}}, kPatience);
    REQUIRE(read);
    return std::stoi(read->at("line").get<std::string>());
  };
  REQUIRE(client.call("keeper.spawn",
                      {{"name", "a"},
                       {"argv",
                        {"sh", "-c",
                         "(setsid sleep 1000 >/dev/null 2>&1 & echo $!); (sleep 1000 & echo $!); echo $$; exec sleep "
                         "1000"}}},
                      kPatience));
  std::vector<pid_t> all{line(), line(), line()};
  const pid_t guard = parent_of(all.back());
  REQUIRE(parent_of(all.front()) == guard);
  all.push_back(guard);
  ::kill(host, SIGKILL);
  REQUIRE(box.wait(host) == 128 + SIGKILL);
  for (const pid_t pid : all) wait_for("the end of a process", [pid] { return !lives(pid); });
}

TEST_CASE(
    "helpers: in a process that may start none the lsp plugin has a real clangd answer, and is warm after it was "
    "killed") {
  Sandbox box;
  box.write("g.toml", "[plugins.lsp]\nisolation = \"child\"\n[async]\nlsp_request_timeout_seconds = 60\n");
  box.write("work/compile_flags.txt", "-std=c++20\n");
  box.write("work/a.cpp", "/// Adds two numbers.\nint add(int a, int b) { return a + b; }\nint x = add(1, 2);\n");
  (void)box.serve({"--config", (box.dir() / "g.toml").string(), "--workspace", box.work().string()});
  auto client = box.connect();
  const auto hovers = [&] {
    const auto hover = client.call("lsp.request",
                                   {{"uri", (box.work() / "a.cpp").string()},
                                    {"method", "textDocument/hover"},
                                    {"params", {{"position", {{"line", 2}, {"character", 9}}}}}},
                                   std::chrono::seconds(90));
    if (!hover) FAIL(hover.error().message);
    REQUIRE(hover->at("contents")["value"].get<std::string>().find("Adds two numbers") != std::string::npos);
    return client.call("lsp.servers", json::object(), kPatience)->at("servers")[0]["pid"].get<pid_t>();
  };
  const auto plugin = [&] {
    for (const auto& entry : *client.call("host.plugins", json::object(), kPatience)) {
      if (entry["name"] == "lsp") return entry;
    }
    return json();
  };
  const pid_t first = hovers();
  const auto before = plugin();
  REQUIRE(before["enforced"].dump().find("seccomp") != std::string::npos);
  REQUIRE(parent_of(first) != before["pid"].get<pid_t>());
  ::kill(before["pid"].get<pid_t>(), SIGKILL);
  wait_for("the plugin's end", [&] { return plugin()["state"] != "ready"; });
  REQUIRE(lives(first));
  REQUIRE(hovers() == first);  // it is warm still
  REQUIRE(plugin()["pid"] != before["pid"]);
  REQUIRE(box.run({"stop"}).code == 0);
  wait_for("the end of the server", [&] { return !lives(first); });
}
