// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("life: SIGTERM ends the host with exit 0, its socket gone, its log complete") {
  Sandbox box;
  const pid_t pid = box.serve();
  REQUIRE(box.run({"status"}).code == 0);
  ::kill(pid, SIGTERM);
  REQUIRE(box.wait(pid) == 0);
  REQUIRE(!fs::exists(box.socket()));
  const auto log = box.read("state/gantry.log");
  REQUIRE(log.find("stopping: signal SIGTERM") != std::string::npos);
  REQUIRE(log.find("host: stopped") != std::string::npos);
}

TEST_CASE("life: gantry stop waits until the host is gone") {
  Sandbox box;
  const pid_t pid = box.serve();
  const auto stopped = box.run({"stop"});
  REQUIRE(stopped.code == 0);
  REQUIRE(box.wait(pid) == 0);
  const auto again = box.run({"stop"});
  REQUIRE(again.code == 1);
  REQUIRE(again.err.find("no host answers on") != std::string::npos);
  require_civil(again);
}

TEST_CASE("life: a host that was killed leaves nothing that stops the next one") {
  Sandbox box;
  const pid_t first = box.serve();
  ::kill(first, SIGKILL);
  REQUIRE(box.wait(first) == 128 + SIGKILL);
  REQUIRE(fs::exists(box.socket()));
  const pid_t second = box.serve();
  REQUIRE(box.run({"call", "host.status", "--no-start"}).code == 0);
  ::kill(second, SIGTERM);
  REQUIRE(box.wait(second) == 0);
}

TEST_CASE("life: of many clients that start a host at once exactly one host comes to be, and all are served") {
  Sandbox box;
  std::vector<pid_t> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(box.spawn({"call", "host.status"}, box.dir() / ("out" + std::to_string(i)),
                                box.dir() / ("err" + std::to_string(i))));
  }
  std::set<int> pids;
  for (int i = 0; i < 8; ++i) {
    int status = 0;
    ::waitpid(clients[static_cast<std::size_t>(i)], &status, 0);
    INFO(box.read("err" + std::to_string(i)));
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    pids.insert(json::parse(box.read("out" + std::to_string(i)))["pid"].get<int>());
  }
  REQUIRE(pids.size() == 1);
  REQUIRE(box.run({"stop"}).code == 0);
}

TEST_CASE("life: --no-start starts nothing and says how to") {
  Sandbox box;
  const auto ran = box.run({"call", "host.status", "--no-start"});
  REQUIRE(ran.code == 1);
  const auto error = json::parse(ran.err);
  REQUIRE(error["data"]["kind"] == "unavailable");
  REQUIRE(error["message"].get<std::string>().find("gantry serve") != std::string::npos);
  REQUIRE(!box.host_pid());
}

TEST_CASE("life: a second host on the same socket is refused and the first serves on") {
  Sandbox box;
  const pid_t pid = box.serve();
  const auto second = box.run({"serve"});
  REQUIRE(second.code == 1);
  REQUIRE(second.err.find("another gantry serves") != std::string::npos);
  require_civil(second);
  REQUIRE(box.host_pid() == pid);
}

TEST_CASE("life: a client of another version of the state folder is told which host answered") {
  Sandbox box;
  const pid_t pid = box.serve();
  box.environment = {"GANTRY_STATE_DIR=" + (box.dir() / "elsewhere").string()};
  const auto ran = box.run({"call", "host.status"});
  REQUIRE(ran.code == 0);
  REQUIRE(ran.err.find("another state folder") != std::string::npos);
  REQUIRE(ran.err.find("pid " + std::to_string(pid)) != std::string::npos);
}

