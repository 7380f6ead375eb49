// SPDX-License-Identifier: Apache-2.0
//
// understood.hpp: what a client of a shared server understands, by the capabilities that it has declared.
//
// Thread rule: constant after construction.
// Bounds: of the lists that a client declares only known names and numbers are kept.
#pragma once

#include <bitset>
#include <gantry/json.hpp>
#include <set>
#include <string>
#include <string_view>

namespace gantry::lsp {

/// Numbers of SymbolKind or CompletionItemKind.
using Kinds = std::bitset<32>;

struct Understood {
  /// A client that understands everything: nothing is cut.
  Understood();
  explicit Understood(const json& client_capabilities);

  /// True: what the server says under this method is cut down for the client, so cut() is called. For a request of the
  /// client it is the answer, for others the params; "initialize" stands for the server's capabilities.
  [[nodiscard]] bool cuts(std::string_view method) const { return cut_.contains(method); }
  /// True: the client may get this request of the server. Otherwise the broker answers it.
  [[nodiscard]] bool may_be_asked(std::string_view method) const { return !unasked_.contains(method); }
  /// True: the client takes registrations of this method.
  [[nodiscard]] bool registers(std::string_view method) const;

  std::set<std::string, std::less<>> links;  ///< methods that may be answered with LocationLinks
  bool hierarchical_symbols = true, symbol_tags = true, symbol_label = true;
  bool found_symbol_tags = true;  ///< in answers to workspace/symbol
  Kinds symbol_kinds, found_symbol_kinds;

  struct {
    bool snippets = true, insert_replace = true, commit_characters = true, deprecated = true, preselect = true,
         tags = true, insert_text_mode = true, label_details = true, markdown = true, apply_kind = true;
    Kinds kinds;
    std::set<std::string, std::less<>> defaults;  ///< of itemDefaults
  } completion;

  bool hover_markdown = true;
  struct {
    bool markdown = true, label_offsets = true, active_parameter = true, no_active_parameter = true;
  } signature;
  struct {
    bool literals = true, preferred = true, disabled = true, tags = true, annotations = true, documentation = true;
  } action;
  struct Edit {
    bool document_changes = true, create = true, rename = true, remove = true, annotations = true, snippets = true;
  } edit;
  bool rename_annotations = true, rename_prepared = true;
  struct Diagnostics {
    bool related = true, tags = true, code_description = true, data = true, version = true, markup = true,
         related_documents = true;
  };
  Diagnostics published, pulled;
  bool fold_kinds = true, fold_texts = true;
  bool link_tooltips = true;
  bool progress = true;  ///< of the server's own work
  bool relative_patterns = true;

 private:
  void note_needs();

  bool all_ = false;
  json registering_;                            // the client's capabilities, for registers()
  std::set<std::string, std::less<>> cut_;      // methods
  std::set<std::string, std::less<>> unasked_;  // methods
};

}  // namespace gantry::lsp
