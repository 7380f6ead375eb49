// SPDX-License-Identifier: Apache-2.0
//
// What becomes of plugins' processes when their host is killed.
#include <map>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("life: the processes of plugins die with a host that is killed, also one that spins and one that is frozen") {
  Sandbox box;
  std::string config;
  for (const std::string name : {"prober", "asker", "faulty"}) {
    config += "[plugins." + name + "]\nisolation = \"child\"\npath = \"" + gantry::folders::build() +
              "/tests/plugins/" + name + ".so\"\ngrants = []\n";
  }
  box.write("g.toml", config);
  const pid_t host = box.serve({"--config", (box.dir() / "g.toml").string()});
  auto client = box.connect();
  for (const char* method : {"prober.folder", "asker.folder", "faulty.attempts"}) {
    CAPTURE(method);
    REQUIRE(client.call(method, json::object(), kTimeout));
  }
  std::map<std::string, pid_t> pids;
  for (const auto& plugin : *client.call("host.plugins", json::object(), kTimeout)) {
    if (plugin.contains("pid")) pids[plugin["name"]] = plugin["pid"];
  }
  REQUIRE(pids.size() == 3);
  REQUIRE(client.send(R"({"jsonrpc":"2.0","id":"a","method":"prober.freezes"})"));
  REQUIRE(client.send(R"({"jsonrpc":"2.0","id":"b","method":"asker.spins"})"));
  wait_for("one to freeze", [&] { return box.read("state/gantry.log").find(" prober: frozen") != std::string::npos; });
  ::kill(host, SIGKILL);
  REQUIRE(box.wait(host) == 128 + SIGKILL);
  for (const auto& [name, process] : pids) {
    wait_for(name, [pid = process] { return !lives(pid); });
  }
}
