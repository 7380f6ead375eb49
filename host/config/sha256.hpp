// SPDX-License-Identifier: Apache-2.0
//
// host/config/sha256.hpp: SHA-256 (FIPS 180-4).
//
// It uses Nettle: loading libcrypto would cost each start of the program some milliseconds.
//
// Thread rule: a pure function.
#pragma once

#include <string>
#include <string_view>

namespace gantry::host {

/// 64 hexadecimal digits.
[[nodiscard]] std::string sha256(std::string_view bytes);

}  // namespace gantry::host
