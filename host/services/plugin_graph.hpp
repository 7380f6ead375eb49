// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_graph.hpp: the graph of which plugin needs which.
//
// Thread rule: constant once made.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "host/services/plugin_spec.hpp"

namespace gantry::host {

/// Marks plugins as out of order whose needs are missing, disabled, of a wrong version, out of
/// order themselves, or lead back to the plugin: `failure` says why, with the whole path.
void refuse_unmet_needs(std::vector<PluginSpec>& specs);

/// The graph of plugins whose needs are met. Lists are sorted by name; plugins that are out of
/// order have no edges.
class PluginGraph {
 public:
  explicit PluginGraph(const std::vector<PluginSpec>& specs);

  /// The plugins that it needs directly.
  [[nodiscard]] const std::vector<std::string>& needs_of(const std::string& name) const;
  /// The plugins that need it directly.
  [[nodiscard]] const std::vector<std::string>& needed_by(const std::string& name) const;
  /// The plugins that need it directly or through others, in order().
  [[nodiscard]] std::vector<std::string> dependents_of(const std::string& name) const;
  /// Every plugin after those that it needs; plugins of one level by name.
  [[nodiscard]] const std::vector<std::string>& order() const { return order_; }
  /// 0: it needs no plugin; else one more than the highest level that it needs.
  [[nodiscard]] std::size_t level_of(const std::string& name) const;

 private:
  std::map<std::string, std::vector<std::string>> needs_;
  std::map<std::string, std::vector<std::string>> needed_by_;
  std::map<std::string, std::size_t> levels_;
  std::vector<std::string> order_;
};

}  // namespace gantry::host
