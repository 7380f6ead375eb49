// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/request_state.hpp"

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <sys/random.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include "host/config/sha256.hpp"

namespace gantry::host::mcp {

namespace {

constexpr std::size_t kKeyBytes = 32;

[[nodiscard]] std::string random_key() {
  std::string key(kKeyBytes, '\0');
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size()))
    throw std::runtime_error("the system gives no random bytes");
  return key;
}

[[nodiscard]] const std::uint8_t* bytes(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

}  // namespace

Seal::Seal(Clock clock) : clock_(std::move(clock)), key_(random_key()) {}

std::string Seal::mac(std::string_view end, std::string_view state, std::string_view request) const {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr unsigned kNibble = 4;
  hmac_sha256_ctx context{};
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest{};
  hmac_sha256_set_key(&context, key_.size(), bytes(key_));
  // Texts of fixed length, so that no two inputs run together to the same bytes.
  const std::string all = sha256(end) + sha256(state) + sha256(request);
  hmac_sha256_update(&context, all.size(), bytes(all));
  hmac_sha256_digest(&context, digest.size(), digest.data());
  std::string out;
  for (const std::uint8_t byte : digest) {
    out += kHex[byte >> kNibble];
    out += kHex[byte & 0xFU];
  }
  return out;
}

std::string Seal::sealed(std::string_view state, std::string_view request) const {
  const auto end = std::to_string((clock_() + kLifetime).time_since_epoch().count());
  return mac(end, state, request) + "." + end + "." + std::string(state);
}

std::optional<std::string> Seal::opened(std::string_view text, std::string_view request) const {
  const auto first = text.find('.');
  const auto second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const std::string_view said = text.substr(0, first);
  const std::string_view end = text.substr(first + 1, second - first - 1);
  const std::string_view state = text.substr(second + 1);
  const std::string right = mac(end, state, request);
  if (said.size() != right.size() || nettle_memeql_sec(said.data(), right.data(), right.size()) == 0)
    return std::nullopt;
  std::chrono::steady_clock::rep until = 0;
  const auto [stop, failed] = std::from_chars(end.data(), end.data() + end.size(), until);
  if (failed != std::errc() || clock_().time_since_epoch().count() >= until) return std::nullopt;
  return std::string(state);
}

}  // namespace gantry::host::mcp
