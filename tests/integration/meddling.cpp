// SPDX-License-Identifier: Apache-2.0
//
// What an inline plugin makes of the process that it runs in, and what a host that was killed may hold against one.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

[[nodiscard]] std::string table_of(const std::string& plugin, const std::string& more = {}) {
  return "[plugins." + plugin + "]\npath = \"" + gantry::folders::build() + "/tests/plugins/more/" + plugin +
         ".so\"\ngrants = []\n" + more;
}

class Meddled {
 public:
  explicit Meddled(const std::string& config = {}) {
    box.write("g.toml", table_of("meddler") + config);
    pid = box.serve({"--config", (box.dir() / "g.toml").string()});
  }
  [[nodiscard]] json call(const std::string& method, const json& params = json::object()) const {
    auto client = box.connect();
    const auto answer = client.call(method, params, kTimeout);
    INFO(method);
    INFO((answer ? "" : answer.error().message));
    REQUIRE(answer);
    return *answer;
  }
  void wait_for_log(const std::string& line) const {
    wait_for(line, [&] { return has_logged(line); });
  }
  [[nodiscard]] bool has_logged(const std::string& line) const {
    return box.read("state/gantry.log").find(line) != std::string::npos;
  }
  Sandbox box;
  pid_t pid = 0;
};

[[nodiscard]] json plugin_of(const Sandbox& box, const std::string& name) {
  auto client = box.connect();
  const auto all = client.call("host.plugins", json::object(), kTimeout);
  for (const auto& plugin : *all) {
    if (plugin["name"] == name) return plugin;
  }
  return {};
}

void mark(const Sandbox& box, const std::string& plugin, const std::string& text) {
  box.write("state/.crashed/" + plugin, text);
}
// No process has it.
const std::string kNobody = "999999999";

}  // namespace

TEST_CASE("meddling: signals that an inline plugin has ignored stop the host as ever, and its writes do not end it") {
  for (const int signal : {SIGTERM, SIGINT}) {
    CAPTURE(signal);
    Meddled t;
    (void)t.call("meddler.signals");
    t.wait_for_log("it has changed what this process does about SIGCHLD, SIGPIPE, SIGTERM, SIGINT");
    {
      // A client that asks for much and reads nothing of it.
      auto client = t.box.connect();
      REQUIRE(client.send(R"({"jsonrpc":"2.0","id":1,"method":"rpc.discover"})"));
      REQUIRE(client.send(R"({"jsonrpc":"2.0","id":2,"method":"meddler.big","params":{"bytes":3000000}})"));
    }
    REQUIRE(t.call("host.status")["pid"] == t.pid);
    ::kill(t.pid, signal);
    REQUIRE(t.box.wait(t.pid) == 0);
  }
}

TEST_CASE("meddling: how a process ended comes to light, whatever an inline plugin has made of SIGCHLD") {
  Meddled t("[plugins.project_state]\nisolation = \"child\"\n");
  (void)t.call("meddler.signals");
  (void)t.call("state.flush");
  ::kill(plugin_of(t.box, "project_state")["pid"].get<int>(), SIGKILL);
  wait_for("its death", [&] { return !plugin_of(t.box, "project_state")["evidence"].is_null(); });
  REQUIRE(plugin_of(t.box, "project_state")["evidence"]["signal"] == SIGKILL);
}

TEST_CASE(
    "meddling: a child that an inline plugin has forked holds neither the host's lock, its listener nor its store") {
  Meddled t;
  const auto fifo = (t.box.dir() / "fifo").string();
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  (void)t.call("state.settings.set", {{"key", "a"}, {"value", 1}});
  auto bystander = t.box.connect();
  REQUIRE(bystander.call("host.status", json::object(), kTimeout));
  const pid_t child = t.call("meddler.forks", {{"fifo", fifo}})["pid"];
  ::kill(t.pid, SIGKILL);
  REQUIRE(t.box.wait(t.pid) == 128 + SIGKILL);
  REQUIRE(lives(child));
  // A client of the dead host's sees that it is gone.
  REQUIRE_FALSE(bystander.call("host.status", json::object(), kTimeout));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  t.box.socket().string().copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0);
  ::close(fd);
  (void)t.box.serve({"--config", (t.box.dir() / "g.toml").string()});
  REQUIRE(t.call("state.settings.get", {{"key", "a"}})["value"] == 1);
  REQUIRE(lives(child));
  const int end = ::open(fifo.c_str(), O_WRONLY | O_CLOEXEC);
  REQUIRE(::write(end, "x", 1) == 1);
  ::close(end);
}

