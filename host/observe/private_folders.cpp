// SPDX-License-Identifier: Apache-2.0
#include "host/observe/private_folders.hpp"

#include <sys/stat.h>

#include <cerrno>

namespace gantry::host {

std::error_code make_private_folders(const std::filesystem::path& folder) {
  if (folder.empty() || folder == folder.root_path()) return {};
  if (::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT) return {errno, std::generic_category()};
  if (auto error = make_private_folders(folder.parent_path())) return error;
  if (::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return {errno, std::generic_category()};
}

}  // namespace gantry::host
