// SPDX-License-Identifier: Apache-2.0
//
// host/processes/helper_guard.hpp: `gantry helper-guard`, the process between the host and one
// helper.
//
// A parent-death signal reaches neither grandchildren nor daemons, and a process can leave its
// group by setsid. So each helper has a guard, which adopts all processes of the helper whose
// parents end (PR_SET_CHILD_SUBREAPER). The guard sleeps until the helper ends, or the host does,
// which it learns by the end of a socket that nobody else holds. Then it kills the processes below
// it until none is left, and ends.
//
// On the socket are lines of JSON. From the host: what to start ({argv, environment, cwd, granted,
// asked}), then {"signal": N} for the helper's group. From the guard: {"pid": N, "notes": [...]} or
// {"error": ..., "kind": N}; at the end {"exit_code": N} or {"signal": N}, and when the guard
// itself has ended nothing of the helper is left.
//
// A process that kills the guard itself escapes this: the helper then dies by the parent-death
// signal, its daemons do not. No helper can kill its guard where the kernel has version 6 of
// Landlock.
#pragma once

namespace gantry::host {

/// Runs with the helper's stdin, stdout and stderr as 0 to 2 and the socket as 3. Returns the exit
/// code. Never has more than one thread.
int helper_guard();

}  // namespace gantry::host
