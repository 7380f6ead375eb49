// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/state_lock.hpp: which host has a state folder. It holds the lock on
// STATE_DIR/host.lock, and says in that file who it is and on which socket it serves, so that a
// client finds it whatever the client's own socket would be.
//
// Thread rule: any thread; a StateLock is told by one thread at a time. They touch the disk, and take()
// waits at most 100 ms, not at all with `waits` false.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <gantry/result.hpp>
#include <optional>
#include <string>

#include "host/runtime/file_lock.hpp"

namespace gantry::host {

struct StateHolder {
  pid_t pid = 0;                 ///< 0: it has not said so yet
  std::filesystem::path socket;  ///< empty: it has not said so yet
  std::uint64_t born = 0;        ///< as in process_stat.hpp
  /// Is the process of that number, seen from here, this holder? Not where it runs on another machine that shares the
  /// folder, or in another container.
  [[nodiscard]] bool is_here() const;
};

/// nullopt: nobody has it, or who has it cannot be found out.
[[nodiscard]] std::optional<StateHolder> find_state_holder(const std::filesystem::path& state_dir);
/// Makes the holder look whether its socket is in place. Does nothing where nobody holds the folder.
void wake_state_holder(const std::filesystem::path& state_dir);
/// "another gantry (pid 12, socket /run/...) has the state folder ..." and what to do.
[[nodiscard]] std::string held_by(const StateHolder& holder, const std::filesystem::path& state_dir);

class StateLock {
 public:
  /// Makes the folder (0700) where none is. `conflict`, with held_by(): another host has it. `storage_failed`: the
  /// folder cannot be written, and what to do.
  [[nodiscard]] static Result<StateLock> take(const std::filesystem::path& state_dir, bool waits = true);
  /// Says on which socket this host serves.
  void write_socket(const std::filesystem::path& socket) const;
  [[nodiscard]] bool in_place() const { return lock_.in_place(); }

 private:
  explicit StateLock(FileLock lock) : lock_(std::move(lock)) {}
  FileLock lock_;
};

}  // namespace gantry::host
