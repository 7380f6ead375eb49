// SPDX-License-Identifier: Apache-2.0
#include "host/cli/host_line.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace gantry::host {

bool HostLine::send(std::string_view message) {
  out_.clear();
  append_frame(out_, Framing::lines, message);
  for (std::size_t at = 0; at < out_.size();) {
    const ssize_t wrote = ::send(socket_, out_.data() + at, out_.size() - at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (wrote > 0) {
      at += static_cast<std::size_t>(wrote);
      continue;
    }
    if (wrote < 0 && errno != EAGAIN && errno != EINTR) return false;
    pollfd state{socket_, POLLIN | POLLOUT, 0};
    (void)::poll(&state, 1, -1);
    if ((state.revents & POLLIN) != 0 && !receive()) return false;
  }
  return true;
}

bool HostLine::receive() {
  constexpr std::size_t kBytes = std::size_t{64} << 10;
  const ssize_t got = ::recv(socket_, from_host_.prepare(kBytes), kBytes, MSG_DONTWAIT);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) return false;
  from_host_.commit(static_cast<std::size_t>(got));
  unread_ = true;
  return true;
}

bool HostLine::next(std::string_view& message) {
  if (from_host_.next(message) == FrameDecoder::Status::message) return true;
  unread_ = false;
  return false;
}

}  // namespace gantry::host
