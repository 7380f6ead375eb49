// SPDX-License-Identifier: Apache-2.0
//
// What a parent hands down to a host, and what a host does not take from it.
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <functional>
#include <sstream>
#include <utility>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"
#include "tests/other_user.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// The value of a line of /proc/PID/status.
[[nodiscard]] std::string status_line(pid_t pid, const std::string& name) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  }
  return {};
}

[[nodiscard]] std::uint64_t signal_set(pid_t pid, const std::string& name) {
  return std::stoull(status_line(pid, name), nullptr, 16);
}

[[nodiscard]] std::string link_of(pid_t pid, const std::string& name) {
  std::error_code failed;
  return fs::read_symlink("/proc/" + std::to_string(pid) + "/" + name, failed).string();
}

/// Ignores and blocks what can be, and closes the descriptors 0 to 2: the worst parent.
void be_a_bad_parent() {
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) (void)std::signal(number, SIG_IGN);
  }
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
}

/// Runs `gantry WORDS...` in the work folder, with what `be_bad` has made of the process.
[[nodiscard]] pid_t spawn_badly(const Sandbox& box, const std::vector<std::string>& words,
                                const std::function<void()>& be_bad = be_a_bad_parent) {
  std::vector<std::string> all{box.program, "--socket", box.socket().string()};
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> argv;
  for (auto& word : all) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::setenv("GANTRY_STATE_DIR", (box.dir() / "state").c_str(), 1);
  ::setenv("XDG_CONFIG_HOME", (box.dir() / "config").c_str(), 1);
  if (::chdir(box.work().c_str()) != 0) ::_exit(126);
  be_bad();
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

void require_clean(pid_t pid) {
  const auto bit = [](int number) { return std::uint64_t{1} << static_cast<unsigned>(number - 1); };
  // SIGPIPE alone, and by the host itself: whatever a plugin makes of it. While a thread is started all are for a
  // moment.
  wait_for("signals that are not blocked", [&] { return signal_set(pid, "SigBlk") == bit(SIGPIPE); });
  REQUIRE(signal_set(pid, "SigIgn") == (bit(SIGPIPE) | bit(SIGXFSZ)));
  REQUIRE(link_of(pid, "cwd") == "/");
  for (const char* fd : {"fd/0", "fd/1", "fd/2"}) {
    CAPTURE(fd);
    REQUIRE(link_of(pid, fd) == "/dev/null");
  }
}

}  // namespace

TEST_CASE(
    "inherited: a host begins with no signal blocked or ignored, /dev/null where nothing is open, and / as folder") {
  Sandbox box;
  const pid_t pid = spawn_badly(box, {"serve"});
  wait_for("the host", [&] { return Client::connect(box.socket()).has_value(); });
  require_clean(pid);
  // How a child of its own has ended is told, which needs SIGCHLD.
  box.write("config/gantry/gantry.toml", "[plugins.project_state]\nisolation = \"child\"\n");
  ::kill(pid, SIGTERM);
  REQUIRE(box.wait(pid) == 0);
  const pid_t second = spawn_badly(box, {"serve"});
  wait_for("the host", [&] { return Client::connect(box.socket()).has_value(); });
  auto client = box.connect();
  REQUIRE(client.call("state.settings.list", json::object(), kTimeout));
  const auto state = [&] {
    const auto plugins = client.call("host.plugins", json::object(), kTimeout);
    for (const auto& plugin : *plugins) {
      if (plugin["name"] == "project_state") return plugin;
    }
    return json();
  };
  ::kill(state()["pid"].get<pid_t>(), SIGKILL);
  wait_for("the evidence", [&] { return state().contains("evidence"); });
  REQUIRE(state()["evidence"]["signal"] == SIGKILL);
  ::kill(second, SIGTERM);
  REQUIRE(box.wait(second) == 0);
}

TEST_CASE("inherited: a host that a client starts takes nothing of that client's, either") {
  Sandbox box;
  const pid_t client = spawn_badly(box, {"call", "host.status"});
  int status = 0;
  REQUIRE(::waitpid(client, &status, 0) == client);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 1);  // its own output could not be written
  const auto pid = box.host_pid();
  REQUIRE(pid);
  require_clean(*pid);
  REQUIRE(box.run({"stop"}).code == 0);
}

TEST_CASE("inherited: what is relative to the client's folder is found though the host leaves that folder") {
  Sandbox box;
  box.write("work/g.toml", "[async]\nmax_background_tasks = 5\n");
  const pid_t pid = spawn_badly(box, {"serve", "--workspace", ".", "--config", "g.toml"});
  wait_for("the host", [&] { return Client::connect(box.socket()).has_value(); });
  auto client = box.connect();
  const auto status = client.call("host.status", json::object(), kTimeout);
  REQUIRE((*status)["workspaces"] == json{box.work().string()});
  REQUIRE((*status)["config_file"] == (box.work() / "g.toml").string());
  REQUIRE(client.call("config.reload", json::object(), kTimeout));
  ::kill(pid, SIGTERM);
  REQUIRE(box.wait(pid) == 0);
}

