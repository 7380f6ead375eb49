// SPDX-License-Identifier: Apache-2.0
//
// What becomes of plugins' processes when their host is killed.
#include <map>

#include "integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

[[nodiscard]] char state_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto name_ends = text.rfind(") ");
  return name_ends == std::string::npos ? '-' : text[name_ends + 2];
}
template <class F>
void wait_for(const char* what, F&& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) FAIL("waited in vain for " << what);
    std::this_thread::yield();
  }
}

}  // namespace

TEST_CASE("life: the processes of plugins die with a host that is killed, also one that spins and one that is frozen") {
  Sandbox box;
  std::string config;
  for (const std::string name : {"prober", "asker", "faulty"}) {
    config += "[plugins." + name + "]\nisolation = \"child\"\npath = \"" GANTRY_BUILD_DIR "/tests/plugins/" + name +
              ".so\"\ngrants = []\n";
  }
  box.write("g.toml", config);
  const pid_t host = box.serve({"--config", (box.dir() / "g.toml").string()});
  auto client = box.connect();
  for (const char* method : {"prober.folder", "asker.folder", "faulty.attempts"})
    REQUIRE(client.call(method, json::object(), std::chrono::seconds(20)));
  std::map<std::string, pid_t> pids;
  for (const auto& plugin : *client.call("host.plugins", json::object(), std::chrono::seconds(20))) {
    if (plugin.contains("pid")) pids[plugin["name"]] = plugin["pid"];
  }
  REQUIRE(pids.size() == 3);
  REQUIRE(client.send(R"({"jsonrpc":"2.0","id":"a","method":"prober.freezes"})"));
  REQUIRE(client.send(R"({"jsonrpc":"2.0","id":"b","method":"asker.spins"})"));
  wait_for("one to freeze", [&] { return box.read("state/gantry.log").find(" prober: frozen") != std::string::npos; });
  ::kill(host, SIGKILL);
  REQUIRE(box.wait(host) == 128 + SIGKILL);
  for (const auto& [name, pid] : pids) {
    const auto gone = [&] { return state_of(pid) == '-' || state_of(pid) == 'Z'; };
    wait_for(name.c_str(), gone);
  }
}
