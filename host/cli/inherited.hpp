// SPDX-License-Identifier: Apache-2.0
//
// host/cli/inherited.hpp: what a parent hands down, and a daemon must not begin with.
//
// Thread rule: before any thread is started.
#pragma once

namespace gantry::host {

/// Opens descriptors 0 to 2 where they are closed, so that nothing else becomes one of them: 0 empty; 1 and 2 so that
/// what is written fails, as it would on a closed one.
void open_standard_descriptors();

/// What this process makes, its own user may use, whatever mask it was started with.
void keep_own_access();

/// For a daemon: an empty signal mask; default dispositions, but for SIGPIPE, which is ignored; no timer of the
/// parent's; no soft limit of processor time, address space and file size below the hard one; and descriptors 1 and 2
/// that can be written, /dev/null where they could not.
void drop_inherited();

/// As the first process of a container (pid 1), goes on in a second one, while the first one waits for every process
/// that loses its parent, passes on the signals that it is sent, and ends as the second one does. Else does nothing.
void continue_behind_first_process();

}  // namespace gantry::host
