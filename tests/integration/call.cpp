// SPDX-License-Identifier: Apache-2.0
//
// What `gantry call` sends, and to whom.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <utility>

#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// Stands where the host of a sandbox would: for what only who reads the bytes sees.
class Impostor {
 public:
  explicit Impostor(const Sandbox& box)
      : socket_(box.socket()), listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    fs::create_directory(socket_.parent_path());
    fs::permissions(socket_.parent_path(), fs::perms::owner_all);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_, 4) == 0);
  }
  Impostor(const Impostor&) = delete;
  Impostor& operator=(const Impostor&) = delete;
  ~Impostor() {
    ::close(listener_);
    ::close(peer_);
  }
  /// Of the next client.
  void answers_hello() {
    ::close(std::exchange(peer_, ::accept(listener_, nullptr, nullptr)));
    REQUIRE(json::parse(next())["method"] == "host.hello");
    say(R"({"jsonrpc":"2.0","id":1,"result":{}})");
  }
  [[nodiscard]] std::string next() {
    std::string_view message;
    while (decoder_.next(message) != FrameDecoder::Status::message) {
      const ssize_t got = ::recv(peer_, decoder_.prepare(4096), 4096, 0);
      REQUIRE(got > 0);
      decoder_.commit(static_cast<std::size_t>(got));
    }
    return std::string(message);
  }
  void say(const std::string& message) const {
    REQUIRE(::send(peer_, (message + "\n").data(), message.size() + 1, 0) > 0);
  }
  void ends_with(const std::string& message) {
    fs::remove(socket_);
    say(message);
    ::close(std::exchange(peer_, -1));
  }

 private:
  const fs::path socket_;
  const int listener_;
  int peer_ = -1;
  FrameDecoder decoder_{1 << 20, Framing::lines};
};

}  // namespace

TEST_CASE("commands: call sends the members of its params in the order in which they were written") {
  Sandbox box;
  Impostor host(box);
  for (const auto& words : std::vector<std::vector<std::string>>{{R"({"z":{"y":1,"x":2},"a":[{"d":3,"c":4}]})"},
                                                                 {R"(z:={"y":1,"x":2})", R"(a:=[{"d":3,"c":4}])"}}) {
    CAPTURE(words);
    std::vector<std::string> all{"call", "a.b"};
    all.insert(all.end(), words.begin(), words.end());
    const pid_t client = box.spawn(all, box.dir() / "out.txt", box.dir() / "err.txt");
    host.answers_hello();
    REQUIRE(host.next().find(R"("params":{"z":{"y":1,"x":2},"a":[{"d":3,"c":4}]})") != std::string::npos);
    host.say(R"({"jsonrpc":"2.0","id":2,"result":{}})");
    ::waitpid(client, nullptr, 0);
  }
}

TEST_CASE("commands: call reads its params from the input where `-` stands for them") {
  Sandbox box;
  (void)box.serve();
  const auto ask = [&](const std::string& input, std::size_t padded_to = 0) {
    box.write("input", input);
    if (padded_to != 0) fs::resize_file(box.dir() / "input", padded_to);
    const int in = ::open((box.dir() / "input").c_str(), O_RDONLY | O_CLOEXEC);
    const pid_t pid = box.spawn({"call", "state.settings.set", "-"}, box.dir() / "out.txt", box.dir() / "err.txt", in);
    ::close(in);
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
  };
  const std::string large(std::size_t{300} << 10, 'x');  // more than one argument may have
  REQUIRE(ask("\n" + json{{"key", "a"}, {"value", large}}.dump() + "\n") == 0);
  REQUIRE(json::parse(box.run({"call", "state.settings.get", "key=a"}).out)["value"] == large);
  REQUIRE(ask("no JSON") == 1);
  REQUIRE(json::parse(box.read("err.txt"))["data"]["kind"] == "invalid_params");
  REQUIRE(ask("{}", (std::size_t{64} << 20) + 1) == 1);
  REQUIRE(json::parse(box.read("err.txt"))["data"]["kind"] == "too_large");
}

TEST_CASE("commands: a call that a host refuses because it is stopping is made at the next host") {
  Sandbox box;
  Impostor stopping(box);
  const pid_t client = box.spawn({"call", "host.status"}, box.dir() / "out.txt", box.dir() / "err.txt");
  stopping.answers_hello();
  REQUIRE(stopping.next().find("\"host.status\"") != std::string::npos);
  stopping.ends_with(json{{"jsonrpc", "2.0"},
                          {"id", 2},
                          {"error",
                           {{"code", static_cast<int>(ErrorKind::unavailable)},
                            {"message", "the host is stopping"},
                            {"data", {{"kind", "unavailable"}, {"reason", "stopping"}}}}}}
                         .dump());
  int status = 0;
  ::waitpid(client, &status, 0);
  INFO(box.read("err.txt"));
  REQUIRE(WEXITSTATUS(status) == 0);
  REQUIRE(json::parse(box.read("out.txt"))["ready"] == true);
  REQUIRE(box.run({"stop"}).code == 0);
}
