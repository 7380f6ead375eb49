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

namespace gantry::host {

class Plugin;

struct Death {
  std::string reason;
  // Of its process, when it had one.
  std::optional<int> signal{};
  std::optional<int> exit_code{};

  [[nodiscard]] json details() const {
    json out = json::object();
    if (signal) out["signal"] = *signal;
    if (exit_code) out["exit_code"] = *exit_code;
    return out;
  }
};

/// As waitid() tells it.
[[nodiscard]] inline Death death_of(const siginfo_t& info) {
  const int status = info.si_status;
  if (info.si_code == CLD_EXITED) return {.reason = "exit code " + std::to_string(status), .exit_code = status};
  return {.reason = "signal " + std::to_string(status) + " (" + ::strsignal(status) + ")", .signal = status};
}

/// Told once, from any thread, before the instance's open calls are answered.
using OnDeath = std::function<void(const std::shared_ptr<Plugin>& instance, const Death& death)>;

}  // namespace gantry::host
