// SPDX-License-Identifier: Apache-2.0
//
// Output that cannot be written is a failure of every command.
#include <array>
#include <utility>

#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// The exit code of `gantry WORDS...` that writes to `out`, and what it says on stderr.
[[nodiscard]] Ran run_into(Sandbox& box, const std::vector<std::string>& words, int out) {
  const pid_t pid = box.spawn(words, "", box.dir() / "err.txt", -1, out);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), "", box.read("err.txt")};
}

}  // namespace

TEST_CASE("output: what cannot be written to a full device or a closed pipe is exit code 1 in every command") {
  Sandbox box;
  box.write("g.toml", "");
  (void)box.serve({"--workspace", box.work().string()});
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(full >= 0);
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  ::close(ends[0]);  // nobody reads
  const auto config = (box.dir() / "g.toml").string();
  auto client = box.connect();
  const auto published =
      client.call("events.publish", {{"topic", "mine.a"}, {"payload", {{"n", 1}}}}, std::chrono::seconds(20));
  REQUIRE(published);
  const std::string epoch = (*published)["epoch"];
  const std::vector<std::vector<std::string>> commands{
      {"--version"},
      {"--help"},
      {"call", "--help"},
      {"status"},
      {"status", "--json"},
      {"logs"},
      {"logs", "--follow"},
      {"call", "host.status"},
      {"call", "host.status", "--json"},
      {"call", "host.status", "--help"},
      {"call", "--stream", "ai.complete", "prefix=x"},
      {"events", "--since", epoch + ":0"},
      {"plugin", "list"},
      {"plugin", "list", "--json"},
      {"plugin", "restart", "ai"},
      {"plugin", "check", "--list"},
      {"plugin", "new", "fresh", "--dir", (box.dir() / "fresh").string()},
      {"config", "check", config},
      {"config", "show"},
      {"doctor"},
      {"trust", box.work().string()}};
  for (const auto& words : commands) {
    fs::remove_all(box.dir() / "fresh");
    const auto device = run_into(box, words, full);
    INFO(words[0] << (words.size() > 1 ? " " + words[1] : "") << ": " << device.err);
    REQUIRE(device.code == 1);
    REQUIRE(device.err.find("the output cannot be written") != std::string::npos);
    fs::remove_all(box.dir() / "fresh");
    REQUIRE(run_into(box, words, ends[1]).code == 1);
  }
  ::close(full);
  ::close(ends[1]);
}
