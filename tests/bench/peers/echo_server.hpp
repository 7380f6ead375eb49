// SPDX-License-Identifier: Apache-2.0
//
// The common part of the echo servers on Asio: a Unix socket, and a `Session(Local::socket)` with
// read() for each connection.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <memory>
#include <utility>

namespace echo_server {

using Local = boost::asio::local::stream_protocol;

template <class Session>
void accept(Local::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](auto failed, Local::socket socket) {
    if (!failed) std::make_shared<Session>(std::move(socket))->read();
    accept<Session>(acceptor);
  });
}

/// Serves on the socket that the only argument names, until the process is killed.
template <class Session>
int run(int argc, char** argv) {
  if (argc != 2) return 2;
  boost::asio::io_context context(1);
  Local::acceptor acceptor(context, Local::endpoint(argv[1]));
  accept<Session>(acceptor);
  context.run();
  return 0;
}

}  // namespace echo_server
