// SPDX-License-Identifier: Apache-2.0
//
// The least that an Asio server can be: it echoes lines on a Unix socket.
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <memory>

using Local = boost::asio::local::stream_protocol;

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

void accept(Local::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](auto failed, Local::socket socket) {
    if (!failed) std::make_shared<Session>(std::move(socket))->read();
    accept(acceptor);
  });
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  boost::asio::io_context context(1);
  Local::acceptor acceptor(context, Local::endpoint(argv[1]));
  accept(acceptor);
  context.run();
}
