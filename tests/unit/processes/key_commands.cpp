// SPDX-License-Identifier: Apache-2.0
//
// What an `api_key_command` prints, and who is told: real commands, for the plugin `key_holder`, which is given the
// table of models.
#include <signal.h>

#include "host/processes/key_commands.hpp"
#include "tests/folders.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// Without a daemon: of every provider its name is the command.
struct Alone {
  explicit Alone(Duration timeout = KeyCommands::kTimeout)
      : commands(spawner, [](OriginId, const std::string& line) -> Result<std::string> { return line; }, timeout) {}

  std::shared_ptr<Recorder> ask(const std::string& line, OriginId origin = 1) {
    CallRequest request;
    request.method = KeyCommands::kMethod;
    request.params = json{{"provider", line}}.dump();
    request.origin = origin;
    auto recorder = std::make_shared<Recorder>();
    commands.call(request, recorder);
    return recorder;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return dir.path() / name; }
  [[nodiscard]] pid_t pid_in(const std::string& name) const {
    pid_t pid = 0;
    eventually("the command", [&] { return static_cast<bool>(std::ifstream(file(name)) >> pid); });
    return pid;
  }
  /// Says who it is, and prints its pid once it may go on.
  [[nodiscard]] std::string waiting() const {
    return "echo $$ > " + file("new") + "; mv " + file("new") + " " + file("pid") + "; until test -e " + file("go") +
           "; do sleep 0.01; done; echo $$";
  }

  TempDir dir;
  Spawner spawner;
  KeyCommands commands;
};

struct KeyDaemon : TestDaemon {
  explicit KeyDaemon(Isolation isolation, const std::string& command, const std::function<void(Config&)>& change = {})
      : TestDaemon([&](Config& c) {
          c.ai.providers["p"].api_key_command = command;
          c.ai.providers["keyless"].base_url = "http://127.0.0.1:1/v1";
          for (const char* plugin : {"key_holder", "keeper"}) c.plugins[plugin].isolation = isolation;
          if (change) change(c);
        }) {}
  [[nodiscard]] Result<json> ask(const std::string& plugin = "key_holder", const std::string& provider = "p") {
    return call(plugin + ".ask", {{"of", KeyCommands::kMethod}, {"provider", provider}});
  }
};

const std::vector<Isolation> kIsolations{Isolation::in_line, Isolation::child};
const std::string kCanary = "sk-canary-12345";

}  // namespace

TEST_CASE("keys: a command has the environment of the host and its first line is the answer wherever its plugin runs") {
  ::setenv("GANTRY_TEST_CANARY", kCanary.c_str(), 1);
  for (const auto isolation : kIsolations) {
    KeyDaemon t(isolation, "echo $GANTRY_TEST_CANARY; echo more");
    const auto events = t.daemon().bus().subscribe({"**"}, [] {});
    const auto answer = t.ask();
    INFO((answer ? "" : answer.error().message));
    REQUIRE(answer == json{{"secret", kCanary}});
    REQUIRE(t.ask("key_holder", "keyless").error().kind == ErrorKind::not_found);
    REQUIRE(t.ask("key_holder", "nobody").error().kind == ErrorKind::not_found);
    t.end();
    REQUIRE(t.daemon().clean());
    REQUIRE(t.log_text().find(kCanary) == std::string::npos);
    while (const auto next = events->subscription->take())
      REQUIRE(next->event.payload.find(kCanary) == std::string::npos);
  }
  ::unsetenv("GANTRY_TEST_CANARY");
}

TEST_CASE("keys: a command that fails or prints what is no key is an error that does not show what it printed") {
  const std::pair<std::string, std::string> commands[] = {
      {"exit 3", "failed with exit status 3"},
      {"kill -9 $$", "was ended by a signal"},
      {"exec no-such-program", "failed with exit status 127"},
      {"yes " + kCanary, "printed more than 16 KiB and was ended"},
      {"printf '\\001'", "printed bytes on its first line that an HTTP header cannot carry"}};
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    for (const auto& [command, words] : commands) {
      CAPTURE(command, words);
      KeyDaemon t(isolation, "echo " + kCanary + " >&2; " + command);
      const auto error = t.ask().error();
      REQUIRE(error.kind == ErrorKind::unavailable);
      REQUIRE(error.message == "api_key_command " + words);
      t.end();
      REQUIRE(t.log_text().find(kCanary) == std::string::npos);
    }
  }
  Alone t;
  const auto printed = t.ask("printf '" + kCanary + "'; exit 1")->wait().error();
  REQUIRE(printed.message == "api_key_command failed with exit status 1");
  REQUIRE(printed.data.empty());
}

