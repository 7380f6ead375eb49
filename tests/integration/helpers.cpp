// SPDX-License-Identifier: Apache-2.0
//
// Helper processes of plugins in the real host: what becomes of them when it is killed.
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