TEST_CASE("life: a broken configuration is named with line and column, and no host starts on it") {
  Sandbox box;
  box.write("bad.toml", "[async]\nmax_concurent_ai_requests = 4\nlsp_request_timeout_seconds = \"ten\"\n");
  const auto ran = box.run({"serve", "--config", (box.dir() / "bad.toml").string()});
  REQUIRE(ran.code == 1);
  REQUIRE(ran.err.find("bad.toml:2:1") != std::string::npos);
  REQUIRE(ran.err.find("max_concurrent_ai_requests") != std::string::npos);
  REQUIRE(ran.err.find("bad.toml:3:") != std::string::npos);
  require_civil(ran);
  box.write("broken.toml", "[async\n");
  const auto broken = box.run({"config", "check", (box.dir() / "broken.toml").string()});
  REQUIRE(broken.code == 1);
  REQUIRE(broken.err.find("broken.toml:1:") != std::string::npos);
  REQUIRE(broken.err.find("\n\n") == std::string::npos);
  require_civil(broken);
  const auto missing = box.run({"serve", "--config", "/nowhere/gantry.toml"});
  REQUIRE(missing.code == 1);
  require_civil(missing);
}

TEST_CASE("life: a client that starts a host on a broken configuration hears at once what is wrong with it") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", "[async]\nmax_concurent_ai_requests = 4\n");
  const auto ran = box.run({"call", "host.status"});
  REQUIRE(ran.code == 1);
  const auto error = json::parse(ran.err);
  REQUIRE(error["data"]["kind"] == "invalid_params");
  REQUIRE(error["message"].get<std::string>().find("gantry.toml:2:1") != std::string::npos);
  REQUIRE(error["message"].get<std::string>().find("max_concurrent_ai_requests") != std::string::npos);
  require_civil(ran);
}

TEST_CASE("life: SIGINT is a graceful end as well, and a second signal ends a host that takes its time") {
  Sandbox box;
  const pid_t graceful = box.serve();
  ::kill(graceful, SIGINT);
  REQUIRE(box.wait(graceful) == 0);
  box.write("g.toml", "[host]\nstop_budget_seconds = 600\n[plugins.faulty]\npath = \"" + gantry::folders::build() +
                          "/tests/plugins/faulty.so\"\ngrants = []\n");
  const pid_t slow = box.serve({"--config", (box.dir() / "g.toml").string()});
  auto client = box.connect();
  REQUIRE(client.send(R"({"jsonrpc":"2.0","id":"held","method":"faulty.never"})"));
  REQUIRE(client.call("faulty.attempts", {{"key", "x"}}, std::chrono::seconds(20)));
  ::kill(slow, SIGTERM);
  box.wait_for_text("state/gantry.log", "stopping: signal SIGTERM");
  ::kill(slow, SIGTERM);
  REQUIRE(box.wait(slow) == 1);
}

