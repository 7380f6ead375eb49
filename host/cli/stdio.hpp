// SPDX-License-Identifier: Apache-2.0
//
// host/cli/stdio.hpp: what the commands share that speak a protocol on standard input and output.
//
// Thread rule: any thread.
#pragma once

#include <string>
#include <string_view>

namespace gantry::host {

/// Writes all of it, and waits while the reader does not read. False: it cannot be written.
[[nodiscard]] bool write_all(int fd, std::string_view text);

/// The working folder; empty: nobody knows it.
[[nodiscard]] std::string working_folder();

}  // namespace gantry::host
