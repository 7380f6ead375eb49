// SPDX-License-Identifier: Apache-2.0
//
// gantry/file_uri.hpp: converts `file:` URIs to paths and back. Two spellings of one file give one
// path, and one path gives one URI.
//
// RFC 8089, as editors and servers really write it: with one slash, three, or the host "localhost";
// with any characters percent-encoded, in either case, or none; with a slash at the end of a
// folder. A character that a URI may not contain (a space, a bracket, a byte above 127) stands for
// itself, and so do '?' and '#': a file has no query, and C# is a folder's name. Boost.URL, which
// reads the addresses in the configuration, refuses the first kind and cuts off at the second; and
// the sdk consists of headers without a library.
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <filesystem>
#include <gantry/result.hpp>
#include <string>
#include <string_view>

namespace gantry {

namespace detail {

[[nodiscard]] inline int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Compares ASCII letters without their case. `word` is in lower case.
[[nodiscard]] inline bool begins_with_word(std::string_view text, std::string_view word) {
  if (text.size() < word.size()) return false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != word[i]) return false;
  }
  return true;
}

[[nodiscard]] inline std::unexpected<Error> no_file_uri(std::string_view uri, const std::string& why) {
  constexpr std::size_t kShown = 200;
  const std::string shown = uri.size() <= kShown ? std::string(uri) : std::string(uri.substr(0, kShown - 3)) + "...";
  return fail(ErrorKind::invalid_params, "uri " + shown + " " + why);
}

}  // namespace detail

/// True: the URI has the scheme `file`. Whether it names a file of this machine is for to_path() to
/// say.
[[nodiscard]] inline bool is_file_uri(std::string_view uri) { return detail::begins_with_word(uri, "file:"); }

/// The absolute, lexically normal path, without a slash at its end, of a `file:` URI or of an
/// absolute path. `invalid_params`: another scheme, another host, a relative path, malformed
/// percent-encoding, a zero byte.
[[nodiscard]] inline Result<std::string> to_path(std::string_view uri_or_path) {
  std::string path;
  if (uri_or_path.starts_with("/")) {
    path = uri_or_path;
  } else if (is_file_uri(uri_or_path)) {
    std::string_view rest = uri_or_path.substr(std::string_view("file:").size());
    if (rest.starts_with("//")) {
      rest.remove_prefix(2);
      const auto host = rest.substr(0, rest.find('/'));
      if (!host.empty() && !(host.size() == 9 && detail::begins_with_word(host, "localhost")))
        return detail::no_file_uri(uri_or_path, "names the host \"" + std::string(host.substr(0, 100)) +
                                                    "\"; only files of this machine can be used");
      rest.remove_prefix(host.size());
    }
    for (std::size_t i = 0; i < rest.size(); ++i) {
      if (rest[i] != '%') {
        path += rest[i];
        continue;
      }
      const int high = i + 2 < rest.size() ? detail::hex_digit(rest[i + 1]) : -1;
      const int low = i + 2 < rest.size() ? detail::hex_digit(rest[i + 2]) : -1;
      if (high < 0 || low < 0) return detail::no_file_uri(uri_or_path, "has a '%' that no two hex digits follow");
      path += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  if (!path.starts_with("/") || path.find('\0') != std::string::npos)
    return detail::no_file_uri(uri_or_path, "is neither a file: URI of this machine nor an absolute path");
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

/// `file://` and the path; all characters are percent-encoded except unreserved ones, '/' and ':'.
[[nodiscard]] inline std::string to_uri(std::string_view path) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~' || c == '/' || c == ':';
  };
  std::string uri = "file://";
  for (const char c : path) {
    if (plain(c)) {
      uri += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    uri += '%';
    uri += kHex[byte >> 4];
    uri += kHex[byte & 15];
  }
  return uri;
}

}  // namespace gantry
