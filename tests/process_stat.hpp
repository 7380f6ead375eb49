// SPDX-License-Identifier: Apache-2.0
//
// process_stat.hpp: facts about a process from /proc. Any thread.
#pragma once

#include <sys/types.h>

#include <fstream>
#include <string>

namespace gantry::host::test {

/// /proc/PID/stat from the state on; empty: there is no such process, or it is just ending.
[[nodiscard]] inline std::string stat_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(in, text, '\0');  // the rest of a process that is ending cannot be read: an iterator would throw
  const auto name_ends = text.rfind(") ");
  return in.bad() || name_ends == std::string::npos ? "" : text.substr(name_ends + 2);
}
/// The state of a process; 'X': there is none.
[[nodiscard]] inline char state_of(pid_t pid) {
  const auto stat = stat_of(pid);
  return stat.empty() ? 'X' : stat[0];
}
[[nodiscard]] inline bool lives(pid_t pid) {
  const char state = state_of(pid);
  return state != 'X' && state != 'Z';
}
/// The parent of a process; -1: there is none.
[[nodiscard]] inline pid_t parent_of(pid_t pid) {
  const auto stat = stat_of(pid);
  return stat.empty() ? -1 : std::stoi(stat.substr(2));
}

}  // namespace gantry::host::test
