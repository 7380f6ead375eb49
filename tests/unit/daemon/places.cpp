// SPDX-License-Identifier: Apache-2.0
//
// The places of a host, and what a test cannot do to the real program: a fallback of its own, and changes that no watch
// can see.
#include <sys/stat.h>
#include <sys/un.h>

#include "host/daemon/state_lock.hpp"
#include "host/protocols/rpc/listener.hpp"
#include "tests/folders.hpp"
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace fs = std::filesystem;

namespace {

/// A host with sockets as a test wants them.
class Placed {
 public:
  Placed(fs::path socket, fs::path fallback, bool needs_state = false) {
    DaemonOptions options;
    options.config = default_config();
    options.config.log.to_stderr = false;
    options.socket = std::move(socket);
    options.fallback_socket = std::move(fallback);
    options.needs_state = needs_state;
    options.state_dir = dir_.path() / "state";
    options.plugin_dir = dir_.path();
    options.program = gantry::folders::build() + "/gantry";
    options.log = log_in(dir_.path() / "state" / "gantry.log");
    options.timers = &timers;
    daemon_ = Daemon::build(std::move(options));
    opened = daemon_->open();
    thread_ = std::thread([this] { daemon_->run(); });
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;
  ~Placed() {
    daemon_->request_stop("the test is over");
    thread_.join();
  }
  [[nodiscard]] const fs::path& dir() const { return dir_.path(); }

  ManualTimers timers;
  Result<void> opened;

 private:
  TempDir dir_;
  std::unique_ptr<Daemon> daemon_;
  std::thread thread_;
};

/// Moves the clock to the next timer, if one waits.
void go_on(ManualTimers& timers) {
  if (const auto next = timers.next_in()) timers.advance(*next);
}

[[nodiscard]] bool answers(const fs::path& socket) {
  auto client = Client::connect(socket);
  if (!client) return false;
  const auto status = client->call("host.status", json::object(), std::chrono::seconds(20));
  return status && (*status)["socket"] == socket.string();
}

}  // namespace

TEST_CASE("places: a host whose folder cannot be made again serves at its fallback, says so, and comes back") {
  TempDir dir;
  const auto runtime = dir.path() / "runtime";
  const auto socket = runtime / "gantry" / "host.sock";
  const auto fallback = dir.path() / "tmp" / "host.sock";
  Placed host(socket, fallback);
  REQUIRE(answers(socket));
  REQUIRE(!fs::exists(fallback));
  fs::remove_all(runtime);
  std::ofstream(runtime) << "in the way";
  eventually("the fallback", [&] {
    go_on(host.timers);
    return answers(fallback);
  });
  const auto holder = find_state_holder(host.dir() / "state");
  REQUIRE(holder);
  REQUIRE(holder->socket == fallback);
  ConnectOptions options;
  options.socket = socket;
  options.state_dir = host.dir() / "state";
  REQUIRE(find_host(options));
  fs::remove(runtime);
  eventually("the first place", [&] {
    go_on(host.timers);
    return answers(socket);
  });
  eventually("the fallback to go", [&] { return !fs::exists(fallback); });
  REQUIRE(find_state_holder(host.dir() / "state")->socket == socket);
}

TEST_CASE("places: a client wakes a host whose socket went in a way that no watch can see") {
  TempDir dir;
  for (const char* name : {"one", "two"}) fs::create_directory(dir.path() / name);
  const auto link = dir.path() / "link";
  fs::create_directory_symlink(dir.path() / "one", link);
  const auto socket = link / "run" / "host.sock";
  Placed host(socket, {});
  REQUIRE(answers(socket));
  fs::remove(link);
  fs::create_directory_symlink(dir.path() / "two", link);
  REQUIRE(!Client::connect(socket));
  ConnectOptions options;
  options.socket = socket;
  options.state_dir = host.dir() / "state";
  REQUIRE(find_host(options));
  REQUIRE(answers(dir.path() / "two" / "run" / "host.sock") == false);  // it says the name that it was given
  REQUIRE(answers(socket));
}

TEST_CASE("places: clients that had connected when the socket went are served, and so are new ones") {
  TestDaemon t;
  Raw before(t.socket());
  REQUIRE(before.line(request(1, "echo.say")));
  REQUIRE(before.answer()["id"] == 1);
  fs::remove(t.socket());
  eventually("the socket", [&] {
    go_on(t.timers);
    return fs::exists(t.socket());
  });
  REQUIRE(before.line(request(2, "echo.say")));
  REQUIRE(before.answer()["id"] == 2);
  Raw after(t.socket());
  REQUIRE(after.line(request(3, "echo.say")));
  REQUIRE(after.answer()["id"] == 3);
}

TEST_CASE("places: exactly one host has a state folder: one that needs it does not serve without, another one does") {
  TempDir dir;
  Placed first(dir.path() / "one" / "host.sock", {});
  REQUIRE(first.opened);
  const auto state = first.dir() / "state";
  const auto taken = StateLock::take(state);
  REQUIRE(taken.error().kind == ErrorKind::conflict);
  REQUIRE(taken.error().message.find("(pid " + std::to_string(::getpid()) + ", socket ") != std::string::npos);
  for (const bool needs_state : {true, false}) {
    CAPTURE(needs_state);
    DaemonOptions options;
    options.config = default_config();
    options.socket = dir.path() / "two" / "host.sock";
    options.needs_state = needs_state;
    options.state_dir = state;
    options.plugin_dir = dir.path();
    options.log = log_in(dir.path() / "log");
    const auto second = Daemon::build(std::move(options));
    const auto opened = second->open();
    REQUIRE(opened.has_value() == !needs_state);
    second->request_stop("the test is over");
    second->run();
  }
}

TEST_CASE("places: a lock whose file was removed is not in place, and does not keep the next one from it") {
  TempDir dir;
  const auto file = dir.path() / "lock";
  const auto first = FileLock::take(file);
  REQUIRE(first);
  REQUIRE(first->in_place());
  REQUIRE(FileLock::take(file, false).error().kind == ErrorKind::conflict);
  fs::remove(file);
  REQUIRE(!first->in_place());
  const auto second = FileLock::take(file, false);
  REQUIRE(second);
  REQUIRE(second->in_place());
  REQUIRE(!first->in_place());
}

TEST_CASE(
    "places: what is left of a holder that died is nobody's, and an empty record is one that has not said it yet") {
  TempDir dir;
  REQUIRE(!find_state_holder(dir.path()));
  {
    const auto lock = StateLock::take(dir.path());
    REQUIRE(lock);
    REQUIRE(find_state_holder(dir.path())->pid == 0);
    lock->write_socket("/somewhere/host.sock");
    const auto holder = find_state_holder(dir.path());
    REQUIRE(holder->pid == ::getpid());
    REQUIRE(holder->socket == "/somewhere/host.sock");
  }
  REQUIRE(!find_state_holder(dir.path()));
  const auto next = StateLock::take(dir.path());
  REQUIRE(find_state_holder(dir.path())->pid == 0);
}

TEST_CASE("workspaces: those whose folders are gone make room for others, and are told to be closed") {
  TestDaemon t;
  const TempDir dir;
  const auto root = std::filesystem::canonical(dir.path());
  const auto folder = [&](std::size_t i) { return root / std::to_string(i); };
  auto client = t.connect();
  const auto open = [&](std::size_t i) {
    std::filesystem::create_directory(folder(i));
    return client.call("host.hello", {{"client", "test"}, {"workspace", folder(i).string()}});
  };
  constexpr std::size_t kMost = Workspaces::kMaxWorkspaces;
  for (std::size_t i = 0; i < kMost; ++i) {
    CAPTURE(i);
    REQUIRE(open(i));
  }
  const auto refused = open(kMost);
  REQUIRE(!refused);
  REQUIRE(refused.error().kind == ErrorKind::overloaded);
  const auto told = t.daemon().bus().subscribe({"host.workspace.closed"}, [] {});
  for (const std::size_t gone : {3, 7}) std::filesystem::remove(folder(gone));
  REQUIRE(open(kMost));
  std::vector<json> closed;
  while (const auto event = told->subscription->take()) closed.push_back(json::parse(event->event.payload));
  REQUIRE(closed == std::vector<json>{{{"workspace", folder(3).string()}}, {{"workspace", folder(7).string()}}});
  REQUIRE(open(kMost + 1));
  REQUIRE(!open(kMost + 2));
  const auto served = t.call("host.status").value()["workspaces"].get<std::vector<std::string>>();
  REQUIRE(served.size() == kMost);
  for (const std::size_t gone : {3, 7}) {
    CAPTURE(gone);
    REQUIRE(std::ranges::find(served, folder(gone).string()) == served.end());
  }
}
