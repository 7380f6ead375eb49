// SPDX-License-Identifier: Apache-2.0
//
// The socket and the state folder of a host: both may lose their names while it runs, and clients find it nonetheless.
#include <sys/stat.h>

#include <array>
#include <csignal>
#include <utility>

#include "host/daemon/state_lock.hpp"
#include "tests/integration/daemon.hpp"
#include "tests/other_user.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// The pid of the host that answers `gantry call host.status WORDS...`.
[[nodiscard]] pid_t asked(Sandbox& box, std::vector<std::string> words = {}) {
  words.insert(words.begin(), {"call", "host.status"});
  const auto ran = box.run(words);
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  return json::parse(ran.out)["pid"].get<pid_t>();
}

void set_and_get(Sandbox& box) {
  REQUIRE(box.run({"call", "state.settings.set", "key=a", "value:=1"}).code == 0);
  REQUIRE(json::parse(box.run({"call", "state.settings.get", "key=a"}).out)["value"] == 1);
}

void remove_run(const Sandbox& box) { fs::remove_all(box.socket().parent_path()); }

}  // namespace

TEST_CASE("places: a host whose socket, lock or folder is removed or moved serves the next client in the same place") {
  Sandbox box;
  const pid_t pid = box.serve();
  auto before = box.connect();
  const auto lock = box.socket().string() + ".lock";
  const auto run = box.socket().parent_path();
  for (const std::function<void()>& spoil : std::vector<std::function<void()>>{
           [&] { fs::remove(box.socket()); }, [&] { fs::remove(lock); },
           [&] { fs::remove(box.socket()), fs::remove(lock); }, [&] { remove_run(box); },
           [&] { fs::rename(run, box.dir() / "moved"); },
           [&] { fs::remove_all(run), fs::create_directory(run), fs::permissions(run, fs::perms::owner_all); }}) {
    spoil();
    REQUIRE(asked(box) == pid);
    wait_for("the socket and its lock", [&] { return Client::connect(box.socket()).has_value() && fs::exists(lock); });
    REQUIRE(box.connect().pid() == pid);
  }
  struct stat about{};
  REQUIRE(::stat(run.c_str(), &about) == 0);
  REQUIRE((about.st_mode & 0777) == 0700);
  set_and_get(box);
  REQUIRE(before.call("host.ping_is_no_method", json::object(), kTimeout).error().kind == ErrorKind::method_not_found);
  REQUIRE(box.run({"stop"}).code == 0);
  REQUIRE(box.wait(pid) == 0);
  REQUIRE(!fs::exists(box.socket()));
}

TEST_CASE("places: a host whose socket's lock is removed takes it again, and keeps the socket") {
  Sandbox box;
  const pid_t pid = box.serve();
  REQUIRE(box.host_pid() == pid);  // it answers, so it watches
  struct stat before{};
  struct stat after{};
  REQUIRE(::stat(box.socket().c_str(), &before) == 0);
  const auto lock = box.socket().string() + ".lock";
  fs::remove(lock);
  wait_for("the lock", [&] { return fs::exists(lock); });
  REQUIRE(box.host_pid() == pid);
  fs::remove(lock);
  REQUIRE(asked(box) == pid);
  wait_for("the lock", [&] { return fs::exists(lock); });
  REQUIRE(box.host_pid() == pid);
  REQUIRE(::stat(box.socket().c_str(), &after) == 0);
  REQUIRE(std::pair(after.st_ctim.tv_sec, after.st_ctim.tv_nsec) ==
          std::pair(before.st_ctim.tv_sec, before.st_ctim.tv_nsec));
  REQUIRE(box.run({"stop"}).code == 0);
  REQUIRE(box.wait(pid) == 0);
  REQUIRE(!fs::exists(box.socket()));
}

TEST_CASE("places: a host whose socket is removed while no client looks makes it anew by itself") {
  Sandbox box;
  const pid_t pid = box.serve();
  REQUIRE(box.host_pid() == pid);  // it answers, so it watches: before, it would look by itself
  remove_run(box);
  wait_for("the socket", [&] { return Client::connect(box.socket()).has_value(); });
  REQUIRE(box.connect().pid() == pid);
}

TEST_CASE("places: a host whose state folder's lock is removed takes it again, and stays the only one") {
  Sandbox box;
  const pid_t pid = box.serve();
  REQUIRE(box.host_pid() == pid);  // it answers, so it watches
  fs::remove(box.dir() / "state" / "host.lock");
  wait_for("the lock", [&] {
    const auto holder = find_state_holder(box.dir() / "state");
    return holder && holder->pid == pid;
  });
  box.names_socket = false;
  REQUIRE(asked(box, {"--socket", (box.dir() / "other" / "host.sock").string()}) == pid);
}

