// SPDX-License-Identifier: Apache-2.0
#include "uri.hpp"

#include <filesystem>

namespace gantry::lsp {

namespace {

[[nodiscard]] int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

[[nodiscard]] bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~' || c == '/' || c == ':';
}

[[nodiscard]] std::string shown(std::string_view text) {
  return text.size() <= 200 ? std::string(text) : std::string(text.substr(0, 197)) + "...";
}

}  // namespace

Result<std::string> to_path(std::string_view uri_or_path) {
  std::string path;
  if (uri_or_path.starts_with("/")) {
    path = uri_or_path;
  } else if (uri_or_path.starts_with("file://")) {
    std::string_view rest = uri_or_path.substr(7);
    if (rest.starts_with("localhost/")) rest.remove_prefix(9);
    for (std::size_t i = 0; i < rest.size(); ++i) {
      if (rest[i] == '%') {
        const int high = i + 2 < rest.size() ? hex(rest[i + 1]) : -1;
        const int low = i + 2 < rest.size() ? hex(rest[i + 2]) : -1;
        if (high < 0 || low < 0) {
          return fail(ErrorKind::invalid_params,
                      "uri " + shown(uri_or_path) + " has a '%' that no two hex digits follow");
        }
        path += static_cast<char>(high * 16 + low);
        i += 2;
      } else {
        path += rest[i];
      }
    }
  }
  if (!path.starts_with("/") || path.find('\0') != std::string::npos) {
    return fail(ErrorKind::invalid_params,
                "uri must be a file:// URI of this machine or an absolute path, not " + shown(uri_or_path));
  }
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  return normal;
}

std::string to_uri(std::string_view path) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string uri = "file://";
  for (const char c : path) {
    if (plain(c)) {
      uri += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      uri += '%';
      uri += kHex[byte >> 4];
      uri += kHex[byte & 15];
    }
  }
  return uri;
}

}  // namespace gantry::lsp
