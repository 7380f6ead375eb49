// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/open_files.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace gantry::host {

namespace {
constexpr rlim_t kMost = 65'536;
rlim_t inherited = 0;  // NOLINT: of the whole process, as the limit is; 0: it was not raised

[[nodiscard]] rlimit limit_now() {
  rlimit limit{};
  (void)::getrlimit(RLIMIT_NOFILE, &limit);
  return limit;
}
}  // namespace

void raise_open_files() {
  auto limit = limit_now();
  inherited = limit.rlim_cur;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kMost));
  (void)::setrlimit(RLIMIT_NOFILE, &limit);  // refused: the host has room for fewer clients
}

std::int64_t inherited_open_files() {
  return static_cast<std::int64_t>(
      std::min(inherited != 0 ? inherited : limit_now().rlim_cur, rlim_t{kNoOpenFilesLimit}));
}

}  // namespace gantry::host
