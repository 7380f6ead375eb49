// SPDX-License-Identifier: Apache-2.0
//
// host/observe/private_folders.hpp: folders for the user alone.
//
// Thread rule: any thread.
#pragma once

#include <filesystem>
#include <system_error>

namespace gantry::host {

/// Makes `folder`, and those above it that are missing, with 0700. What exists stays as it is.
[[nodiscard]] std::error_code make_private_folders(const std::filesystem::path& folder);

}  // namespace gantry::host