TEST_CASE("places: a client whose runtime folder is another one finds the host that has the state folder") {
  Sandbox box;
  box.names_socket = false;
  for (const char* name : {"one", "two"}) fs::create_directory(box.dir() / name);
  box.environment = {"XDG_RUNTIME_DIR=" + (box.dir() / "one").string()};
  const pid_t pid = asked(box);
  box.environment = {"XDG_RUNTIME_DIR=" + (box.dir() / "two").string()};
  REQUIRE(asked(box) == pid);
  REQUIRE(asked(box, {"--no-start"}) == pid);
  const auto status = box.run({"status"});
  REQUIRE(status.code == 0);
  REQUIRE(status.err.empty());  // nobody named a socket: that it is another one is nobody's mistake
  const auto doctor = box.run({"doctor"});
  REQUIRE(doctor.out.find("pid " + std::to_string(pid)) != std::string::npos);
  REQUIRE(box.run({"logs"}).out.find("serves " + (box.dir() / "one").string()) != std::string::npos);
  REQUIRE(box.run({"stop"}).code == 0);
  REQUIRE(!find_state_holder(box.dir() / "state"));
  REQUIRE(!fs::exists(box.dir() / "two" / "gantry" / "host.sock"));
}

TEST_CASE("places: clients that name different sockets start one host for one state folder, and are all served") {
  Sandbox box;
  box.names_socket = false;
  const auto named = [&](int i) { return box.dir() / ("run" + std::to_string(i)) / "host.sock"; };
  std::vector<pid_t> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(box.spawn({"call", "host.status", "--socket", named(i).string()},
                                box.dir() / ("out" + std::to_string(i)), box.dir() / ("err" + std::to_string(i))));
  }
  std::set<int> pids;
  for (int i = 0; i < 6; ++i) {
    int status = 0;
    ::waitpid(clients[static_cast<std::size_t>(i)], &status, 0);
    INFO(box.read("err" + std::to_string(i)));
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    pids.insert(json::parse(box.read("out" + std::to_string(i)))["pid"].get<int>());
  }
  REQUIRE(pids.size() == 1);
  const auto holder = find_state_holder(box.dir() / "state");
  REQUIRE(holder);
  REQUIRE(holder->pid == *pids.begin());
  REQUIRE(box.run({"stop", "--socket", holder->socket.string()}).code == 0);
}

TEST_CASE("places: who names a socket where nobody listens is served by the host of the state folder, and told so") {
  Sandbox box;
  const pid_t pid = box.serve();
  const auto other = (box.dir() / "other" / "host.sock").string();
  box.names_socket = false;
  for (const bool by_variable : {false, true}) {
    CAPTURE(by_variable);
    box.environment = by_variable ? std::vector<std::string>{"GANTRY_SOCKET=" + other} : std::vector<std::string>{};
    std::vector<std::string> words{"call", "host.status"};
    if (!by_variable) words.insert(words.end(), {"--socket", other});
    const auto ran = box.run(words);
    REQUIRE(ran.code == 0);
    REQUIRE(json::parse(ran.out)["pid"] == pid);
    REQUIRE(ran.err.find("another socket: " + box.socket().string() + ", not " + other) != std::string::npos);
  }
  box.environment.clear();
  // It may be another host that was meant.
  const auto stop = box.run({"stop", "--socket", other});
  REQUIRE(stop.code == 1);
  REQUIRE(stop.err.find("`gantry stop --socket " + box.socket().string() + "`") != std::string::npos);
  REQUIRE(box.host_pid() == pid);
}

