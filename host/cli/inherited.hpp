// SPDX-License-Identifier: Apache-2.0
//
// host/cli/inherited.hpp: cleans up state that a process inherits from its parent and that a daemon
// must not have.
//
// Thread rule: before any thread is started.
#pragma once

namespace gantry::host {

/// Opens descriptors 0 to 2 where they are closed, so that no other file becomes one of them: 0 is
/// empty; writing to 1 and 2 fails, as it would on a closed descriptor.
void open_standard_descriptors();

/// Ensures that the user can access the files that this process makes, whatever umask it was
/// started with.
void keep_own_access();

/// For a daemon: an empty signal mask; default dispositions, except SIGPIPE, which is ignored; no
/// timer of the parent; no soft limit of processor time, address space or file size below the hard
/// limit; and descriptors 1 and 2 that can be written, /dev/null where they could not.
void drop_inherited();

/// As the first process of a container (pid 1): goes on in a child process, while the first process
/// reaps every orphan, passes on the signals that it is sent, and ends as the child does. Else does
/// nothing.
void continue_behind_first_process();

}  // namespace gantry::host
