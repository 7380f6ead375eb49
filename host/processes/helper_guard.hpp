// SPDX-License-Identifier: Apache-2.0
//
// host/processes/helper_guard.hpp: `gantry helper-guard`, the process between the host and one
// helper.
//
// A parent-death signal reaches neither grandchildren nor daemons, and a process group is left by setsid. So each
// helper has a guard, to which all that it starts falls when its own parents end (PR_SET_CHILD_SUBREAPER). The guard
// sleeps until the helper ends, or the host does, which it learns by the end of a socket that nobody else holds. Then
// it kills what is below it until nothing is left, and ends.
//
// On the socket are lines of JSON. From the host: what to start ({argv, environment, cwd, granted, asked}), then
// {"signal": N} for the helper's group. From the guard: {"pid": N, "notes": [...]} or {"error": ..., "kind": N}; at the
// end {"exit_code": N} or {"signal": N}, and when the guard itself has ended nothing of the helper is left.
//
// Not held: who kills the guard itself. Its helper dies of that by the parent-death signal, daemons of it do not. No
// helper can do that where the kernel has version 6 of Landlock.
#pragma once

namespace gantry::host {

/// With the helper's stdin, stdout and stderr as 0 to 2 and the socket as 3. The exit code. Never: more than one
/// thread.
int helper_guard();

}  // namespace gantry::host
