// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/process_stat.hpp: the kernel's facts about a process in /proc/PID/stat (proc(5)).
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
  /// The start of the process, in the kernel's ticks since the machine's start. It identifies the
  /// process: a pid alone may belong to another process by now, or to a process in another
  /// container or on another machine.
  std::uint64_t born = 0;
};
/// nullopt: there is no such process, or it is not visible from here.
[[nodiscard]] std::optional<ProcessStat> process_stat(pid_t pid);

}  // namespace gantry::host
