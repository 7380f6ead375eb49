// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/lsp/published.hpp: the diagnostics that several language servers have published, by document; and
// whose each is.
//
// Thread rule: none of its own.
// Bounds: kMaxDocuments of a server that have diagnostics: those of a further one are not known when another server
//   publishes, or the code actions of another are asked for.
#pragma once

#include <cstddef>
#include <gantry/json.hpp>
#include <map>
#include <string>
#include <vector>

namespace gantry::host {

class PublishedDiagnostics {
 public:
  static constexpr std::size_t kMaxDocuments = 16'384;

  explicit PublishedDiagnostics(std::size_t servers) : servers_(servers), pulled_(servers) {}

  /// Takes the params of a textDocument/publishDiagnostics, and gives them the diagnostics of the other servers, too.
  void merge(std::size_t server, json& params);
  /// The server is gone. Returns the params that say what the others have published, of each document of its.
  [[nodiscard]] std::vector<json> withdraw(std::size_t server);
  /// The server's answer to a textDocument/diagnostic.
  void pulled(std::size_t server, const std::string& uri, const json& report);
  /// Without those that only other servers than this have given.
  void leave_own(std::size_t server, const std::string& uri, json& diagnostics) const;

 private:
  struct Published {
    std::string uri;  // as the server spells it
    json diagnostics;
  };
  [[nodiscard]] json all(const std::string& key) const;
  [[nodiscard]] bool has(std::size_t server, const std::string& key, const json& diagnostic) const;

  std::vector<std::map<std::string, Published>> servers_;  // by the path that the URI names, or the URI
  std::vector<std::map<std::string, Published>> pulled_;
};

}  // namespace gantry::host
