// SPDX-License-Identifier: Apache-2.0
//
// standing.hpp: what a server has standing at its editor: progress that has begun, what it has
// registered, and the files for which it has published diagnostics. When the server dies and
// another takes its place without a word, that is ended in its name: the next one opens the same
// documents, but need not say anything of other files, or of those without errors.
//
// Thread rule: one thread at a time.
// Bounds: kMaxProgress, kMaxRegistrations and kMaxDiagnosed, whose URIs have kMaxUri bytes; what is
//   beyond is not followed, so not ended either.
#pragma once

#include <cstddef>
#include <gantry/json.hpp>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

class Standing {
 public:
  static constexpr std::size_t kMaxProgress = 1024;
  static constexpr std::size_t kMaxRegistrations = 1024;
  static constexpr std::size_t kMaxDiagnosed = 4096;
  static constexpr std::size_t kMaxUri = 4096;

  [[nodiscard]] static bool concerns(std::string_view method) {
    return method == "$/progress" || method == "client/registerCapability" || method == "client/unregisterCapability" ||
           method == "textDocument/publishDiagnostics";
  }
  /// The server said this to the editor. `params`: the raw text.
  void follow(std::string_view method, std::string_view params);
  /// The messages that end all of it; nothing stands any more. `id`: the raw id of the request among them.
  [[nodiscard]] std::vector<std::string> end(const std::string& id);

  /// Something has begun that has not ended.
  [[nodiscard]] bool in_progress() const { return !progress_.empty(); }

  [[nodiscard]] json suspend() const;
  /// Throws json::exception when it is not what suspend() returns.
  void restore(const json& suspended);

 private:
  std::set<std::string> progress_;                    ///< raw tokens
  std::map<std::string, std::string> registrations_;  ///< their methods, by id
  std::set<std::string> diagnosed_;                   ///< raw URIs whose last list was not empty
};

}  // namespace gantry::lsp
