// SPDX-License-Identifier: Apache-2.0
//
// The two folders that tests name. Only folders.cpp is compiled with their paths, so that no other
// object depends on the path of the clone, and ccache can reuse objects in every clone.
#pragma once

#include <string>

namespace gantry::folders {

/// The folder that this test was built in, absolute: build() + "/gantry" is the host.
[[nodiscard]] const std::string& build();

/// The folder of the sources, absolute.
[[nodiscard]] const std::string& source();

}  // namespace gantry::folders
