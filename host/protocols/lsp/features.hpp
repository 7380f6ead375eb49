// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/lsp/features.hpp: what a language server can do, by its answer to `initialize` and its registrations;
// and what several can do together.
//
// Source: LSP 3.18, ServerCapabilities and client/registerCapability.
// Thread rule: none of its own.
// Bounds: kMaxRegistrations; of further ones nothing is known here.
#pragma once

#include <cstddef>
#include <gantry/json.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

class ServerFeatures {
 public:
  static constexpr std::size_t kMaxRegistrations = 4096;

  void declare(json capabilities) { capabilities_ = std::move(capabilities); }
  /// The params of client/registerCapability, and of client/unregisterCapability.
  void add(const json& params);
  void remove(const json& params);

  [[nodiscard]] const json& capabilities() const { return capabilities_; }
  /// The ids of the registrations in force, each with its method.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> registrations() const;

  /// A request of this method is answered. Methods that the specification does not know are not.
  [[nodiscard]] bool supports(std::string_view method) const;
  /// textDocument/completion or textDocument/codeAction: its items can be resolved.
  [[nodiscard]] bool resolves_items_of(std::string_view method) const;
  [[nodiscard]] bool has_command(const std::string& command) const;
  /// textDocument/completion or textDocument/signatureHelp: this character asks for it.
  [[nodiscard]] bool is_triggered_by(std::string_view method, const std::string& character) const;
  /// The characters that accept any item of its completions; null: none.
  [[nodiscard]] json commit_characters() const;
  /// It gives the diagnostics with this identifier (null: without one) when it is asked.
  [[nodiscard]] bool gives_diagnostics_of(const json& identifier) const;

 private:
  struct Registration {
    std::string method;
    json options;
  };
  /// Valid until something is declared, added or removed.
  [[nodiscard]] std::vector<const json*> options_of(std::string_view method) const;

  json capabilities_ = json::object();
  std::map<std::string, Registration> registrations_;
};

/// The request whose answers have the items that `method` resolves or goes on from, such as textDocument/codeLens for
/// codeLens/resolve; `method` itself: there is none.
[[nodiscard]] std::string_view origin_of(std::string_view method);

/// The method is one of the specification's, so it concerns servers that say so.
[[nodiscard]] bool is_specified(std::string_view method);

/// What an editor is told of several servers, the first of which counts most.
[[nodiscard]] json merged_capabilities(const std::vector<const json*>& servers);

}  // namespace gantry::host
