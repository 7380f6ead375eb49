// SPDX-License-Identifier: Apache-2.0
//
// spawn.hpp: starts a program with its stdin, stdout and stderr in our hands.
//
// Thread rule: any thread; blocks until the program was executed, or was not.
#pragma once

#include <sys/types.h>

#include <gantry/result.hpp>
#include <string>
#include <vector>

#include "process.hpp"

namespace gantry::lsp {

struct Child {
  pid_t pid = -1;
  Fd pidfd;
  Fd input;   ///< a socket, non-blocking
  Fd output;  ///< a pipe, non-blocking
  Fd errors;  ///< a pipe, non-blocking
};

/// In a process group of its own, in `folder`, with the environment of this process, default signals, and no other
/// descriptor. `not_found`: no such program; `unavailable`: the system refuses.
[[nodiscard]] Result<Child> spawn_child(const std::vector<std::string>& command, const std::string& folder);

}  // namespace gantry::lsp
