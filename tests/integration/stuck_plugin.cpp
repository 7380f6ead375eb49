// SPDX-License-Identifier: Apache-2.0
#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// A host with a plugin that hangs where it is told to, and a stop budget of a second.
class StuckHost {
 public:
  explicit StuckHost(const std::string& where) {
    box.write("g.toml", "[host]\nstop_budget_seconds = 1\n[plugins.faulty]\npath = \"" + gantry::folders::build() +
                            "/tests/plugins/faulty.so\"\ngrants = []\n[plugins.faulty.settings]\nhang = \"" + where +
                            "\"\n");
    pid_ = box.serve({"--config", (box.dir() / "g.toml").string()});
  }
  void wait_for(const std::string& line) const { box.wait_for_text("state/gantry.log", line); }
  void require_a_graceful_end() {
    ::kill(pid_, SIGTERM);
    REQUIRE(box.wait(pid_) == 0);
    REQUIRE(box.read("serve.err").find("Sanitizer") == std::string::npos);
    (void)box.serve();  // and nothing of it is in the way of the next one
    REQUIRE(box.run({"call", "host.status", "--no-start"}).code == 0);
  }
  void stop() const { ::kill(pid_, SIGTERM); }
  Sandbox box;

 private:
  pid_t pid_ = 0;
};

}  // namespace

TEST_CASE("life: a plugin that hangs in a call times out its caller, and the host serves others and ends in time") {
  StuckHost host("");
  const auto ran = host.box.run({"call", "faulty.hangs", "--timeout", "5"});  // time enough to be loaded
  REQUIRE(ran.code == 1);
  REQUIRE(json::parse(ran.err)["data"]["kind"] == "timeout");
  host.wait_for("hangs in a call");
  REQUIRE(host.box.run({"call", "state.session.list"}).code == 0);
  host.require_a_graceful_end();
  host.wait_for("does not return from a delivery; it is abandoned");
}

TEST_CASE("life: a plugin that hangs in its start keeps nobody from the others, and the host ends in time") {
  StuckHost host("start");
  auto client = host.box.connect();
  REQUIRE(client.send(R"({"jsonrpc":"2.0","id":1,"method":"faulty.attempts","params":{"key":"a"}})"));
  host.wait_for("hangs in start");
  const auto status = json::parse(host.box.run({"status", "--json"}).out);
  for (const auto& plugin : status["plugins"]) {
    CAPTURE(plugin);
    if (plugin["name"] == "faulty") REQUIRE(plugin["state"] == "starting");
  }
  REQUIRE(host.box.run({"call", "state.session.list"}).code == 0);
  host.require_a_graceful_end();
}

TEST_CASE("life: a plugin that hangs in its destroy does not keep the host from its end") {
  StuckHost host("destroy");
  REQUIRE(host.box.run({"call", "faulty.attempts", "key=a"}).code == 0);
  host.require_a_graceful_end();
  host.wait_for("hangs in destroy");
  host.wait_for("something does not end; the process ends without it");
}

TEST_CASE("life: a client that finds the old host stopping gets a new one") {
  StuckHost host("");  // it takes its whole budget to stop
  auto client = host.box.connect();
  REQUIRE(client.send(R"({"jsonrpc":"2.0","id":1,"method":"faulty.hangs"})"));
  host.wait_for("hangs in a call");
  const auto old = host.box.host_pid();
  host.stop();
  host.wait_for("stopping: signal SIGTERM");
  const auto ran = host.box.run({"call", "host.status"});
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  REQUIRE(json::parse(ran.out)["pid"] != *old);
}
