// SPDX-License-Identifier: Apache-2.0
#include "integration/daemon.hpp"

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
  require_civil(broken);
  const auto missing = box.run({"serve", "--config", "/nowhere/gantry.toml"});
  REQUIRE(missing.code == 1);
  require_civil(missing);
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
  box.write("g.toml", "[async]\nmax_background_tasks = 0\n");
  reloaded = box.run({"call", "config.reload"});
  REQUIRE(reloaded.code == 1);
  REQUIRE(json::parse(reloaded.err)["data"]["errors"][0].get<std::string>().find("g.toml:2:") != std::string::npos);
  REQUIRE(box.host_pid() == pid);
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

TEST_CASE("commands: wrong usage is exit 2, a wrong call exit 1 with the error object, both civil") {
  Sandbox box;
  (void)box.serve();
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"nonsense"}, {}, {"call"}, {"events", "--since", "x"}, {"call", "a.b", "--timeout", "-1"}}) {
    const auto ran = box.run(words);
    REQUIRE(ran.code == 2);
    require_civil(ran);
  }
  for (const auto& [words, kind] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"call", "nope.nope"}, "method_not_found"},
           {{"call", "host.status", "x=1"}, "invalid_params"},
           {{"call", "host.status", "not a pair"}, "invalid_params"},
           {{"call", "host.status", "x:={"}, "invalid_params"},
           {{"call", "host.status", "[1]"}, "invalid_params"},
           {{"call", "events.subscribe", "topics:=[\"a b\"]"}, "invalid_params"}}) {
    const auto ran = box.run(words);
    INFO(ran.err);
    REQUIRE(ran.code == 1);
    REQUIRE(json::parse(ran.err)["data"]["kind"] == kind);
    require_civil(ran);
  }
}

TEST_CASE("commands: status, logs, config show and doctor say what is") {
  Sandbox box;
  (void)box.serve({"--workspace", box.work().string()});
  const auto status = box.run({"status"});
  REQUIRE(status.out.find("project_state") != std::string::npos);
  REQUIRE(status.out.find(box.work().string()) != std::string::npos);
  REQUIRE(json::parse(box.run({"status", "--json"}).out)["plugins"].size() == 3);
  REQUIRE(box.run({"logs"}).out.find("serves " + box.socket().string()) != std::string::npos);
  REQUIRE(box.run({"config", "show"}).out.find("max_concurrent_lsp_requests = 8") != std::string::npos);
  const auto doctor = box.run({"doctor"});
  INFO(doctor.out);
  REQUIRE(doctor.code == 0);
  REQUIRE(doctor.out.find("a host answers on") != std::string::npos);
}

TEST_CASE("commands: gantry events prints what is published, from where it was asked to go on") {
  Sandbox box;
  (void)box.serve();
  auto client = box.connect();
  const auto first =
      client.call("events.publish", {{"topic", "mine.a"}, {"payload", {{"n", 1}}}}, std::chrono::seconds(10));
  REQUIRE(client.call("events.publish", {{"topic", "mine.a"}, {"payload", {{"n", 2}}}}, std::chrono::seconds(10)));
  std::array<int, 2> out{};
  REQUIRE(::pipe(out.data()) == 0);
  const std::string since = (*first)["epoch"].get<std::string>() + ":" + std::to_string((*first)["seq"].get<int>());
  const pid_t pid =
      box.spawn({"events", "mine.*", "--since", since, "--json"}, "", box.dir() / "events.err", -1, out[1]);
  ::close(out[1]);
  std::string text;
  std::array<char, 4096> buffer{};
  const auto read_line = [&] {
    while (text.find('\n') == std::string::npos) {
      const ssize_t got = ::read(out[0], buffer.data(), buffer.size());
      REQUIRE(got > 0);
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    const auto line = text.substr(0, text.find('\n'));
    text.erase(0, line.size() + 1);
    return json::parse(line);
  };
  REQUIRE(read_line()["payload"]["n"] == 2);
  REQUIRE(client.call("events.publish", {{"topic", "mine.b"}, {"payload", {{"n", 3}}}}, std::chrono::seconds(10)));
  REQUIRE(read_line()["topic"] == "mine.b");
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  ::close(out[0]);
}