TEST_CASE("places: a second host on a state folder leaves state to the first, names it, and has it when that is gone") {
  Sandbox box;
  const pid_t first = box.serve();
  set_and_get(box);
  const auto second_socket = box.dir() / "second" / "host.sock";
  box.names_socket = false;
  const pid_t second = box.spawn({"serve", "--socket", second_socket.string()}, box.dir() / "out2", box.dir() / "err2");
  wait_for("the second host", [&] { return Client::connect(second_socket).has_value(); });
  const auto get = [&] { return box.run({"call", "--socket", second_socket.string(), "state.settings.get", "key=a"}); };
  const auto refused = get();
  REQUIRE(refused.code == 1);
  const auto error = json::parse(refused.err);
  REQUIRE(error["data"]["kind"] == "unavailable");
  REQUIRE(error["message"].get<std::string>().find("(pid " + std::to_string(first) + ", socket " +
                                                   box.socket().string() + ")") != std::string::npos);
  REQUIRE(box.run({"call", "--socket", second_socket.string(), "ai.models"}).code == 0);
  const auto status = json::parse(box.run({"status", "--json", "--socket", second_socket.string()}).out);
  REQUIRE(status["warnings"][0].get<std::string>().find("has the state folder") != std::string::npos);
  ::kill(first, SIGTERM);
  REQUIRE(box.wait(first) == 0);
  const auto got = get();
  INFO(got.err);
  REQUIRE(json::parse(got.out)["value"] == 1);
  REQUIRE(find_state_holder(box.dir() / "state")->pid == second);
  ::kill(second, SIGTERM);
  REQUIRE(box.wait(second) == 0);
}

TEST_CASE("places: a host never removes the socket of the one that came after it, nor takes its place") {
  Sandbox box;
  const pid_t first = box.serve();
  ::kill(first, SIGSTOP);
  remove_run(box);
  box.environment = {"GANTRY_STATE_DIR=" + (box.dir() / "state2").string()};
  const pid_t second = box.serve();
  REQUIRE(box.connect().pid() == second);
  ::kill(first, SIGCONT);
  wait_for("the first to look",
           [&] { return box.read("state/gantry.log").find("another gantry serves") != std::string::npos; });
  REQUIRE(box.connect().pid() == second);
  ::kill(first, SIGTERM);
  REQUIRE(box.wait(first) == 0);
  REQUIRE(box.connect().pid() == second);
}

TEST_CASE("places: gantry stop ends the holder of the state folder also when that answers nowhere") {
  Sandbox box;
  std::array<int, 2> ready{};
  REQUIRE(::pipe2(ready.data(), O_CLOEXEC) == 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    (void)std::signal(SIGTERM, SIG_DFL);  // Catch has a handler of its own
    const auto lock = StateLock::take(box.dir() / "state");
    if (!lock) ::_exit(1);
    lock->write_socket(box.socket());
    (void)!::write(ready[1], "1", 1);
    while (true) ::pause();
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  for (const int end : ready) ::close(end);
  const auto call = box.run({"call", "host.status", "--no-start"});
  REQUIRE(call.code == 1);
  REQUIRE(json::parse(call.err)["message"].get<std::string>().find("pid " + std::to_string(holder)) !=
          std::string::npos);
  REQUIRE(box.run({"stop"}).code == 0);
  int status = 0;
  REQUIRE(::waitpid(holder, &status, 0) == holder);
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGTERM);
}

TEST_CASE("places: a process that only has the number of a holder on another machine is not stopped in its place") {
  Sandbox box;
  const pid_t innocent = ::fork();
  if (innocent == 0) {
    (void)std::signal(SIGTERM, SIG_DFL);
    while (true) ::pause();
  }
  const auto lock = StateLock::take(box.dir() / "state");
  REQUIRE(lock);
  // As it is read by all who share the folder: with the number and the birth of a process that runs elsewhere.
  box.write("state/host.lock", json{{"pid", innocent}, {"born", 1}, {"socket", box.socket().string()}}.dump());
  const auto stop = box.run({"stop"});
  REQUIRE(stop.code == 1);
  REQUIRE(stop.err.find("of another machine or container") != std::string::npos);
  REQUIRE(::waitpid(innocent, nullptr, WNOHANG) == 0);
  REQUIRE(StateLock::take(box.dir() / "state", false).error().message.find("of another machine") != std::string::npos);
  ::kill(innocent, SIGKILL);
  ::waitpid(innocent, nullptr, 0);
}

TEST_CASE("places: a socket's path that is too long is said with what to do by whoever is given it") {
  Sandbox box;
  box.names_socket = false;
  const auto socket = (box.dir() / std::string(120, 's')).string();
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"serve"}, {"call", "host.status"}, {"status"}, {"stop"}, {"doctor"}, {"lsp"}}) {
    auto all = words;
    all.insert(all.end(), {"--socket", socket});
    const auto ran = box.run(all);
    INFO(words[0] << ": " << ran.out << ran.err);
    REQUIRE(ran.code == 1);
    REQUIRE((ran.out + ran.err).find("longer than 107 bytes") != std::string::npos);
    REQUIRE((ran.out + ran.err).find("choose another with --socket") != std::string::npos);
  }
}

