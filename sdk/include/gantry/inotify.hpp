// SPDX-License-Identifier: Apache-2.0
//
// gantry/inotify.hpp: reads what inotify(7) has reported.
//
// Thread rule: the thread that owns the descriptor.
#pragma once

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string_view>

namespace gantry {

/// Calls `heard(watch, mask, name)` for each event that the descriptor, which does not block, has now, until
/// `most_bytes` of events were read. `name`: of the entry of the folder, or empty. False: there may be more.
template <class Heard>
bool read_inotify(int fd, Heard heard, std::size_t most_bytes = std::numeric_limits<std::size_t>::max()) {
  alignas(inotify_event) std::array<char, 16384> buffer{};
  std::size_t all = 0;
  for (ssize_t size = 0; all < most_bytes; all += static_cast<std::size_t>(size)) {
    size = ::read(fd, buffer.data(), buffer.size());
    if (size <= 0) return true;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(size);) {
      inotify_event event{};
      std::memcpy(&event, &buffer[at], sizeof event);
      const std::string_view name = event.len == 0 ? std::string_view() : &buffer[at + sizeof event];
      at += sizeof event + event.len;
      heard(event.wd, event.mask, name);
    }
  }
  return false;
}

}  // namespace gantry
