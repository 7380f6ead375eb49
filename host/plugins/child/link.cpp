// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/child/link.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
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

bool Link::send(const gantry_msg& msg, Descriptors descriptors) {
  const std::size_t count = descriptors.size();
  const auto state = outbox_.put(
      wire::size_of(msg), [&msg, count](std::string& out) { wire::append(out, msg, count); }, when(),
      std::move(descriptors));
  after_write(state);
  return state != Outbox::State::broken && state != Outbox::State::full;
}

bool Link::write_out(std::chrono::steady_clock::time_point until) {
  auto state = outbox_.flush();
  while (state == Outbox::State::waiting) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd room{fd_, POLLOUT, 0};
    if (left.count() <= 0 || ::poll(&room, 1, static_cast<int>(left.count())) == 0) return false;
    state = outbox_.flush();
  }
  return state == Outbox::State::empty;
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

ssize_t Link::receive_bytes(char* into, std::size_t size) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(Outbox::kMaxDescriptors * sizeof(int))>
      control;  // NOLINT: written first
  iovec bytes{into, size};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(fd_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 || message.msg_controllen == 0) return got;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(head) + (i * sizeof(int)), sizeof fd);
      arrived_.emplace_back(fd);
    }
  }
  return got;
}

// False: what came cannot be understood. A descriptor that the system had no room for is missing, not late.
bool Link::receive_frames() {
  while (!closed_) {
    const auto frame = decoder_.next();
    if (!frame) break;
    if (frame->descriptors > arrived_.size()) return false;
    Descriptors own;
    for (std::uint32_t i = 0; i < frame->descriptors; ++i) {
      own.push_back(std::move(arrived_.front()));
      arrived_.pop_front();
    }
    receive_(frame->msg, std::move(own));
  }
  return !decoder_.broken() && arrived_.size() <= Outbox::kMaxDescriptors;
}

bool Link::read_once() {
  ssize_t got = -1;
  do {
    got = receive_bytes(decoder_.prepare(kReadBytes), kReadBytes);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK) end(std::string("it cannot be read: ") + std::strerror(errno));
    return false;
  }
  if (got == 0) {
    end("the other end has closed it");
    return false;
  }
  decoder_.commit(static_cast<std::size_t>(got));
  if (!receive_frames()) end("what came cannot be understood");
  return !closed_;
}

void Link::read() {
  for (std::size_t turn = 0; turn < kReadsATurn && read_once(); ++turn) {
  }
  if (closed_) return;
  decoder_.release();
  wait_for_input();
}

void Link::finish(const std::string& why) {
  if (closed_) return;
  while (read_once()) {
  }
  end(why);
}

void Link::end(const std::string& why) {
  if (std::exchange(closed_, true)) return;
  (void)outbox_.flush();
  outbox_.close();
  close_socket();
  const auto ended = std::exchange(ended_, nullptr);
  worker_.post([link = self()] { link->receive_ = nullptr; });  // it may be what has brought us here
  if (ended) ended(why);
}

}  // namespace gantry::host
