// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library_copies.hpp: copies of plugins' libraries. The loader gives the old library for a path that it
// has opened before, and never closes one here: a new build is opened under another path, which nobody writes to.
//
// Thread rule: any thread; what copies blocks for the disk.
// Bounds: whoever takes a copy drops it, so there are two for each plugin at most; what an earlier host has left is
// removed first.
#pragma once

#include <filesystem>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <string>

namespace gantry::host {

class LibraryCopies {
 public:
  /// `folder` is made, for this user alone, when it is needed. Empty: no copies are to be had.
  explicit LibraryCopies(std::filesystem::path folder);

  /// A copy of `library` under a path that was not used before.
  [[nodiscard]] Result<std::filesystem::path> take(const std::string& name, const std::filesystem::path& library);
  /// Removes a copy, of which parts may still be in use. Empty: nothing.
  static void drop(const std::filesystem::path& copy);

 private:
  const std::filesystem::path folder_;
  Mutex mutex_{"library copies"};
  std::uint64_t taken_ GANTRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace gantry::host