TEST_CASE("meddling: what an inline plugin has left for the end of the process neither crashes nor holds up the host") {
  for (const char* what : {"atexit crashes", "atexit hangs", "static crashes"}) {
    INFO(what);
    Meddled t;
    (void)t.call("meddler.leaves", {{"what", what}});
    ::kill(t.pid, SIGTERM);
    REQUIRE(t.box.wait(t.pid) == 0);
    REQUIRE(t.box.read("serve.err").find("Sanitizer") == std::string::npos);
  }
}

TEST_CASE("meddling: no number is written or read by a locale that an inline plugin has set") {
  const int waits = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);  // a provider that never answers
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(waits, reinterpret_cast<const sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(waits, 8) == 0);
  REQUIRE(::getsockname(waits, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  Sandbox box;
  const auto locales = box.dir() / "locales";
  fs::create_directory(locales);
  const std::string make = "localedef -i de_DE -f UTF-8 " + (locales / "de_DE.UTF-8").string() + " >/dev/null 2>&1";
  REQUIRE(std::system(make.c_str()) == 0);  // NOLINT: the package `locales`
  box.environment = {"LOCPATH=" + locales.string()};
  box.write("g.toml", table_of("meddler") +
                          "[async]\nai_request_timeout_seconds = 1\n[ai]\ndefault_model = \"m\"\n[ai.providers.p]\n"
                          "kind = \"openai\"\nmax_retries = 0\nbase_url = \"http://127.0.0.1:" +
                          std::to_string(ntohs(address.sin_port)) + "/v1\"\n[ai.models.m]\nprovider = \"p\"\n");
  (void)box.serve({"--config", (box.dir() / "g.toml").string()});
  auto client = box.connect();
  const auto set = client.call("meddler.locale", {{"name", "de_DE.UTF-8"}}, kTimeout);
  REQUIRE(set);
  REQUIRE((*set)["decimal_point"] == ",");
  const json chat{{"messages", json::array({{{"role", "user"}, {"content", "x"}}})}};
  const auto late = client.call("ai.chat", chat, kTimeout);
  REQUIRE_FALSE(late);
  INFO(late.error().message);
  REQUIRE(late.error().message.find(" 1 s") != std::string::npos);
  // Numbers that are stored, told, configured anew and logged.
  REQUIRE(client.call("state.settings.set", {{"key", "n"}, {"value", {1.5, 1234567, 0.1, 1e300}}}, kTimeout));
  const auto got = client.call("state.settings.get", {{"key", "n"}}, kTimeout);
  REQUIRE((*got)["value"].dump() == "[1.5,1234567,0.1,1e+300]");
  REQUIRE((*client.call("host.status", json::object(), kTimeout))["uptime_seconds"].is_number_float());
  box.write("g.toml", box.read("g.toml") + "[plugins.meddler.settings]\nratio = 2.75\nbig = 1234567\n");
  REQUIRE(client.call("config.reload", json::object(), kTimeout));
  REQUIRE(box.run({"config", "show", "--config", (box.dir() / "g.toml").string()}).out.find("ratio = 2.75") !=
          std::string::npos);
  ::close(waits);
}

TEST_CASE("marks: a host that is killed while a plugin starts does not cost the plugin, two in a row hold it back") {
  Sandbox box;
  const auto file = (box.dir() / "go").string();
  box.write("g.toml", table_of("mortal", "settings = { start_file = \"" + file + "\", diary = \"" +
                                             (box.dir() / "diary").string() + "\" }\n"));
  const std::vector<std::string> words{"--config", (box.dir() / "g.toml").string()};
  const auto starts = [&] {
    const auto diary = box.read("diary");
    return std::count(diary.begin(), diary.end(), '\n');
  };
  const auto die_in_its_start = [&](long times) {
    const pid_t host = box.serve(words);
    auto client = box.connect();
    REQUIRE(client.send(R"({"jsonrpc":"2.0","id":1,"method":"mortal.pid"})"));
    wait_for("its start", [&] { return starts() == times; });
    ::kill(host, SIGKILL);
    REQUIRE(box.wait(host) == 128 + SIGKILL);
  };
  die_in_its_start(1);
  // One that it outlives begins the row anew.
  box.write("go", "go");
  const pid_t survives = box.serve(words);
  REQUIRE(box.run({"call", "mortal.pid"}).code == 0);
  REQUIRE(plugin_of(box, "mortal")["state"] == "ready");
  ::kill(survives, SIGKILL);
  REQUIRE(box.wait(survives) == 128 + SIGKILL);
  fs::remove(box.dir() / "go");
  die_in_its_start(3);
  die_in_its_start(4);
  box.write("go", "go");
  (void)box.serve(words);
  REQUIRE(plugin_of(box, "mortal")["state"] == "quarantined");
  const std::string reason = plugin_of(box, "mortal")["reason"];
  REQUIRE(reason.find("it was being started when the host with pid ") == 0);
  REQUIRE(reason.find("died, and each of the 1 before that") != std::string::npos);
  REQUIRE(box.run({"plugin", "restart", "mortal"}).code == 0);
  REQUIRE(box.run({"call", "mortal.pid"}).code == 0);
}

TEST_CASE("marks: a fatal signal in a start is evidence at once") {
  Sandbox box;
  box.write("g.toml", table_of("meddler", "settings = { segfault = true }\n"));
  const std::vector<std::string> words{"--config", (box.dir() / "g.toml").string()};
  const pid_t host = box.serve(words);
  REQUIRE(box.run({"call", "--no-start", "meddler.pid"}).code == 1);
  REQUIRE(box.wait(host) != 0);
  (void)box.serve(words);
  REQUIRE(plugin_of(box, "meddler")["state"] == "quarantined");
  REQUIRE(plugin_of(box, "meddler")["reason"].get<std::string>().find("it was being started when the host with pid " +
                                                                      std::to_string(host) + " died of signal 6") == 0);
}

TEST_CASE("marks: a plugin that came with the host is tried in a process of its own before it is given up") {
  Sandbox box;
  mark(box, "project_state", kNobody + " 0 1\n");
  pid_t host = box.serve();
  REQUIRE(box.run({"call", "state.flush"}).code == 0);
  REQUIRE(plugin_of(box, "project_state")["isolation"] == "inline");
  REQUIRE_FALSE(fs::exists(box.dir() / "state/.crashed/project_state"));
  REQUIRE(box.run({"stop"}).code == 0);
  REQUIRE(box.wait(host) == 0);

  mark(box, "project_state", kNobody + " 0 2\n");
  host = box.serve();
  REQUIRE(box.run({"call", "state.flush"}).code == 0);
  REQUIRE(plugin_of(box, "project_state")["isolation"] == "child");
  REQUIRE(plugin_of(box, "project_state").contains("pid"));
  REQUIRE(box.read("state/gantry.log").find("project_state is run in a process of its own: it was being started") !=
          std::string::npos);
  // There it has outlived its start: the next host runs it as ever.
  REQUIRE_FALSE(fs::exists(box.dir() / "state/.crashed/project_state"));
  REQUIRE(box.run({"stop"}).code == 0);
  REQUIRE(box.wait(host) == 0);

  // A fatal signal in it is forgotten by hand only.
  mark(box, "project_state", kNobody + " 11 0\n");
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    host = box.serve();
    REQUIRE(box.run({"call", "state.flush"}).code == 0);
    REQUIRE(plugin_of(box, "project_state")["isolation"] == "child");
    if (i == 1) {
      REQUIRE(box.run({"plugin", "restart", "project_state"}).code == 0);
      REQUIRE(plugin_of(box, "project_state")["isolation"] == "inline");
      REQUIRE(plugin_of(box, "project_state")["state"] == "ready");
    }
    REQUIRE(box.run({"stop"}).code == 0);
    REQUIRE(box.wait(host) == 0);
  }
  REQUIRE_FALSE(fs::exists(box.dir() / "state/.crashed/project_state"));
}
