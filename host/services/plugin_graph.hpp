// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_graph.hpp: which plugin needs which.
//
// Thread rule: constant once made.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "host/services/plugin_spec.hpp"

namespace gantry::host {

/// A plugin whose needs are missing, disabled, of a wrong version, out of order themselves, or lead back to it, is out
/// of order: its `failure` says why, with the whole path.
void refuse_unmet_needs(std::vector<PluginSpec>& specs);

/// Of plugins whose needs are met. By name; those that are out of order need nobody and are needed by nobody.
class PluginGraph {
 public:
  explicit PluginGraph(const std::vector<PluginSpec>& specs);

  /// Directly.
  [[nodiscard]] const std::vector<std::string>& needs_of(const std::string& name) const;
  /// Those that need it, directly.
  [[nodiscard]] const std::vector<std::string>& needed_by(const std::string& name) const;
  /// Also by way of others, in order().
  [[nodiscard]] std::vector<std::string> dependents_of(const std::string& name) const;
  /// Every plugin after those that it needs; those of one level by name.
  [[nodiscard]] const std::vector<std::string>& order() const { return order_; }
  /// 0: it needs nobody; else one more than the highest level that it needs.
  [[nodiscard]] std::size_t level_of(const std::string& name) const;

 private:
  std::map<std::string, std::vector<std::string>> needs_;
  std::map<std::string, std::vector<std::string>> needed_by_;
  std::map<std::string, std::size_t> levels_;
  std::vector<std::string> order_;
};

}  // namespace gantry::host