TEST_CASE("life: a file size limit in mid-flight is storage_failed, and nothing acknowledged is lost") {
  Sandbox box;
  const pid_t pid = box.serve();
  auto client = box.connect();
  const auto set = [&](int i) {
    return client.call("state.settings.set", {{"key", "k" + std::to_string(i)}, {"value", std::string(20'000, 'x')}},
                       std::chrono::seconds(20));
  };
  REQUIRE(set(0));
  rlimit limit{};
  REQUIRE(::prlimit(pid, RLIMIT_FSIZE, nullptr, &limit) == 0);
  const rlimit small{400'000, limit.rlim_max};
  REQUIRE(::prlimit(pid, RLIMIT_FSIZE, &small, nullptr) == 0);
  int acknowledged = 1;
  Result<json> last;
  while ((last = set(acknowledged))) ++acknowledged;
  REQUIRE(last.error().kind == ErrorKind::storage_failed);
  REQUIRE(box.host_pid() == pid);
  REQUIRE(::prlimit(pid, RLIMIT_FSIZE, &limit, nullptr) == 0);
  REQUIRE(set(acknowledged));
  const auto all = client.call("state.settings.list", json::object(), std::chrono::seconds(20));
  if (all) REQUIRE((*all)["items"].size() <= static_cast<std::size_t>(acknowledged) + 1);
  for (int i = 0; i <= acknowledged; ++i) {
    CAPTURE(i);
    const auto got = client.call("state.settings.get", {{"key", "k" + std::to_string(i)}}, std::chrono::seconds(20));
    REQUIRE(got);
    REQUIRE((*got)["value"].is_string());
  }
}

TEST_CASE("life: without --socket the socket is GANTRY_SOCKET, else in XDG_RUNTIME_DIR, else in /tmp/gantry-UID") {
  Sandbox box;
  const auto socket_of = [&](std::vector<std::string> environment) {
    box.environment = std::move(environment);
    box.names_socket = false;
    const auto ran = box.run({"call", "host.status", "--no-start"});
    return json::parse(ran.err)["message"].get<std::string>();
  };
  const auto at = (box.dir() / "x.sock").string();
  REQUIRE(socket_of({"GANTRY_SOCKET=" + at, "XDG_RUNTIME_DIR=/nowhere"}).find(" " + at + " ") != std::string::npos);
  REQUIRE(socket_of({"XDG_RUNTIME_DIR=" + box.dir().string()}).find((box.dir() / "gantry/host.sock").string()) !=
          std::string::npos);
  REQUIRE(socket_of({}).find("/tmp/gantry-" + std::to_string(::getuid()) + "/host.sock") != std::string::npos);
}

TEST_CASE(
    "life: config.reload swaps what can change live, names what cannot, and keeps the old one when the new one is "
    "wrong") {
  Sandbox box;
  box.write("g.toml", "[async]\nmax_background_tasks = 5\n[log]\nlevel = \"info\"\n");
  const pid_t pid = box.serve({"--config", (box.dir() / "g.toml").string()});
  box.write("g.toml", "[async]\nmax_background_tasks = 6\nevent_bus_buffer_size = 10\n");
  auto reloaded = box.run({"call", "config.reload"});
  REQUIRE(reloaded.code == 0);
  const auto answer = json::parse(reloaded.out);
  REQUIRE(answer["live"] == json{"async.max_background_tasks"});
  REQUIRE(answer["restart"] == json{"async.event_bus_buffer_size"});
  // What waits for a restart does so until there is one.
  REQUIRE(json::parse(box.run({"call", "config.reload"}).out)["restart"] == json{"async.event_bus_buffer_size"});
  box.write("g.toml", "[async]\nmax_background_tasks = 0\n");
  reloaded = box.run({"call", "config.reload"});
  REQUIRE(reloaded.code == 1);
  REQUIRE(json::parse(reloaded.err)["data"]["errors"][0].get<std::string>().find("g.toml:2:") != std::string::npos);
  REQUIRE(box.host_pid() == pid);
}

TEST_CASE("life: what config.reload calls live is in force at once, in the host and in its plugins") {
  Sandbox box;
  box.write("g.toml", "");
  (void)box.serve({"--config", (box.dir() / "g.toml").string()});
  auto client = box.connect();
  const auto ask = [&](const std::string& method) {
    const auto answer = client.call(method, json::object(), std::chrono::seconds(20));
    REQUIRE(answer);
    return *answer;
  };
  const auto has_other = [&] {
    const auto servers = ask("lsp.servers")["servers"];
    return std::ranges::any_of(servers, [](const json& server) { return server["name"] == "other"; });
  };
  REQUIRE_FALSE(has_other());  // the plugin runs before the change
  box.write("g.toml", R"([async]
max_background_tasks = 3
event_processing_concurrency = 2
[host]
max_calls_per_service = 7
[log]
level = "error"
[lsp.servers.other]
command = ["other-server"]
languages = ["other"]
)");
  const auto reloaded = ask("config.reload");
  REQUIRE(reloaded["restart"].empty());
  REQUIRE(reloaded["live"].size() == 5);
  const auto metrics = ask("host.metrics");
  REQUIRE(metrics["tasks"]["limit"] == 3);
  REQUIRE(metrics["event_processing"]["limit"] == 2);
  for (const auto& service : ask("host.services")) {
    CAPTURE(service);
    REQUIRE(service["permits"]["limit"] == 7);
  }
  REQUIRE(has_other());
  REQUIRE(
      client.call("host.hello", {{"client", "test"}, {"workspace", box.work().string()}}, std::chrono::seconds(20)));
  REQUIRE(box.read("state/gantry.log").find(box.work().string()) == std::string::npos);  // no line below `error`
}

TEST_CASE("life: a state folder that cannot be written stops nothing but what needs it") {
  Sandbox box;
  box.write("state", "a file where the folder should be");
  (void)box.serve();
  REQUIRE(box.run({"call", "host.status"}).code == 0);
  const auto refused = box.run({"call", "state.session.create", "name=x"});
  REQUIRE(refused.code == 1);
  REQUIRE(json::parse(refused.err)["data"]["kind"] == "storage_failed");
  require_civil(refused);
}

TEST_CASE("life: the plugins that work on workspaces start when one is opened, and not before") {
  Sandbox box;
  (void)box.serve();
  auto client = box.connect();
  const auto state_of_ai = [&] {
    const auto plugins = client.call("host.plugins", json::object(), std::chrono::seconds(20));
    for (const auto& plugin : *plugins) {
      if (plugin["name"] == "ai") return plugin["state"].get<std::string>();
    }
    return std::string();
  };
  REQUIRE(state_of_ai() == "known");
  REQUIRE(
      client.call("host.hello", {{"client", "test"}, {"workspace", box.work().string()}}, std::chrono::seconds(20)));
  eventually("ai to be ready", [&] { return state_of_ai() == "ready"; });
}

TEST_CASE(
    "life: a host whose program is replaced, or removed, starts the processes of its plugins as the same program") {
  for (const bool replaced : {true, false}) {
    INFO((replaced ? "replaced" : "removed"));
    Sandbox box;
    const fs::path folder = fs::path(gantry::folders::build()) / ("upgraded-" + std::to_string(::getpid()));
    fs::remove_all(folder);
    fs::create_directories(folder);
    fs::create_hard_link(gantry::folders::build() + "/gantry",
                         folder / "gantry");  // the same file system, and no copy
    box.program = (folder / "gantry").string();
    box.environment = {"GANTRY_PLUGIN_DIR=" + gantry::folders::build() + "/plugins"};
    box.write("config/gantry/gantry.toml", "[plugins.project_state]\nisolation = \"child\"\n");
    (void)box.serve();
    fs::remove(folder / "gantry");
    if (replaced) {
      std::ofstream(folder / "gantry") << "#!/bin/sh\necho another release >&2\nexit 64\n";
      fs::permissions(folder / "gantry", fs::perms::owner_all);
    }
    const auto answer = box.connect().call("state.session.list", json::object(), kTimeout);
    fs::remove_all(folder);
    INFO((answer ? "" : answer.error().message));
    REQUIRE(answer);
  }
}

TEST_CASE("life: a configuration that came after the start, where none was named, is read by config.reload") {
  Sandbox box;
  (void)box.serve();
  auto client = box.connect();
  box.write("config/gantry/gantry.toml", "[async]\nmax_concurrent_ai_requests = 2\n");
  const auto changed = client.call("config.reload", json::object(), kTimeout);
  INFO((changed ? "" : changed.error().message));
  REQUIRE(changed);
  REQUIRE((*changed)["live"] == json::array({"async.max_concurrent_ai_requests"}));
  fs::remove(box.dir() / "config/gantry/gantry.toml");
  const auto back = client.call("config.reload", json::object(), kTimeout);
  REQUIRE(back);
  REQUIRE((*back)["live"] == json::array({"async.max_concurrent_ai_requests"}));
}
