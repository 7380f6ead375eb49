// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace gantry {

/// The version of the host, of the sdk, and of the plugins that come with the host. This is its
/// only definition: CMake reads this line.
inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace gantry
