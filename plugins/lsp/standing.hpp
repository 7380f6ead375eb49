// SPDX-License-Identifier: Apache-2.0
//
// standing.hpp: the state of a server at its editor: progress that has begun, registrations, and
// the files for which the server has published diagnostics. When the server dies and another
// silently replaces it, this state is ended in the server's name: the next server opens the same
// documents, but need not publish anything for other files, or for those without errors.
//
// Thread rule: one thread at a time.
// Bounds: kMaxProgress, kMaxRegistrations and kMaxDiagnosed, whose URIs have at most kMaxUri bytes;
//   state beyond that is not followed, and so not ended either.
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
  /// Follows a message of the server to the editor. `params`: the raw text of its params.
  void follow(std::string_view method, std::string_view params);
  /// Returns the messages that end all of the state, and clears it. `id`: the raw id for the
  /// request among them.
  [[nodiscard]] std::vector<std::string> end(const std::string& id);

  /// Withdraws the diagnostics of the document with this key (documents.hpp), and returns the messages that do so.
  [[nodiscard]] std::vector<std::string> withdraw(const std::string& key);

  /// True: some progress has begun and not ended.
  [[nodiscard]] bool in_progress() const { return !progress_.empty(); }
  /// The raw tokens of what has begun and not ended.
  [[nodiscard]] const std::set<std::string>& progress() const { return progress_; }

  [[nodiscard]] json suspend() const;
  /// Throws json::exception when `suspended` does not come from suspend().
  void restore(const json& suspended);

 private:
  std::set<std::string> progress_;                    ///< raw tokens
  std::map<std::string, std::string> registrations_;  ///< methods, by id
  std::set<std::string> diagnosed_;                   ///< raw URIs whose last list was not empty
};

}  // namespace gantry::lsp
