// SPDX-License-Identifier: Apache-2.0
#include "tests/folders.hpp"

namespace gantry::folders {

const std::string& build() {
  static const std::string folder = GANTRY_BUILD_DIR;
  return folder;
}

const std::string& source() {
  static const std::string folder = GANTRY_SOURCE_DIR;
  return folder;
}

}  // namespace gantry::folders
