// SPDX-License-Identifier: Apache-2.0
//
// The least that an Asio server can be: it echoes lines on a Unix socket.
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <memory>

#include "tests/bench/peers/echo_server.hpp"

using echo_server::Local;

struct Session : std::enable_shared_from_this<Session> {
  explicit Session(Local::socket s) : socket(std::move(s)) {}
  void read() {
    socket.async_read_some(boost::asio::buffer(data), [self = shared_from_this()](auto failed, std::size_t size) {
      if (failed) return;
      boost::asio::async_write(self->socket, boost::asio::buffer(self->data, size), [self](auto broken, std::size_t) {
        if (!broken) self->read();
      });
    });
  }
  Local::socket socket;
  std::array<char, 65536> data{};
};

int main(int argc, char** argv) { return echo_server::run<Session>(argc, argv); }
