// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/request_state.hpp"

#include <fcntl.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "host/config/sha256.hpp"

namespace gantry::host::mcp {

namespace {

constexpr std::size_t kKeyDigits = 64;
constexpr std::string_view kHex = "0123456789abcdef";

[[nodiscard]] const std::uint8_t* bytes(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

[[nodiscard]] std::string hex(std::span<const std::uint8_t> digest) {
  constexpr unsigned kNibble = 4;
  std::string out;
  for (const std::uint8_t byte : digest) {
    out += kHex[byte >> kNibble];
    out += kHex[byte & 0xFU];
  }
  return out;
}

[[nodiscard]] std::unexpected<Error> failed(const std::filesystem::path& file, const char* what) {
  return fail(ErrorKind::unavailable,
              file.string() + " cannot be " + what + ": " + std::system_category().message(errno));
}

/// The key; empty: there is no file.
[[nodiscard]] Result<std::string> read_key(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOENT) return "";
  if (fd < 0) return failed(file, "opened");
  std::string key(kKeyDigits + 1, '\0');
  struct stat about{};
  const bool own = ::fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_uid == ::geteuid() &&
                   (about.st_mode & (S_IRWXG | S_IRWXO)) == 0;
  const ssize_t got = own ? ::read(fd, key.data(), key.size()) : 0;
  ::close(fd);
  key.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (key.size() != kKeyDigits || key.find_first_not_of(kHex) != std::string::npos)
    return fail(ErrorKind::unavailable, file.string() + " is no key that this user alone can read; remove it");
  return key;
}

}  // namespace

std::string random_key() {
  std::array<std::uint8_t, kKeyDigits / 2> key{};
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size()))
    throw std::runtime_error("the system gives no random bytes");
  return hex(key);
}

// The key is complete before it has its name: who finds the name reads all of it.
Result<std::string> shared_key(const std::filesystem::path& folder) {
  if (folder.empty()) return fail(ErrorKind::unavailable, "there is no state folder for a key");
  const auto file = folder / "mcp.key";
  auto found = read_key(file);
  if (!found || !found->empty()) return found;
  std::string fresh = (folder / "mcp.key.XXXXXX").string();
  const int fd = ::mkostemp(fresh.data(), O_CLOEXEC);  // 0600
  if (fd < 0) return failed(folder, "written to");
  const std::string key = random_key();
  const bool written = ::write(fd, key.data(), key.size()) == static_cast<ssize_t>(key.size());
  ::close(fd);
  const bool named = written && (::link(fresh.c_str(), file.c_str()) == 0 || errno == EEXIST);
  const auto why = named ? Result<std::string>() : failed(file, "written");
  ::unlink(fresh.c_str());
  if (!named) return why;
  return read_key(file);
}

Seal::Seal(std::string key, Clock clock) : key_(std::move(key)), clock_(std::move(clock)) {}

std::string Seal::mac(std::string_view end, std::string_view state, std::string_view request) const {
  hmac_sha256_ctx context{};
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest{};
  hmac_sha256_set_key(&context, key_.size(), bytes(key_));
  // Texts of fixed length, so that no two inputs run together to the same bytes.
  const std::string all = sha256(end) + sha256(state) + sha256(request);
  hmac_sha256_update(&context, all.size(), bytes(all));
  hmac_sha256_digest(&context, digest.size(), digest.data());
  return hex(digest);
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
  std::chrono::system_clock::rep until = 0;
  const auto [stop, failed] = std::from_chars(end.data(), end.data() + end.size(), until);
  if (failed != std::errc() || clock_().time_since_epoch().count() >= until) return std::nullopt;
  return std::string(state);
}

}  // namespace gantry::host::mcp
