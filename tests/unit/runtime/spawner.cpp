// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "host/runtime/spawner.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

struct Pipe {
  int from = -1;
  int to = -1;
  Pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    from = ends[0];
    to = ends[1];
  }
  ~Pipe() {
    shut(from);
    shut(to);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  static void shut(int& fd) {
    if (fd >= 0) ::close(std::exchange(fd, -1));
  }
  [[nodiscard]] std::string rest() {
    shut(to);
    std::string out;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(from, buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<std::size_t>(n));
    return out;
  }
};

[[nodiscard]] std::string end_of(const Spawned& process) {
  pollfd ended{process.pidfd, POLLIN, 0};
  if (::poll(&ended, 1, 20'000) != 1) FAIL("a process does not end");
  auto became = what_became_of(process.pidfd);
  ::close(process.pidfd);
  return became;
}

/// What `sh -c line` writes to its stdout, and how it ends.
[[nodiscard]] std::string said(Spawner& spawner, const std::string& line, SpawnRequest request = {}) {
  Pipe out;
  request.program = "sh";
  request.argv = {"sh", "-c", line};
  if (request.descriptors.empty()) request.descriptors = {-1, out.to, -1};
  const auto process = spawner.spawn(request);
  REQUIRE(process);
  auto text = out.rest();
  return text + "[" + end_of(*process) + "]";
}

}  // namespace

TEST_CASE("spawner: a program has its arguments, the environment that it is given and no other, and its folder") {
  Spawner spawner;
  const TempDir dir;
  SpawnRequest request;
  request.environment = {"A=b c"};
  request.folder = dir.path();
  REQUIRE(said(spawner, "env | grep -v -e ^PWD -e ^_ -e ^SHLVL -e ^OLDPWD; pwd", request) ==
          "A=b c\n" + dir.path().string() + "\n[exit code 0]");
}

TEST_CASE("spawner: how a program ended is told") {
  Spawner spawner;
  REQUIRE(said(spawner, "exit 3") == "[exit code 3]");
  REQUIRE(said(spawner, "kill -9 $$") == "[signal 9 (Killed)]");
}

TEST_CASE("spawner: a program or a folder that is not there is `not_found`") {
  Spawner spawner;
  SpawnRequest request;
  request.program = "no-such-program";
  request.argv = {"no-such-program"};
  REQUIRE(spawner.spawn(request).error().kind == ErrorKind::not_found);
  REQUIRE(spawner.spawn(request).error().message.find("no-such-program") != std::string::npos);
  request.program = "sh";
  request.folder = "/no/such/folder";
  REQUIRE(spawner.spawn(request).error().kind == ErrorKind::not_found);
  REQUIRE(spawner.spawn(request).error().message.find("/no/such/folder") != std::string::npos);
}

TEST_CASE("spawner: descriptors lie where they were placed, also when they cross, and there are no others") {
  Spawner spawner;
  const TempDir dir;
  const int left_open = ::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY);  // without O_CLOEXEC
  // Two that lie at each other's places.
  Pipe out;
  const int five = ::fcntl(out.from, F_DUPFD, 5);
  const int other = ::fcntl(out.to, F_DUPFD, five + 1);
  SpawnRequest request;
  request.descriptors.assign(static_cast<std::size_t>(other) + 1, -1);
  request.descriptors[1] = out.to;
  request.descriptors[static_cast<std::size_t>(five)] = other;  // the end that is written to
  request.descriptors[static_cast<std::size_t>(other)] = five;
  request.program = "sh";
  request.argv = {"sh", "-c", "echo through >&" + std::to_string(five) + "; ls -l /proc/$$/fd; true"};
  const auto process = spawner.spawn(request);
  REQUIRE(process);
  ::close(five);
  ::close(other);
  ::close(left_open);
  REQUIRE(end_of(*process) == "exit code 0");
  const auto text = out.rest();
  REQUIRE(text.starts_with("through\n"));
  REQUIRE(text.find(dir.path().string()) == std::string::npos);
  std::set<int> seen;
  for (auto arrow = text.find(" -> "); arrow != std::string::npos; arrow = text.find(" -> ", arrow + 1))
    seen.insert(std::stoi(text.substr(text.rfind(' ', arrow - 1))));
  std::set<int> expected;
  for (int i = 0; i <= other; ++i) expected.insert(i);
  REQUIRE(seen == expected);
}

TEST_CASE(
    "spawner: what asks to die with its parent lives as long as the spawner, not as the thread that asked for it") {
  (void)std::signal(SIGPIPE, SIG_IGN);
  auto spawner = std::make_unique<Spawner>();
  Pipe in;
  Pipe out;
  const auto echoes = [&](char sign) {
    char back = 0;
    return ::write(in.to, &sign, 1) == 1 && ::read(out.from, &back, 1) == 1 && back == sign;
  };
  Spawned process;
  bool asked = false;
  std::thread([&] {
    SpawnRequest request;
    request.program = "setpriv";
    request.argv = {"setpriv", "--pdeathsig", "KILL", "cat"};
    request.descriptors = {in.from, out.to, -1};
    process = spawner->spawn(request).value_or(Spawned{});
    Pipe::shut(in.from);
    Pipe::shut(out.to);
    asked = process.pid > 0 && echoes('a');  // it has asked by now
  }).join();
  REQUIRE(asked);
  REQUIRE(echoes('b'));
  spawner.reset();
  REQUIRE(end_of(process) == "signal 9 (Killed)");
}
