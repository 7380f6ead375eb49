// SPDX-License-Identifier: Apache-2.0
#include "host/config/sha256.hpp"

#include <nettle/sha2.h>

#include <array>
#include <cstdint>

namespace gantry::host {

std::string sha256(std::string_view bytes) {
  sha256_ctx context{};
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest{};
  sha256_init(&context);
  sha256_update(&context, bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));
  sha256_digest(&context, digest.size(), digest.data());
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const auto byte : digest) {
    out += kHex[byte >> 4U];
    out += kHex[byte & 15U];
  }
  return out;
}

}  // namespace gantry::host
