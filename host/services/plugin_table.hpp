// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_table.hpp: an immutable table of all plugins at one time. A reload makes
// another table; code that works with the old one keeps a reference to it.
//
// Thread rule: constant once made.
#pragma once

#include <algorithm>
#include <functional>
#include <gantry/result.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/services/plugin_graph.hpp"
#include "host/services/plugin_spec.hpp"

namespace gantry::host {

class PluginTable;
using PluginTablePtr = std::shared_ptr<const PluginTable>;
/// A reference to a plugin that also keeps its table.
using PluginSpecPtr = std::shared_ptr<const PluginSpec>;

class PluginTable {
 public:
  explicit PluginTable(std::vector<PluginSpec> specs);
  PluginTable(const PluginTable&) = delete;
  PluginTable& operator=(const PluginTable&) = delete;

  /// The plugins, sorted by name.
  [[nodiscard]] const std::vector<PluginSpec>& specs() const { return specs_; }
  [[nodiscard]] const PluginGraph& graph() const { return graph_; }
  /// nullptr: no plugin has this service.
  [[nodiscard]] const PluginSpec* of_service(std::string_view service) const;
  [[nodiscard]] bool has(std::string_view name) const {
    return std::ranges::binary_search(specs_, name, {}, &PluginSpec::name);
  }
  /// The plugin of that name, which must exist.
  [[nodiscard]] static PluginSpecPtr share(const PluginTablePtr& table, std::string_view name);
  /// The table with `next` in the place of the plugin of the same name. `unavailable`: `next`
  /// cannot run so, or another plugin could not run any more.
  [[nodiscard]] static Result<PluginTablePtr> with(const PluginTable& old, PluginSpec next);
  /// The table with further, new plugins. `unavailable`: a plugin of the old table could not run
  /// any more.
  [[nodiscard]] static Result<PluginTablePtr> adding(const PluginTable& old, std::vector<PluginSpec> fresh);
  /// The table with other trusted grants of the plugin `name`.
  [[nodiscard]] static PluginTablePtr trusting(const PluginTable& old, std::string_view name,
                                               std::vector<Grant> grants);

 private:
  /// Of these plugins. `unavailable`: `next`, or one that ran by the old one, cannot run.
  [[nodiscard]] static Result<PluginTablePtr> fitting(const PluginTable& old, std::vector<PluginSpec> specs,
                                                      const std::string& next);

  const std::vector<PluginSpec> specs_;
  const PluginGraph graph_;
  std::map<std::string, const PluginSpec*, std::less<>> services_;
};

}  // namespace gantry::host