TEST_CASE(
    "inherited: a working folder that was deleted is said at once where a path is relative to it, and hurts nobody "
    "else") {
  Sandbox box;
  const auto in_a_deleted_folder = [&](const std::vector<std::string>& environment, std::vector<std::string> words) {
    fs::create_directory(box.dir() / "gone");
    const fs::path before = fs::current_path();
    fs::current_path(box.dir() / "gone");
    fs::remove(box.dir() / "gone");
    box.environment = environment;
    auto ran = box.run(words);
    fs::current_path(before);
    box.environment.clear();
    return ran;
  };
  for (const auto& [environment, words, what] :
       std::vector<std::tuple<std::vector<std::string>, std::vector<std::string>, std::string>>{
           {{"GANTRY_CONFIG=g.toml"}, {"call", "host.status"}, "$GANTRY_CONFIG is g.toml"},
           {{"GANTRY_CONFIG=g.toml"}, {"config", "show"}, "$GANTRY_CONFIG is g.toml"},
           {{"GANTRY_STATE_DIR=state"}, {"serve"}, "$GANTRY_STATE_DIR is state"},
           {{}, {"serve", "--workspace", "."}, "--workspace is ."},
           {{}, {"status", "--socket", "s"}, "--socket is s"}}) {
    box.names_socket = words[0] != "status";
    const auto ran = in_a_deleted_folder(environment, words);
    INFO(ran.err);
    REQUIRE(ran.code == 1);
    REQUIRE(ran.err.find(what + ", which is relative to the working folder, and that was deleted") !=
            std::string::npos);
    require_civil(ran);
  }
  box.names_socket = true;
  REQUIRE(in_a_deleted_folder({}, {"call", "host.status"}).code == 0);
  const auto trust = in_a_deleted_folder({}, {"trust"});
  REQUIRE(trust.err.find("the working folder cannot be found") != std::string::npos);
  REQUIRE(box.run({"stop"}).code == 0);
}

