// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/death.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>

namespace gantry::host {

namespace {
/// Whose default action ends the process with a core file (signal(7)).
[[nodiscard]] bool dumps_core(int signal) {
  constexpr std::array kSignals{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ};
  return std::ranges::find(kSignals, signal) != kSignals.end();
}
}  // namespace

json Death::details() const {
  json out = json::object();
  if (!calls.oldest.empty()) out["calls"] = calls.oldest;
  if (calls.more != 0) out["more_calls"] = calls.more;
  if (exit_code) out["exit_code"] = *exit_code;
  if (!signal) return out;
  out["signal"] = *signal;
  if (!dumps_core(*signal)) return out;
  std::string pattern;
  std::ifstream in("/proc/sys/kernel/core_pattern");
  std::getline(in, pattern);
  rlimit limit{};
  const bool none = ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0;
  out["core_pattern"] = pattern;
  out["core"] = core_text(pattern, none, folder);
  return out;
}

// As core(5) has it: RLIMIT_CORE does not hold for what is given to a program.
std::string core_text(const std::string& pattern, bool none, const std::string& folder) {
  if (pattern.starts_with('|')) {
    const bool systemd = pattern.find("systemd-coredump") != std::string::npos;
    return "the kernel gives it to " + pattern.substr(1, pattern.find(' ') - 1) +
           (systemd ? "; `coredumpctl` lists it" : ", which keeps it where it likes");
  }
  if (none) return "none is written: RLIMIT_CORE is 0; say `ulimit -c unlimited` where the host is started";
  const std::string named = "a file named as the kernel's pattern \"" + pattern + "\" says";
  if (pattern.starts_with('/')) return named + ", if the plugin may write there";
  return named + (folder.empty() ? ", in the folder that the process worked in" : ", in " + folder);
}

}  // namespace gantry::host
