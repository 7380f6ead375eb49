// SPDX-License-Identifier: Apache-2.0
//
// Helper processes of plugins in the real host: what becomes of them when it is killed.
#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("helpers: those of a host that is killed die with it, also what has left its group, session and parent") {
  Sandbox box;
  box.write("g.toml", "[plugins.keeper]\nisolation = \"child\"\ngrants = [\"processes\"]\npath = \"" +
                          gantry::folders::build() + "/tests/plugins/keeper.so\"\n");
  const pid_t host = box.serve({"--config", (box.dir() / "g.toml").string()});
  auto client = box.connect();
  const auto line = [&] {
    const auto read = client.call("keeper.reads", {{"name", "a"}}, kTimeout);
    REQUIRE(read);
    return std::stoi(read->at("line").get<std::string>());
  };
  REQUIRE(client.call("keeper.spawn",
                      {{"name", "a"},
                       {"argv",
                        {"sh", "-c",
                         "(setsid sleep 1000 >/dev/null 2>&1 & echo $!); (sleep 1000 & echo $!); echo $$; exec sleep "
                         "1000"}}},
                      kTimeout));
  std::vector<pid_t> all{line(), line(), line()};
  const pid_t guard = parent_of(all.back());
  REQUIRE(parent_of(all.front()) == guard);
  all.push_back(guard);
  ::kill(host, SIGKILL);
  REQUIRE(box.wait(host) == 128 + SIGKILL);
  for (const pid_t pid : all) wait_for("the end of a process", [pid] { return !lives(pid); });
}
