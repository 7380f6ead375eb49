// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <host/observe/ready_writer.hpp>

namespace gantry::host {

bool ReadyWriter::write(std::string_view line) {
  if (torn_ && !put("\n")) return false;
  torn_ = false;
  return put(line);
}

bool ReadyWriter::put(std::string_view text) {
  // What poll() calls writable takes a page without waiting (pipe(7)); more than that only after asking again.
  constexpr std::size_t kStep = 4096;
  bool begun = false;
  while (!text.empty()) {
    pollfd ready{fd_, POLLOUT, 0};
    const int polled = ::poll(&ready, 1, 0);
    if (polled < 0 && errno == EINTR) continue;
    const bool writable = polled == 1 && (ready.revents & POLLOUT) != 0;
    const ssize_t wrote = writable ? ::write(fd_, text.data(), std::min(text.size(), kStep)) : -1;
    if (wrote < 0 && writable && errno == EINTR) continue;
    if (wrote <= 0) {
      torn_ = torn_ || begun;
      return false;
    }
    begun = true;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

}  // namespace gantry::host
