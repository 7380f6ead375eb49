// SPDX-License-Identifier: Apache-2.0
//
// watched_globs.hpp: the files that a language server has asked to hear of, as it has registered them for
// workspace/didChangeWatchedFiles (DidChangeWatchedFilesRegistrationOptions of LSP 3.18).
//
// A pattern that begins with a slash is compared with the whole path, every other with the path below each of the
// workspace's folders, and a RelativePattern with the path below its base. `*` and `?` match within one component, `**`
// as a component matches any number of them, `{a,b}` is one of the alternatives, which may have slashes and nest,
// `[a-z]` and `[!a-z]` are characters. A byte counts as a character.
//
// Bounds: kMaxAlternatives, kMaxBraces and kMaxPattern bytes of one pattern, kMaxGlobs in all. A server that registers
//   more is told of all files.
//
// Thread rule: constant after construction.
#pragma once

#include <cstddef>
#include <gantry/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/watch.hpp"

namespace gantry::lsp {

class WatchedGlobs {
 public:
  static constexpr std::size_t kMaxAlternatives = 256;
  static constexpr std::size_t kMaxGlobs = 4096;
  static constexpr std::size_t kMaxPattern = 4096;
  static constexpr std::ptrdiff_t kMaxBraces = 32;

  /// Nothing is asked for.
  WatchedGlobs() = default;
  /// `registrations`: arrays of Registration objects, those of other methods among them. What is malformed is left out.
  WatchedGlobs(const std::vector<json>& registrations, const std::vector<std::string>& folders);

  [[nodiscard]] bool empty() const { return globs_.empty(); }
  /// The server wants to hear of some kind of change of this file.
  [[nodiscard]] bool wants(std::string_view path) const { return kinds_of(path) != 0; }
  [[nodiscard]] bool wants(std::string_view path, FileChange change) const;
  /// The folders below which patterns with wildcards may match.
  [[nodiscard]] std::vector<std::string> places() const;
  [[nodiscard]] bool operator==(const WatchedGlobs&) const = default;

 private:
  /// One alternative of a pattern: the components of paths below `base`.
  struct Glob {
    std::string base;  ///< ends with a slash
    std::vector<std::string> components;
    unsigned kinds = 0;
    [[nodiscard]] bool operator==(const Glob&) const = default;
  };
  void add(const std::string& base, std::string_view pattern, unsigned kinds);
  [[nodiscard]] unsigned kinds_of(std::string_view path) const;

  std::vector<Glob> globs_;
};

}  // namespace gantry::lsp
