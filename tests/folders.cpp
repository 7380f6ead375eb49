// SPDX-License-Identifier: Apache-2.0
#include "tests/folders.hpp"

namespace gantry::test {

const std::string& build_dir() {
  static const std::string folder = GANTRY_BUILD_DIR;
  return folder;
}

const std::string& source_dir() {
  static const std::string folder = GANTRY_SOURCE_DIR;
  return folder;
}

}  // namespace gantry::test
