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

/// Methods of calls, the oldest call first.
struct OpenMethods {
  static constexpr std::size_t kMax = 8;
  std::vector<std::string> oldest{};  ///< at most kMax
  std::size_t more = 0;               ///< that are not named
};

struct Death {
  std::string reason;
  // Of its process, when it had one.
  std::optional<int> signal{};
  std::optional<int> exit_code{};
  OpenMethods calls{};  ///< that it had not answered

  std::string folder{};  ///< that its process worked in

  /// {signal, core_pattern, core, exit_code, calls, more_calls}, what there is of it.
  [[nodiscard]] json details() const;
};

/// What became of the core file of a process that died by a signal, for people. `pattern`: the kernel's; `none`:
/// RLIMIT_CORE is 0.
[[nodiscard]] std::string core_text(const std::string& pattern, bool none, const std::string& folder);

/// As waitid() tells it.
[[nodiscard]] inline Death death_of(const siginfo_t& info) {
  const int status = info.si_status;
  if (info.si_code == CLD_EXITED) return {.reason = "exit code " + std::to_string(status), .exit_code = status};
  return {.reason = "signal " + std::to_string(status) + " (" + ::strsignal(status) + ")", .signal = status};
}

/// Told once, from any thread, before the instance's open calls are answered.
using OnDeath = std::function<void(const std::shared_ptr<Plugin>& instance, const Death& death)>;

}  // namespace gantry::host
