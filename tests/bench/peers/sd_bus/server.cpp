// SPDX-License-Identifier: Apache-2.0
//
// echo-sd-bus SOCKET [broker]: D-Bus by systemd's sd-bus, one thread; it accepts peers on the
// socket (broker: it is a service of the message bus that listens there).
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/bench/peers/sd_bus/connections.hpp"

namespace {

using namespace sd_bus_echo;

int echo(sd_bus_message* call, void*, sd_bus_error*) {
  std::uint64_t n = 0;
  const char* text = nullptr;
  if (const int failed = sd_bus_message_read(call, "ts", &n, &text); failed < 0) return failed;
  return sd_bus_reply_method_return(call, "ts", n, text);
}

const sd_bus_vtable kMethods[] = {
    SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Echo", "ts", "ts", echo, SD_BUS_VTABLE_UNPRIVILEGED), SD_BUS_VTABLE_END};

[[nodiscard]] bool add_methods(sd_bus* bus) {
  return sd_bus_add_object_vtable(bus, nullptr, kPath, kInterface, kMethods, nullptr) >= 0;
}

[[nodiscard]] int listen_on(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool listens = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && ::listen(fd, 128) == 0;
  return listens ? fd : -1;
}

/// A peer that goes away is kept: the program lives for one load.
[[nodiscard]] bool accept_peer(int fd, Connections& connections) {
  sd_bus* bus = nullptr;
  sd_id128_t id{};
  return sd_id128_randomize(&id) >= 0 && sd_bus_new(&bus) >= 0 && sd_bus_set_fd(bus, fd, fd) >= 0 &&
         sd_bus_set_server(bus, 1, id) >= 0 && add_methods(bus) && sd_bus_start(bus) >= 0 && connections.add(bus);
}

int serve_peers(const char* path) {
  const int listener = listen_on(path);
  if (listener < 0) return 1;
  Connections connections(listener);
  while (true) {
    if (connections.wait(-1) != Connections::Happened::kOther) continue;
    for (int fd = 0; (fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;)
      (void)accept_peer(fd, connections);
  }
}

int serve_bus(const char* path) {
  sd_bus* bus = nullptr;
  Connections connections;
  if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, ("unix:path=" + std::string(path)).c_str()) < 0) return 1;
  if (sd_bus_set_bus_client(bus, 1) < 0 || sd_bus_start(bus) < 0 || !add_methods(bus)) return 1;
  if (sd_bus_request_name(bus, kName, 0) < 0 || !connections.add(bus)) return 1;
  while (connections.wait(-1) != Connections::Happened::kClosed) {
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  return argc > 2 && std::string_view(argv[2]) == "broker" ? serve_bus(argv[1]) : serve_peers(argv[1]);
}
