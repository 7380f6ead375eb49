// SPDX-License-Identifier: Apache-2.0
//
// The two folders that tests name. Only folders.cpp is compiled with them, so that no other object
// depends on where the clone lies, and ccache can give it to every clone.
#pragma once

#include <string>

namespace gantry::folders {

/// The folder that this test was built in, absolute: build() + "/gantry" is the host.
[[nodiscard]] const std::string& build();

/// The folder of the sources, absolute.
[[nodiscard]] const std::string& source();

}  // namespace gantry::folders
