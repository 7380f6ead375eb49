// SPDX-License-Identifier: Apache-2.0
#include "host/check/case_report.hpp"

#include <unistd.h>

#include <cerrno>

#include "host/observe/printable.hpp"

namespace gantry::host::check {

// A pipe to a reader that reads always: writing under the lock keeps the lines whole and in order.
void CaseReport::write(const json& line) {
  const std::string text = dump_json(line) + "\n";
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t wrote = ::write(fd_, text.data() + at, text.size() - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    at += static_cast<std::size_t>(wrote);
  }
}

std::string CaseReport::printed(std::string_view line) { return printable(line, kMaxLine); }

void CaseReport::report(const json& doc) {
  const Lock lock(mutex_);
  if (++lines_ <= kMaxLines) write(doc);
}

void CaseReport::outcome(const Outcome& outcome) {
  const Lock lock(mutex_);
  write({{"outcome", to_json(outcome)}});
}

}  // namespace gantry::host::check