TEST_CASE("places: a state folder that cannot be written is said with what to do to who starts a host, and by status") {
  Sandbox box;
  box.write("state", "a file where the folder should be");
  const auto says = [](const std::string& text) {
    return text.find("cannot be written") != std::string::npos && text.find("$GANTRY_STATE_DIR") != std::string::npos;
  };
  const auto status = box.run({"call", "host.status"});
  REQUIRE(status.code == 0);
  INFO(status.err);
  REQUIRE(says(status.err));
  REQUIRE(says(json::parse(status.out)["warnings"][0]));
  REQUIRE(says(box.run({"status"}).out));
  REQUIRE(box.run({"doctor"}).code == 1);
  REQUIRE(box.run({"stop"}).code == 0);
  (void)box.serve();
  REQUIRE(says(box.read("serve.err")));
}

TEST_CASE("places: relative XDG folders count as not set") {
  Sandbox box;
  box.names_socket = false;
  box.environment = {"XDG_RUNTIME_DIR=run", "XDG_STATE_HOME=state", "XDG_CONFIG_HOME=config", "GANTRY_STATE_DIR="};
  const auto ran = box.run({"call", "host.status", "--no-start"});
  REQUIRE(json::parse(ran.err)["message"].get<std::string>().find("/tmp/gantry-" + std::to_string(::getuid()) + "/") !=
          std::string::npos);
  box.names_socket = true;
  const auto status = json::parse(box.run({"call", "host.status"}).out);
  REQUIRE(status["state_dir"] == (box.dir() / ".local/state/gantry").string());
  REQUIRE(status["config_file"] == "");
}

TEST_CASE("places: a runtime folder that is missing or not this user's own counts as not set, which is said") {
  if (::geteuid() != 0) gantry::test::skip("only root can give a folder to another user");
  constexpr uid_t kOther = 12345;
  Sandbox box;
  (void)box.serve();
  const auto others = box.dir() / "others";
  fs::create_directory(others);
  REQUIRE(::chown(others.c_str(), kOther, kOther) == 0);
  box.names_socket = false;
  for (const auto& [folder, why] : std::vector<std::pair<fs::path, std::string>>{
           {others, "belongs to user 12345"}, {box.dir() / "missing", "is not there"}}) {
    box.environment = {"XDG_RUNTIME_DIR=" + folder.string()};
    const auto ran = box.run({"call", "host.status"});  // of the host that has the state folder
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    REQUIRE(ran.err.find("$XDG_RUNTIME_DIR is ignored: " + folder.string() + " " + why) != std::string::npos);
    REQUIRE(ran.err.find("/tmp/gantry-0") != std::string::npos);
    REQUIRE(box.run({"doctor"}).out.find("is ignored") != std::string::npos);
    REQUIRE(!fs::exists(folder / "gantry"));
  }
  box.environment = {"XDG_RUNTIME_DIR=" + others.string(), "GANTRY_STATE_DIR=" + (box.dir() / "nobodys").string()};
  const auto none = box.run({"call", "host.status", "--no-start"});
  REQUIRE(json::parse(none.err)["message"].get<std::string>().find("/tmp/gantry-0/host.sock") != std::string::npos);
}

TEST_CASE("places: a host that would keep its state in another user's home does not start, and leaves nothing there") {
  if (::geteuid() != 0) gantry::test::skip("only root can write in another user's home");
  constexpr uid_t kOther = 12345;
  Sandbox box;
  const auto home = box.dir() / "home";
  fs::create_directory(home);
  REQUIRE(::chown(home.c_str(), kOther, kOther) == 0);
  box.environment = {"HOME=" + home.string(), "GANTRY_STATE_DIR="};
  for (const auto& words : std::vector<std::vector<std::string>>{{"serve"}, {"call", "host.status"}, {"doctor"}}) {
    const auto ran = box.run(words);
    INFO(words[0] << ": " << ran.out << ran.err);
    REQUIRE(ran.code == 1);
    REQUIRE((ran.out + ran.err).find("belongs to user 12345, and gantry runs as root") != std::string::npos);
    REQUIRE((ran.out + ran.err).find("`sudo -H`") != std::string::npos);
  }
  REQUIRE(fs::is_empty(home));
  // Who names the folder means it.
  box.environment = {"HOME=" + home.string(), "GANTRY_STATE_DIR=" + (home / "state").string()};
  REQUIRE(box.run({"call", "host.status"}).code == 0);
  REQUIRE(box.run({"stop"}).code == 0);
}
