// SPDX-License-Identifier: Apache-2.0
//
// embedded/read_file.hpp: a regular file as text, without ever waiting for one that is something
// else.
//
// Thread rule: any thread; blocks on the disk.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace gantry::ai {

struct FileText {
  /// `absent`: there is none, or it is no regular file (a link, where links are not followed).
  enum class State { read, absent, refused } state = State::absent;
  std::string text;
  std::string why;  ///< of `refused`: the system's words, or that it is over `max_bytes`
};

enum class Links { follow, refuse };

[[nodiscard]] FileText read_regular(const std::filesystem::path& path, std::size_t max_bytes, Links links);

}  // namespace gantry::ai
