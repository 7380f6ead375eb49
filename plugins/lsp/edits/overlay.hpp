// SPDX-License-Identifier: Apache-2.0
//
// overlay.hpp: texts that a server is shown for a moment, instead of those on the disk (shared_overlay.cpp).
//
// Thread rule: a value.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace gantry::lsp {

struct Overlay {
  /// All other callers of the server wait for no longer than this.
  static constexpr std::chrono::seconds kMaxTime{30};

  struct File {
    std::string path;
    std::string quoted_before;  ///< the text on the disk, as JSON
    std::size_t hash_before = 0;
    std::string quoted_after;
  };
  std::vector<File> files;  ///< in the order in which the server gets them
};

}  // namespace gantry::lsp
