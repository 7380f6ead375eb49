// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/own_signals.hpp: what is done about a signal is the whole process's, so that a plugin inside it may take
// from the host what the host depends on: to be told that it is to stop, how its children ended, that nobody reads what
// it writes. The host puts that right when the plugin has returned, and before it starts a process.
//
// A plugin's own handler for SIGCHLD harms nobody and stays, as do those for the signals of crashes.
//
// Thread rule: keep_signals() once; mend_signals() from any thread. It makes five system calls and blocks for nothing.
#pragma once

#include <string>

namespace gantry::host {

/// Once, by a program whose handlers are in place: what it does about SIGTERM, SIGINT, SIGHUP and SIGXFSZ from now on.
void keep_signals();

/// Before there are threads: to write where nobody reads is an error, never a death, whatever is done about SIGPIPE.
void block_broken_pipes();

/// Puts right what does not suit the host: SIGCHLD that is ignored, so that nobody learns how a child ended, SIGPIPE
/// that is not, and what was kept. The names of the signals, for people; empty: all was right.
[[nodiscard]] std::string mend_signals();

}  // namespace gantry::host
