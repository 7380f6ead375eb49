// SPDX-License-Identifier: Apache-2.0
#include "tests/other_user.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using gantry::test::exit_code;
using gantry::test::kNobody;
using gantry::test::start_without_root;

namespace {

void needs_root() {
  if (::geteuid() != 0) gantry::test::skip("only root can act as a second user");
}

[[nodiscard]] sockaddr_un address_of(const fs::path& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket.string().copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// 0: closed without a byte; 1: something was answered; 2: it could not even connect.
[[nodiscard]] int ask_for_status(const fs::path& socket) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = address_of(socket);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return 2;
  const std::string text = R"({"jsonrpc":"2.0","id":1,"method":"host.status"})"
                           "\n";
  (void)::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  char byte = 0;
  return ::recv(fd, &byte, 1, 0) == 1 ? 1 : 0;
}

// 0: whoever connected sent nothing and left.
[[nodiscard]] int serve_one_as_impostor(const fs::path& socket, int ready) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = address_of(socket);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 8) != 0) return 2;
  (void)::chmod(socket.c_str(), 0777);
  (void)!::write(ready, "1", 1);
  const int client = ::accept(fd, nullptr, nullptr);
  char byte = 0;
  return ::recv(client, &byte, 1, 0) == 0 ? 0 : 1;
}

}  // namespace

TEST_CASE("life: a client of another user is closed without an answer, also where the files let it in") {
  needs_root();
  Sandbox box;
  (void)box.serve();
  REQUIRE(::chmod(box.dir().c_str(), 0755) == 0);
  REQUIRE(::chmod(box.socket().parent_path().c_str(), 0755) == 0);
  REQUIRE(::chmod(box.socket().c_str(), 0666) == 0);
  REQUIRE(exit_code(start_without_root([&] { return ask_for_status(box.socket()); })) == 0);
  REQUIRE(ask_for_status(box.socket()) == 1);
  REQUIRE(box.read("state/gantry.log").find("refused a client of user 65534") != std::string::npos);
}

TEST_CASE("life: the socket and its folder let no other user in") {
  needs_root();
  Sandbox box;
  (void)box.serve();
  REQUIRE(::chmod(box.dir().c_str(), 0755) == 0);
  REQUIRE(exit_code(start_without_root([&] { return ask_for_status(box.socket()); })) == 2);
  REQUIRE(::chmod(box.socket().parent_path().c_str(), 0755) == 0);
  REQUIRE(exit_code(start_without_root([&] { return ask_for_status(box.socket()); })) == 2);
}

TEST_CASE("life: a client sends nothing to a socket that another user listens on") {
  needs_root();
  Sandbox box;
  const auto folder = box.socket().parent_path();
  fs::create_directory(folder);
  REQUIRE(::chmod(box.dir().c_str(), 0755) == 0);
  REQUIRE(::chown(folder.c_str(), kNobody, kNobody) == 0);
  std::array<int, 2> ready{};
  REQUIRE(::pipe(ready.data()) == 0);
  const pid_t impostor = start_without_root([&] { return serve_one_as_impostor(box.socket(), ready[1]); });
  ::close(ready[1]);
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  ::close(ready[0]);
  const auto ran = box.run({"call", "host.status"});
  REQUIRE(ran.code == 1);
  REQUIRE(json::parse(ran.err)["data"]["kind"] == "permission_denied");
  require_civil(ran);
  REQUIRE(exit_code(impostor) == 0);
}

TEST_CASE("life: no host serves, and no client starts one, in a folder of another user") {
  needs_root();
  Sandbox box;
  const auto folder = box.socket().parent_path();
  fs::create_directory(folder);
  REQUIRE(::chmod(folder.c_str(), 0700) == 0);
  REQUIRE(::chown(folder.c_str(), kNobody, kNobody) == 0);
  for (const auto& words : {std::vector<std::string>{"serve"}, {"call", "host.status"}}) {
    const auto ran = box.run(words);
    INFO(ran.err);
    REQUIRE(ran.code == 1);
    REQUIRE(ran.err.find("belongs to another user") != std::string::npos);
    require_civil(ran);
  }
}
