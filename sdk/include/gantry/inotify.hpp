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
#include <string_view>

namespace gantry {

/// Calls `heard(watch, mask, name)` for each event that the descriptor, which does not block, has now. `name`: of the
/// entry of the folder, or empty.
template <class Heard>
void read_inotify(int fd, Heard heard) {
  alignas(inotify_event) std::array<char, 16384> buffer{};
  for (ssize_t size = 0; (size = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(size);) {
      inotify_event event{};
      std::memcpy(&event, &buffer[at], sizeof event);
      const std::string_view name = event.len == 0 ? std::string_view() : &buffer[at + sizeof event];
      at += sizeof event + event.len;
      heard(event.wd, event.mask, name);
    }
  }
}

}  // namespace gantry
