// SPDX-License-Identifier: Apache-2.0
#include "host/cli/stdio.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace gantry::host {

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) {
      pollfd state{fd, POLLOUT, 0};
      (void)::poll(&state, 1, -1);
      continue;
    }
    if (wrote <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

std::string working_folder() {
  std::error_code failed;
  if (auto here = std::filesystem::current_path(failed).string(); !failed) return here;
  const char* const named = std::getenv("PWD");  // the folder has been removed
  return named != nullptr && *named == '/' ? named : "";
}

}  // namespace gantry::host
