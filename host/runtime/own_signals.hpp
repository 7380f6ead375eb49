// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/own_signals.hpp: signal dispositions belong to the whole process, so a plugin inside
// the host may change those that the host depends on: to learn that it is to stop, how its children
// ended, and that nobody reads its output. The host restores them when the plugin has returned, and
// before it starts a process.
//
// A plugin's own handler for SIGCHLD harms nobody and stays, as do those for the signals of
// crashes.
//
// Thread rule: keep_signals() once; mend_signals() from any thread. It makes five system calls and
// does not block.
#pragma once

#include <string>

namespace gantry::host {

/// Called once, when the program's handlers are in place: keeps the dispositions of SIGTERM,
/// SIGINT, SIGHUP and SIGXFSZ.
void keep_signals();

/// Before there are threads: makes writing to a closed pipe an error, never a death, whatever the
/// disposition of SIGPIPE is.
void block_broken_pipes();

/// Restores the dispositions that the host needs: SIGCHLD not ignored, so that it learns how a
/// child ended, SIGPIPE ignored, and those that were kept. Returns the names of the changed
/// signals, for people; empty: none.
[[nodiscard]] std::string mend_signals();

}  // namespace gantry::host
