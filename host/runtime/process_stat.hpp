// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/process_stat.hpp: what the kernel says of a process in /proc/PID/stat (proc(5)).
//
// Thread rule: any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace gantry::host {

struct ProcessStat {
  std::string name;
  char state = '?';
  /// In the kernel's ticks since the machine's start. A number alone may be another process's by now, or be that of a
  /// process in another container or on another machine.
  std::uint64_t born = 0;
};
/// nullopt: there is no such process, or it cannot be seen from here.
[[nodiscard]] std::optional<ProcessStat> process_stat(pid_t pid);

}  // namespace gantry::host
