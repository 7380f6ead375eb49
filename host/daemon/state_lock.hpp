// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/state_lock.hpp: a lock that gives a state folder to one host. The host holds the lock
// on STATE_DIR/host.lock, and writes into that file which process it is and on which socket it
// serves, so that a client finds the host whatever the client's own default socket would be.
//
// Thread rule: any thread; a StateLock is used by one thread at a time. The functions access the
// disk, and take() waits at most 100 ms, not at all with `waits` false.
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
  pid_t pid = 0;                 ///< 0: the host has not written it yet
  std::filesystem::path socket;  ///< empty: the host has not written it yet
  std::uint64_t born = 0;        ///< as in process_stat.hpp
  /// True: the process with that number, as seen from here, is this holder. False also when the
  /// holder runs on another machine that shares the folder, or in another container.
  [[nodiscard]] bool is_here() const;
};

/// nullopt: no host has the folder, or the holder cannot be found out.
[[nodiscard]] std::optional<StateHolder> find_state_holder(const std::filesystem::path& state_dir);
/// Makes the holder check whether its socket is in place. Does nothing where no host holds the
/// folder.
void wake_state_holder(const std::filesystem::path& state_dir);
/// The text "another gantry (pid 12, socket /run/...) has the state folder ...", with what to do.
[[nodiscard]] std::string held_by(const StateHolder& holder, const std::filesystem::path& state_dir);

class StateLock {
 public:
  /// Makes the folder (0700) where it is missing. `conflict`, with held_by(): another host has it.
  /// `storage_failed`: the folder cannot be written; the error says what to do.
  [[nodiscard]] static Result<StateLock> take(const std::filesystem::path& state_dir, bool waits = true);
  /// Writes into the file on which socket this host serves.
  void write_socket(const std::filesystem::path& socket) const;
  [[nodiscard]] bool in_place() const { return lock_.in_place(); }

 private:
  explicit StateLock(FileLock lock) : lock_(std::move(lock)) {}
  FileLock lock_;
};

}  // namespace gantry::host
