// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/open_files.hpp: the number of descriptors that a process may have open.
//
// The usual soft limit (1024) exists for programs that use select(); a host with a thousand clients
// needs more. Processes that the host starts begin with the limit that the host was started with.
//
// Thread rule: raise_open_files() before any thread is started; the other one from any thread.
#pragma once

#include <cstdint>

namespace gantry::host {

/// Raises the soft limit to the hard one, to 65,536 at most.
void raise_open_files();
/// The soft limit that this process was started with; kNoOpenFilesLimit where there was none.
[[nodiscard]] std::int64_t inherited_open_files();
inline constexpr std::int64_t kNoOpenFilesLimit = std::int64_t{1} << 30;  ///< more than any kernel allows

}  // namespace gantry::host
