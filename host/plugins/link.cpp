// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/link.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace gantry::host {

namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kReadsATurn = 8;
/// Beside the payload: topic, trace, keys.
constexpr std::size_t kMaxRest = 64 * 1024;

[[nodiscard]] StreamPeer::Socket socket_of(Worker& worker, int fd) {
  (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  return StreamPeer::Socket(worker.context(), boost::asio::local::stream_protocol(), fd);
}

}  // namespace

Link::Link(Worker& worker, int fd, std::size_t max_payload, Receive receive, Ended ended)
    : StreamPeer(worker, socket_of(worker, fd), kMaxOutbound),
      receive_(std::move(receive)),
      ended_(std::move(ended)),
      decoder_(max_payload + kMaxRest) {}

void Link::start() {
  worker_.post([link = self()] { link->wait_for_input(); });
}

bool Link::send(const gantry_msg& msg) {
  const auto state = outbox_.put(wire::size_of(msg), [&msg](std::string& out) { wire::append(out, msg); }, when());
  after_write(state);
  return state != Outbox::State::broken && state != Outbox::State::full;
}

void Link::close_soon() {
  worker_.post([link = self()] { link->close(); });
}

void Link::wait_for_input() {
  if (closed_) return;
  socket_.async_wait(Socket::wait_read, [link = self()](const boost::system::error_code& failed) {
    if (failed || link->closed_) return;
    link->read();
  });
}

void Link::read() {
  for (std::size_t turn = 0; turn < kReadsATurn; ++turn) {
    const ssize_t got = ::recv(fd_, decoder_.prepare(kReadBytes), kReadBytes, MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      end(std::string("it cannot be read: ") + std::strerror(errno));
      return;
    }
    if (got == 0) {
      end("the other end has closed it");
      return;
    }
    decoder_.commit(static_cast<std::size_t>(got));
    while (!closed_) {
      const auto msg = decoder_.next();
      if (!msg) break;
      receive_(*msg);
    }
    if (decoder_.broken()) {
      end("what came cannot be understood");
      return;
    }
    if (static_cast<std::size_t>(got) < kReadBytes) break;
  }
  decoder_.release();
  wait_for_input();
}

void Link::end(const std::string& why) {
  if (std::exchange(closed_, true)) return;
  (void)outbox_.flush();
  outbox_.close();
  boost::system::error_code ignored;
  socket_.close(ignored);
  const auto ended = std::exchange(ended_, nullptr);
  worker_.post([link = self()] { link->receive_ = nullptr; });  // it may be what has brought us here
  if (ended) ended(why);
}

}  // namespace gantry::host
