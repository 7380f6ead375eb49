// SPDX-License-Identifier: Apache-2.0
//
// notebooks.hpp: an editor's open notebooks with the texts of their cells, as its server knows them, for a restarted
// server.
//
// It follows the notebook notifications in the order in which the server gets them.
//
// Thread rule: one thread at a time.
// Bounds: kMaxBytes of notebooks, and TrackedDocuments::kMaxBytes of their cells' texts. Beyond that, or after an
//   invalid change, nothing is followed any more, and `lost()` says why: a replay would send wrong texts.
// Source: LSP 3.17, Notebook Document Synchronization.
#pragma once

#include <cstddef>
#include <functional>
#include <gantry/json.hpp>
#include <map>
#include <string>
#include <string_view>

#include "plugins/lsp/documents.hpp"

namespace gantry::lsp {

class TrackedNotebooks {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{16} << 20;

  [[nodiscard]] static bool concerns(std::string_view method) { return method.starts_with("notebookDocument/did"); }

  void set_encoding(Encoding encoding) { cells_.set_encoding(encoding); }
  /// Follows one notification; `params` is the raw text of its params.
  void follow(std::string_view method, std::string_view params);
  /// Why notebooks or texts are unknown; empty while they are known.
  [[nodiscard]] const std::string& lost() const { return lost_.empty() ? cells_.lost() : lost_; }
  /// True: none is open, and none is lost.
  [[nodiscard]] bool empty() const { return notebooks_.empty() && lost().empty(); }
  /// Sends a didOpen notification for each notebook.
  void replay(const std::function<void(std::string_view message)>& send) const;
  /// The state for restore() in the plugin's next instance.
  [[nodiscard]] json suspend() const;
  /// Throws json::exception when `suspended` does not come from suspend().
  void restore(const json& suspended);

 private:
  void open(const json& params);
  void keep(json notebook);
  void measure(const json& notebook);
  void change(const json& params);
  void close(const std::string& uri);
  [[nodiscard]] bool rearrange(json& cells, const json& structure);
  void lose(std::string why);

  std::map<std::string, json> notebooks_;  // by URI: each a NotebookDocument
  std::map<std::string, std::size_t> bytes_;
  TrackedDocuments cells_;
  std::string lost_;
};

}  // namespace gantry::lsp