TEST_CASE("keys: clients and other plugins get none whatever they are granted and the refusal is told") {
  const TempDir elsewhere;
  for (const char* file : {"key_holder.so", "key_holder.json"})
    std::filesystem::copy(std::string(gantry::folders::build() + "/tests/plugins/") + file, elsewhere.path() / file);
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    KeyDaemon t(isolation, "echo " + kCanary, [&](Config& c) {
      c.plugins["keeper"].grants = {"call:**", "processes"};
      c.plugins["key_holder"].path = (elsewhere.path() / "key_holder.so").string();
      c.plugins["key_holder"].grants = {"call:**"};
    });
    const auto audit = t.daemon().bus().subscribe({"host.audit.refused"}, [] {});
    for (const char* plugin : {"keeper", "key_holder"}) {
      CAPTURE(plugin);
      const auto error = t.ask(plugin).error();
      REQUIRE(error.kind == ErrorKind::permission_denied);
      REQUIRE(error.message ==
              "plugin " + std::string(plugin) +
                  " may not call config.secret: keys are for the plugin that came with the host and is "
                  "given the table of models");
      const auto told = audit->subscription->take();
      REQUIRE(told);
      REQUIRE(json::parse(told->event.payload)["wanted"] == "config.secret");
    }
    REQUIRE(t.call("config.secret", {{"provider", "p"}}).error().kind == ErrorKind::permission_denied);
    auto client = t.connect();
    REQUIRE(client.call("config.secret", {{"provider", "p"}}).error().kind == ErrorKind::permission_denied);
  }
}

TEST_CASE("keys: a command that a project names is never run") {
  const TempDir project;
  const auto mark = project.path() / "mark";
  std::ofstream(project.path() / ".gantry.toml")
      << "[ai.providers.p]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\napi_key_command = \"touch " +
             mark.string() + "\"\n";
  KeyDaemon t(Isolation::in_line, "echo " + kCanary);
  REQUIRE(t.daemon().open_workspace(project.path().string()));
  REQUIRE(t.ask() == json{{"secret", kCanary}});
  REQUIRE_FALSE(std::filesystem::exists(mark));
}

TEST_CASE("keys: who asks for a command that runs waits for that run and who asks later has it run again") {
  Alone t;
  const auto first = t.ask(t.waiting());
  const auto second = t.ask(t.waiting(), 2);
  const pid_t pid = t.pid_in("pid");
  REQUIRE_FALSE(first->done());
  std::ofstream(t.file("go")) << "go";
  REQUIRE(first->wait() == json{{"secret", std::to_string(pid)}});
  REQUIRE(second->wait() == first->wait());
  REQUIRE(t.ask(t.waiting())->wait() != first->wait());
}

TEST_CASE("keys: a command that takes too long is ended") {
  Alone t{Duration::zero()};
  REQUIRE(t.ask("sleep 1000")->wait().error().message == "api_key_command gave no key within 0 s and was ended");
}

TEST_CASE("keys: what a command has started and that holds its output is ended with it though its shell has ended") {
  Alone t{std::chrono::hours(1)};
  const auto asked = t.ask("sleep 1000 & echo $! > " + t.file("new") + "; echo $$ > " + t.file("shell") + "; mv " +
                           t.file("new") + " " + t.file("pid"));
  const pid_t left = t.pid_in("pid");
  const pid_t shell = t.pid_in("shell");
  eventually("the end of the shell", [&] { return state_of(shell) == 'Z'; });
  REQUIRE_FALSE(asked->done());
  t.commands.leave(1);
  eventually("the end of what it left", [&] { return !lives(left); });
}

TEST_CASE("keys: a command is ended when all who asked have left and not before") {
  Alone t{std::chrono::hours(1)};
  const auto first = t.ask(t.waiting());
  const auto second = t.ask(t.waiting(), 2);
  const pid_t pid = t.pid_in("pid");
  t.commands.leave(1);
  REQUIRE(first->wait().error().kind == ErrorKind::cancelled);
  REQUIRE_FALSE(second->done());
  REQUIRE(::kill(pid, 0) == 0);
  t.commands.leave(2);
  REQUIRE(second->wait().error().kind == ErrorKind::cancelled);
  eventually("its end", [&] { return ::kill(pid, 0) != 0; });
  REQUIRE(first->answers() == 1);
}

TEST_CASE("keys: so many commands run at once and the next one is told to come again") {
  Alone t;
  std::vector<std::shared_ptr<Recorder>> running;
  for (std::size_t i = 0; i < KeyCommands::kMaxRunning; ++i)
    running.push_back(t.ask(": " + std::to_string(i) + "; " + t.waiting()));
  REQUIRE(t.ask("echo one too many")->wait().error().kind == ErrorKind::overloaded);
  t.commands.stop();
  for (const auto& one : running) {
    CAPTURE(&one - running.data());
    REQUIRE(one->wait().error().message == "api_key_command was ended: the host is stopping");
  }
  REQUIRE(t.ask("echo late")->wait().error().message == "the host is stopping");
}

TEST_CASE("keys: a host that stops while a command runs ends it and stops cleanly") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    const Alone files;
    KeyDaemon t(isolation, files.waiting(), [](Config& c) { c.host.stop_budget_seconds = 1; });
    const auto asks = t.begin("key_holder.ask", {{"of", KeyCommands::kMethod}, {"provider", "p"}});
    const pid_t pid = files.pid_in("pid");
    t.end();
    REQUIRE_FALSE(asks.recorder->wait());
    REQUIRE(asks.recorder->answers() == 1);
    REQUIRE(::kill(pid, 0) != 0);
    REQUIRE(t.daemon().clean());
  }
}
