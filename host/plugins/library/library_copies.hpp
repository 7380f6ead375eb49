// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library/library_copies.hpp: copies of plugins' libraries; the host runs the copies.
// Nobody writes to a copy, whereas a write to a library that runs changes, or ends, the process.
// And the loader returns the old library for a path that it has opened before, and never closes one
// here: so a new build is opened under another path.
//
// Thread rule: any thread; functions that copy block on the disk.
// Bounds: the code that takes a copy drops it, so there are at most two for each plugin; copies of
// hosts that are gone are removed first. A copy in memory exists until the process ends.
#pragma once

#include <filesystem>
#include <gantry/descriptor.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <string>
#include <vector>

namespace gantry::host {

class LibraryCopies {
 public:
  /// `folder` is made, for this user alone, when it is needed. Empty: there is no folder.
  explicit LibraryCopies(std::filesystem::path folder);

  /// Makes a consistent copy of `library` in the folder, under a path that was not used before.
  /// `unavailable`: the library cannot be read. `storage_failed`: the copy cannot be written, or no
  /// program may be run from the folder. `conflict`: the library is being written all the time.
  [[nodiscard]] Result<std::filesystem::path> take(const std::string& name, const std::filesystem::path& library);
  /// As take(), but in this process's memory where the folder cannot be used. The path is
  /// meaningless in other processes.
  [[nodiscard]] Result<std::filesystem::path> take_anywhere(const std::string& name,
                                                            const std::filesystem::path& library);
  /// Removes a copy; parts of it may still be in use. Empty: does nothing.
  static void drop(const std::filesystem::path& copy);

 private:
  [[nodiscard]] Result<std::filesystem::path> take_in_memory(const std::string& name,
                                                             const std::filesystem::path& library);

  const std::filesystem::path folder_;
  Mutex mutex_{"library copies"};
  std::uint64_t taken_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::vector<Descriptor> in_memory_ GANTRY_GUARDED_BY(mutex_);  ///< kept open, so their numbers are never used again
};

}  // namespace gantry::host