TEST_CASE("inherited: a command that waits for processes of its own hears how they end though SIGCHLD was ignored") {
  Sandbox box;
  const fs::path bad = gantry::folders::build() + "/tests/plugins/bad/check_bad.so";
  const auto library = box.work() / "dies_of_truncated.so";  // the name is the fault
  fs::copy_file(bad, library);
  fs::copy_file(fs::path(bad).replace_extension(".json"), fs::path(library).replace_extension(".json"));
  const int out = ::open((box.dir() / "out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const pid_t pid =
      spawn_badly(box, {"plugin", "check", library.string(), "--only", "truncated_payloads", "--json"}, [out] {
        (void)std::signal(SIGCHLD, SIG_IGN);
        ::dup2(out, STDOUT_FILENO);
      });
  ::close(out);
  REQUIRE(box.wait(pid) == 1);
  const auto checked = json::parse(box.read("out"));
  REQUIRE(checked["cases"][0]["happened"].get<std::string>().find("signal 6 (Aborted)") != std::string::npos);
}

TEST_CASE("inherited: SIGHUP stops a host as SIGTERM does") {
  Sandbox box;
  const pid_t pid = box.serve();
  ::kill(pid, SIGHUP);
  REQUIRE(box.wait(pid) == 0);
  REQUIRE(box.read("state/gantry.log").find("stopping: signal SIGHUP") != std::string::npos);
  REQUIRE(!fs::exists(box.socket()));
}

TEST_CASE("inherited: as the first process of a container a host waits for orphans, and ends as it is told to") {
  if (::geteuid() != 0) gantry::test::skip("only root makes a pid namespace");
  Sandbox box;
  // A command that leaves a process behind, which ends at once.
  box.write("config/gantry/gantry.toml",
            "[ai]\ndefault_model = \"m\"\n[ai.providers.p]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n"
            "api_key_command = \"(setsid sh -c 'echo $$ > " +
                (box.dir() / "orphan").string() +
                "; exec sleep 0' >/dev/null 2>&1 &); echo key\"\nmax_retries = 0\n[ai.models.m]\nprovider = \"p\"\n");
  box.environment = {"ASAN_OPTIONS=detect_leaks=0"};  // it looks itself up in a /proc of the other namespace
  const pid_t outside = ::fork();
  if (outside == 0) {
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(gantry::test::kSkipped);
    const pid_t first = box.spawn({"serve"}, box.dir() / "serve.out", box.dir() / "serve.err");
    std::ofstream(box.dir() / "first") << first << std::endl;
    int status = 0;
    ::waitpid(first, &status, 0);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
  }
  std::optional<Client> client;
  int early = 0;
  wait_for("the host", [&] {
    if (::waitpid(outside, &early, WNOHANG) == outside) return true;
    if (auto connected = Client::connect(box.socket())) client.emplace(std::move(*connected));
    return client.has_value();
  });
  if (!client) {
    if (WIFEXITED(early) && WEXITSTATUS(early) == gantry::test::kSkipped)
      gantry::test::skip("this system makes no pid namespace");
    FAIL("the host ended: " << box.read("serve.err"));
  }
  std::istringstream written(box.read("first"));
  pid_t first = 0;
  written >> first;
  struct Namespace {
    pid_t first;
    pid_t outside;
    ~Namespace() {
      if (outside <= 0) return;  // it has ended
      ::kill(first, SIGKILL);    // and with it all that is in there
      ::waitpid(outside, nullptr, 0);
    }
  } alive{first, outside};
  REQUIRE(status_line(first, "NSpid").ends_with("\t1"));
  const auto refused = client->call("ai.chat", {{"messages", {{{"role", "user"}, {"content", "x"}}}}}, kTimeout);
  INFO((refused ? "answered" : refused.error().message));
  wait_for("the orphan", [&] { return !box.read("orphan").empty(); });
  // What its first process has not waited for stays, as a zombie of that process.
  const auto children_of_first = [&] {
    std::set<pid_t> children;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const auto name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      if (status_line(std::stoi(name), "PPid") == std::to_string(first)) children.insert(std::stoi(name));
    }
    return children;
  };
  wait_for("the orphan to be waited for", [&] { return children_of_first() == std::set<pid_t>{client->pid()}; });
  ::kill(first, SIGTERM);
  int status = 0;
  REQUIRE(::waitpid(outside, &status, 0) == outside);
  alive.outside = 0;
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  REQUIRE(box.read("state/gantry.log").find("stopping: signal SIGTERM") != std::string::npos);
}

TEST_CASE("inherited: a host raises its limit of open files, and what it starts has the one that it was started with") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", "[plugins.project_state]\nisolation = \"child\"\n");
  ::rlimit hard{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &hard) == 0);
  const rlim_t few = 300;
  const pid_t pid = spawn_badly(box, {"serve"}, [&] {
    const ::rlimit limit{few, hard.rlim_max};
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
  });
  wait_for("the host", [&] { return Client::connect(box.socket()).has_value(); });
  const auto soft_of = [](pid_t process) {
    ::rlimit limit{};
    REQUIRE(::prlimit(process, RLIMIT_NOFILE, nullptr, &limit) == 0);
    return limit.rlim_cur;
  };
  REQUIRE(soft_of(pid) == std::min<rlim_t>(hard.rlim_max, 65'536));
  auto client = box.connect();
  REQUIRE(client.call("state.settings.list", json::object(), kTimeout));
  const auto plugins = client.call("host.plugins", json::object(), kTimeout);
  for (const auto& plugin : *plugins) {
    CAPTURE(plugin);
    if (plugin["name"] == "project_state") REQUIRE(soft_of(plugin["pid"].get<pid_t>()) == few);
  }
  ::kill(pid, SIGTERM);
  REQUIRE(box.wait(pid) == 0);
}

TEST_CASE("inherited: a mask that closes files to their own user, and soft limits, are the first client's alone") {
  Sandbox box;
  const pid_t pid = spawn_badly(box, {"serve"}, [] {
    ::umask(0177);
    for (const auto what : {RLIMIT_CPU, RLIMIT_FSIZE}) {
      ::rlimit limit{};
      (void)::getrlimit(what, &limit);
      limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 1'000'000);
      (void)::setrlimit(what, &limit);
    }
  });
  wait_for("the host", [&] { return Client::connect(box.socket()).has_value(); });
  auto client = box.connect();
  REQUIRE(client.call("state.settings.list", json::object(), kTimeout));
  struct ::stat about{};
  REQUIRE(::stat(box.socket().parent_path().c_str(), &about) == 0);
  REQUIRE((about.st_mode & 0777) == 0700);
  for (const auto what : {RLIMIT_CPU, RLIMIT_FSIZE}) {
    CAPTURE(what);
    ::rlimit limit{};
    REQUIRE(::prlimit(pid, what, nullptr, &limit) == 0);
    REQUIRE(limit.rlim_cur == limit.rlim_max);
  }
  REQUIRE(status_line(pid, "Umask") == "0077");
  ::kill(pid, SIGTERM);
  REQUIRE(box.wait(pid) == 0);
  // What an older one has left there is said for what it is.
  fs::permissions(box.socket().parent_path(), fs::perms::owner_read | fs::perms::owner_write);
  const auto ran = box.run({"call", "host.status"});
  REQUIRE(ran.code == 1);
  REQUIRE(ran.err.find("is closed to its own user; chmod 700 it") != std::string::npos);
}
