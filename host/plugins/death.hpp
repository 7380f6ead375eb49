// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/death.hpp: how an instance of a plugin ended without being asked to.
//
// Thread rule: values.
#pragma once

#include <signal.h>

#include <cstring>
#include <functional>
#include <gantry/json.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gantry::host {

class Plugin;

/// The methods of calls, the oldest call first.
struct OpenMethods {
  static constexpr std::size_t kMax = 8;
  std::vector<std::string> oldest{};  ///< at most kMax
  std::size_t more = 0;               ///< number of methods that are not named
};

struct Death {
  std::string reason;
  // Set when the instance had a process of its own.
  std::optional<int> signal{};
  std::optional<int> exit_code{};
  OpenMethods calls{};  ///< calls that the instance had not answered

  std::string folder{};  ///< the working folder of its process

  /// {signal, core_pattern, core, exit_code, calls, more_calls}, as far as they are known.
  [[nodiscard]] json details() const;
};

/// Where the core file of a process that died by a signal is, for people. `pattern`: the kernel's
/// core_pattern; `none`: RLIMIT_CORE is 0.
[[nodiscard]] std::string core_text(const std::string& pattern, bool none, const std::string& folder);

/// The death that waitid() reports.
[[nodiscard]] inline Death death_of(const siginfo_t& info) {
  const int status = info.si_status;
  if (info.si_code == CLD_EXITED) return {.reason = "exit code " + std::to_string(status), .exit_code = status};
  return {.reason = "signal " + std::to_string(status) + " (" + ::strsignal(status) + ")", .signal = status};
}

/// Called once, on any thread, before the instance's open calls are answered.
using OnDeath = std::function<void(const std::shared_ptr<Plugin>& instance, const Death& death)>;

}  // namespace gantry::host
