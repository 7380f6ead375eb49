// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library/library_copies.hpp: copies of plugins' libraries, which are what the host
// runs. Nobody writes to a copy; who writes over a library that runs changes, or ends, the process
// that runs it. And the loader gives the old library for a path that it has opened before, and
// never closes one here: a new build is opened under another path.
//
// Thread rule: any thread; what copies blocks for the disk.
// Bounds: whoever takes a copy drops it, so there are two for each plugin at most; what hosts that are gone have left
// is removed first. A copy in memory is there until the process ends.
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
  /// `folder` is made, for this user alone, when it is needed. Empty: there is none.
  explicit LibraryCopies(std::filesystem::path folder);

  /// A copy of `library` in the folder, under a path that was not used before, as it was at one time. `unavailable`:
  /// the library cannot be read. `storage_failed`: the copy cannot be written, or no program may be run from there.
  /// `conflict`: the library is being written all the time.
  [[nodiscard]] Result<std::filesystem::path> take(const std::string& name, const std::filesystem::path& library);
  /// The same, but in this process's memory where the folder will not do. The path means nothing to other processes.
  [[nodiscard]] Result<std::filesystem::path> take_anywhere(const std::string& name,
                                                            const std::filesystem::path& library);
  /// Removes a copy, of which parts may still be in use. Empty: nothing.
  static void drop(const std::filesystem::path& copy);

 private:
  [[nodiscard]] Result<std::filesystem::path> take_in_memory(const std::string& name,
                                                             const std::filesystem::path& library);

  const std::filesystem::path folder_;
  Mutex mutex_{"library copies"};
  std::uint64_t taken_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::vector<Descriptor> in_memory_ GANTRY_GUARDED_BY(mutex_);  ///< their numbers are never used again
};

}  // namespace gantry::host
