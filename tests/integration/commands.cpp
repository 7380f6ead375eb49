// SPDX-License-Identifier: Apache-2.0
//
// What the commands print, and how they end.
#include <sys/stat.h>

#include <array>
#include <sstream>
#include <utility>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("commands: wrong usage is exit 2, a wrong call exit 1 with the error object, both civil") {
  Sandbox box;
  (void)box.serve();
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"nonsense"}, {}, {"call"}, {"events", "--since", "x"}, {"call", "a.b", "--timeout", "-1"}}) {
    CAPTURE(words);
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

TEST_CASE("commands: call says what to type when the command line is what was wrong") {
  Sandbox box;
  box.write("config/gantry/gantry.toml",
            "[plugins.typed]\npath = \"" + gantry::folders::build() + "/tests/plugins/typed.so\"\ngrants = []\n");
  (void)box.serve();
  const auto hint = [&](const std::vector<std::string>& words) -> std::string {
    const auto ran = box.run(words);
    INFO(ran.err);
    REQUIRE(ran.code == 1);
    return json::parse(ran.err)["data"].value("hint", "");
  };
  REQUIRE(hint({"call", "typed.count", "to=3", "--stream"}) == "to=... passes text; did you mean to:=3?");
  REQUIRE(hint({"call", "typed.count", "to=three", "--stream"}).empty());
  REQUIRE(hint({"call", "typed.count", "to:=\"3\"", "--stream"}).empty());
  REQUIRE(hint({"call", "lsp.attach"}) == "open it with --stream");
  REQUIRE(hint({"call", "typed.say", "text=x", "--stream"}) == "leave out --stream");
}

TEST_CASE("commands: call tells people on a terminal what went wrong in lines, and as JSON when it is asked to") {
  Sandbox box;
  (void)box.serve();
  const auto on_terminal = [&](const std::vector<std::string>& words) {
    const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(terminal >= 0);
    REQUIRE(::grantpt(terminal) == 0);
    REQUIRE(::unlockpt(terminal) == 0);
    const fs::path other = ::ptsname(terminal);
    const int held = ::open(other.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    const pid_t pid = box.spawn(words, other, other);
    int status = 0;
    ::waitpid(pid, &status, 0);
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 1);
    std::array<char, 4096> bytes{};
    const ssize_t got = ::read(terminal, bytes.data(), bytes.size());
    ::close(held);
    ::close(terminal);
    std::string text(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    std::erase(text, '\r');
    return text;
  };
  REQUIRE(on_terminal({"call", "events.subscribe", "topics=[\"a\"]"}) ==
          "gantry: invalid_params: topics must be an array, not \"[\\\"a\\\"]\"\n"
          "  hint: topics=... passes text; did you mean topics:=[\"a\"]?\n");
  const auto as_json = json::parse(on_terminal({"call", "nope.nope", "--json"}));
  REQUIRE(as_json["data"]["kind"] == "method_not_found");
}

TEST_CASE("commands: arguments that are no UTF-8 are refused by what sends them, and nothing is changed") {
  Sandbox box;
  (void)box.serve();
  const auto refused = [&](const std::vector<std::string>& words) {
    const auto ran = box.run(words);
    INFO(ran.err);
    REQUIRE(ran.code == 1);
    REQUIRE(ran.err.find("xe9") != std::string::npos);
    REQUIRE(ran.err.find("is no UTF-8") != std::string::npos);
    require_civil(ran);
  };
  refused({"call", "state.session.create", "name=caf\xe9"});
  refused({"call", "caf\xe9.get"});
  refused({"events", "caf\xe9.*"});
  refused({"trust", (box.work() / "caf\xe9").string(), "--yes"});
  auto client = box.connect();
  REQUIRE(client.call("state.session.list", json::object(), kTimeout).value()["items"].empty());
}

TEST_CASE("commands: a host that is stopped is named, and a time-out that was asked for is kept") {
  Sandbox box;
  const pid_t host = box.serve();
  ::kill(host, SIGSTOP);
  const auto ran = box.run({"call", "host.status", "--timeout", "0.2"});
  ::kill(host, SIGCONT);
  INFO(ran.err);
  REQUIRE(ran.code == 1);
  const auto error = json::parse(ran.err);
  REQUIRE(error["data"]["kind"] == "timeout");
  const std::string message = error["message"];
  REQUIRE(message.find(box.socket().string()) != std::string::npos);
  REQUIRE(message.find("pid " + std::to_string(host)) != std::string::npos);
  require_civil(ran);
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

namespace {
/// What a command writes, line by line.
class Output {
 public:
  Output() { REQUIRE(::pipe2(ends_.data(), O_CLOEXEC) == 0); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() {
    ::close(ends_[0]);
    close_writer();
  }
  [[nodiscard]] int writer() const { return ends_[1]; }
  void close_writer() {
    if (ends_[1] >= 0) ::close(std::exchange(ends_[1], -1));
  }
  [[nodiscard]] std::string line() {
    std::array<char, 4096> buffer{};
    while (text_.find('\n') == std::string::npos) {
      const ssize_t got = ::read(ends_[0], buffer.data(), buffer.size());
      REQUIRE(got > 0);
      text_.append(buffer.data(), static_cast<std::size_t>(got));
    }
    const auto line = text_.substr(0, text_.find('\n'));
    text_.erase(0, line.size() + 1);
    return line;
  }

 private:
  std::array<int, 2> ends_{};
  std::string text_;
};

void end(pid_t pid) {
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}
}  // namespace

TEST_CASE("commands: doctor fails on what keeps the host or a part of it from working, and says which") {
  Sandbox box;
  box.write("config/gantry/gantry.toml",
            "[lsp.servers.x]\ncommand = [\"no-such-server\"]\nlanguages = [\"x\"]\n"
            "[lsp.servers.y]\ncommand = [\"/nowhere/server\"]\nlanguages = [\"y\"]\n"
            "[plugins.gone]\npath = \"/nowhere/gone.so\"\n");
  const auto doctor = [&](const std::string& what) {
    const auto ran = box.run({"doctor"});
    INFO(ran.out);
    REQUIRE(ran.code == 1);
    REQUIRE(ran.out.find("FAIL  " + what) != std::string::npos);
    require_civil(ran);
  };
  doctor("language server no-such-server is not on PATH");
  doctor("language server /nowhere/server is not there");
  doctor("plugin gone: /nowhere/gone.so does not exist");
  box.write("config/gantry/gantry.toml", "[asnyc]\n");
  doctor("configuration:");
  box.write("config/gantry/gantry.toml", "");
  box.write("file", "");
  box.environment = {"GANTRY_STATE_DIR=" + (box.dir() / "file").string()};
  doctor("state folder " + (box.dir() / "file").string() + " cannot be written");
  box.environment = {"GANTRY_PLUGIN_DIR=" + box.work().string()};
  doctor("no plugins in " + box.work().string());
  box.environment.clear();
  fs::create_directories(box.socket().parent_path());
  REQUIRE(::chmod(box.socket().parent_path().c_str(), 0755) == 0);
  doctor("the socket's folder");
}

TEST_CASE("commands: call --stream prints each item, then the answer") {
  Sandbox box;
  box.write("work/text.txt", "one two three four five six\none two three four five six\n");
  (void)box.serve({"--workspace", box.work().string()});
  const auto ran = box.run({"call", "--stream", "ai.complete", "prefix=one two three ", "max_tokens:=6"});
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  std::istringstream lines(ran.out);
  std::string text;
  json last;
  for (std::string line; std::getline(lines, line);) {
    last = json::parse(line);
    if (!last.contains("model")) text += last["text"].get<std::string>();
  }
  REQUIRE(last["model"] == "embedded");
  REQUIRE(last["text"] == text);
}

TEST_CASE("commands: logs shows the log of the host that answers on the socket") {
  Sandbox box;
  (void)box.serve();
  box.environment = {"GANTRY_STATE_DIR=" + (box.dir() / "elsewhere").string()};
  REQUIRE(box.run({"logs"}).out.find("serves " + box.socket().string()) != std::string::npos);
}

TEST_CASE("commands: gantry logs --follow goes on with the next file, and leaves out no line of the one before") {
  Sandbox box;
  box.write("state/gantry.log", "one\n");
  Output out;
  const pid_t pid = box.spawn({"logs", "--follow"}, "", box.dir() / "logs.err", -1, out.writer());
  out.close_writer();
  REQUIRE(out.line() == "one");
  ::kill(pid, SIGSTOP);
  std::ofstream(box.dir() / "state/gantry.log", std::ios::app) << "two\n";
  fs::rename(box.dir() / "state/gantry.log", box.dir() / "state/gantry.1.log");
  box.write("state/gantry.log", "three, in a file that is longer than the one before\n");
  ::kill(pid, SIGCONT);
  REQUIRE(out.line() == "two");
  REQUIRE(out.line() == "three, in a file that is longer than the one before");
  std::ofstream(box.dir() / "state/gantry.log", std::ios::app) << "four\n";
  REQUIRE(out.line() == "four");
  end(pid);
  REQUIRE(box.read("logs.err").empty());
}

TEST_CASE(
    "commands: gantry logs --follow goes on in a file that was emptied, and says when it has missed a whole one") {
  Sandbox box;
  box.write("state/gantry.log", "a line that is longer than the next\n");
  Output out;
  const pid_t pid = box.spawn({"logs", "--follow"}, "", box.dir() / "logs.err", -1, out.writer());
  out.close_writer();
  REQUIRE(out.line() == "a line that is longer than the next");
  ::kill(pid, SIGSTOP);
  box.write("state/gantry.log", "two\n");  // truncates: the host does so with log.files = 1
  ::kill(pid, SIGCONT);
  REQUIRE(out.line() == "two");
  ::kill(pid, SIGSTOP);
  const auto file = [&](const char* name) { return box.dir() / "state" / name; };
  fs::rename(file("gantry.log"), file("gantry.2.log"));
  box.write("state/gantry.1.log", "missed\n");
  box.write("state/gantry.log", "three\n");
  ::kill(pid, SIGCONT);
  REQUIRE(out.line() == "three");
  REQUIRE(box.read("logs.err").find("lines may be missing") != std::string::npos);
  end(pid);
}

TEST_CASE("commands: gantry logs begins with a whole line") {
  Sandbox box;
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "line " + std::to_string(i) + "\n";
  box.write("state/gantry.log", text);
  const auto out = box.run({"logs"}).out;
  REQUIRE(out.size() > 60000);
  REQUIRE(out.size() < 65536);
  REQUIRE(out.substr(0, 5) == "line ");
  REQUIRE(text.ends_with("\n" + out));
}

TEST_CASE("commands: whoever looks at the host's terminal and stands still does not hold it up") {
  Sandbox box;
  (void)box.serve();
  const auto greeting = fs::file_size(box.dir() / "serve.out");
  REQUIRE(box.run({"stop"}).code == 0);
  Output out;  // never read
  constexpr std::size_t kPage = 4096;
  const auto room = (greeting / kPage + 2) * kPage;
  REQUIRE(::fcntl(out.writer(), F_SETPIPE_SZ, 16 * kPage) == 16 * kPage);
  REQUIRE(room < 16 * kPage);
  const std::string filler(16 * kPage - room, ' ');
  REQUIRE(::write(out.writer(), filler.data(), filler.size()) == static_cast<ssize_t>(filler.size()));
  const pid_t pid = box.spawn({"serve"}, "", box.dir() / "serve.err", -1, out.writer());
  std::optional<Client> client;
  eventually("the host to listen", [&] {
    if (auto connected = Client::connect(box.socket())) client.emplace(std::move(*connected));
    return client.has_value();
  });
  for (int i = 0; i < 64; ++i) {  // each is told on the terminal
    CAPTURE(i);
    const auto folder = box.work() / std::string(200, 'a') / std::string(200, 'b') / std::to_string(i);
    fs::create_directories(folder);
    REQUIRE(client->call("host.hello", {{"client", "test"}, {"workspace", folder.string()}}, std::chrono::seconds(20)));
  }
  ::kill(pid, SIGTERM);
  REQUIRE(box.wait(pid) == 0);
}

TEST_CASE("commands: serve says of each value where it comes from") {
  Sandbox box;
  box.write("g.toml", "[async]\nmax_background_tasks = 5\n");
  (void)box.serve({"--config", (box.dir() / "g.toml").string(), "--workspace", box.work().string()});
  const auto has = [&](const std::string& line) { return box.read("serve.out").find(line) != std::string::npos; };
  box.wait_for_text("serve.out", "plugins\n");
  INFO(box.read("serve.out"));
  REQUIRE(has("max_background_tasks = 5  # " + (box.dir() / "g.toml").string() + ":2\n"));
  REQUIRE(has("workspaces = [\"" + box.work().string() + "\"]  # --workspace\n"));
  REQUIRE(has("max_batch = 100  # default\n"));
}

TEST_CASE("commands: gantry events prints what is published, from where it was asked to go on") {
  Sandbox box;
  (void)box.serve();
  auto client = box.connect();
  const auto first =
      client.call("events.publish", {{"topic", "mine.a"}, {"payload", {{"n", 1}}}}, std::chrono::seconds(10));
  REQUIRE(client.call("events.publish", {{"topic", "mine.a"}, {"payload", {{"n", 2}}}}, std::chrono::seconds(10)));
  Output out;
  const std::string since = (*first)["epoch"].get<std::string>() + ":" + std::to_string((*first)["seq"].get<int>());
  const pid_t pid =
      box.spawn({"events", "mine.*", "--since", since, "--json"}, "", box.dir() / "events.err", -1, out.writer());
  out.close_writer();
  REQUIRE(json::parse(out.line())["payload"]["n"] == 2);
  REQUIRE(client.call("events.publish", {{"topic", "mine.b"}, {"payload", {{"n", 3}}}}, std::chrono::seconds(10)));
  REQUIRE(json::parse(out.line())["topic"] == "mine.b");
  end(pid);
}

TEST_CASE("commands: gantry events --dead shows what a plugin could not take, and starts no host") {
  Sandbox box;
  REQUIRE(box.run({"events", "--dead"}).code == 1);
  box.write("g.toml", "[plugins.faulty]\npath = \"" + gantry::folders::build() +
                          "/tests/plugins/faulty.so\"\ngrants = [\"subscribe:to_faulty.**\"]\n");
  (void)box.serve({"--config", (box.dir() / "g.toml").string()});
  REQUIRE(box.run({"call", "faulty.attempts", "key=a"}).code == 0);
  REQUIRE(box.run({"events", "--dead"}).out.empty());
  REQUIRE(box.run({"call", "events.publish", "topic=to_faulty.a", R"(payload:={"failures":100})"}).code == 0);
  box.wait_for_text("state/gantry.log", "is a dead letter");
  const auto dead = box.run({"events", "--dead"});
  REQUIRE(dead.code == 0);
  REQUIRE(dead.out.find("to_faulty.a: plugin faulty failed 3 times") != std::string::npos);
  REQUIRE(dead.out.find(R"({"failures":100})") != std::string::npos);
  const auto letter = json::parse(box.run({"events", "--dead", "--json"}).out);
  REQUIRE(letter["topic"] == "to_faulty.a");
  REQUIRE(letter["attempts"] == 3);
}

TEST_CASE("commands: a host with no room for another client says so to each command, and can be stopped") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", "[host]\nmax_connections = 1\n");
  const pid_t pid = box.serve();
  std::optional<Client> first;
  wait_for("the only place", [&] {
    first.emplace(box.connect());
    return first->call("host.status", json::object(), kTimeout).has_value();
  });
  const auto ran = box.run({"call", "host.status"});
  REQUIRE(ran.code == 1);
  REQUIRE(json::parse(ran.err)["data"]["kind"] == "overloaded");
  REQUIRE(box.run({"status"}).err.find("no room for another connection") != std::string::npos);
  REQUIRE(box.run({"stop"}).code == 0);
  REQUIRE(box.wait(pid) == 0);
}
