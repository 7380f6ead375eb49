// SPDX-License-Identifier: Apache-2.0
//
// embedded/read_file.hpp: reads a regular file as text; it never waits on a file of another type.
//
// Thread rule: any thread; blocks on the disk.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace gantry::ai {

struct FileText {
  /// `absent`: there is no file, or it is not regular (a link, where links are not followed).
  enum class State { read, absent, refused } state = State::absent;
  std::string text;
  std::string why;  ///< for `refused`: the system's error text, or that the file is over `max_bytes`
};

enum class Links { follow, refuse };

[[nodiscard]] FileText read_regular(const std::filesystem::path& path, std::size_t max_bytes, Links links);

}  // namespace gantry::ai
