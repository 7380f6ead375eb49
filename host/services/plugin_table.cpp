// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_table.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace gantry::host {

PluginTable::PluginTable(std::vector<PluginSpec> specs) : specs_(std::move(specs)), graph_(specs_) {
  for (const auto& spec : specs_) {
    if (!spec.manifest) continue;
    for (const auto& service : spec.manifest->services) {
      const auto [at, is_new] = services_.emplace(service, &spec);
      if (!is_new && spec.enabled) at->second = &spec;  // the other one is disabled
    }
  }
}

const PluginSpec* PluginTable::of_service(std::string_view service) const {
  const auto it = services_.find(service);
  return it == services_.end() ? nullptr : it->second;
}

PluginSpecPtr PluginTable::share(const PluginTablePtr& table, std::string_view name) {
  return {table, &*std::ranges::lower_bound(table->specs_, name, {}, &PluginSpec::name)};
}

PluginTablePtr PluginTable::trusting(const PluginTable& old, std::string_view name, std::vector<Grant> grants) {
  std::vector<PluginSpec> specs = old.specs_;
  std::ranges::lower_bound(specs, name, {}, &PluginSpec::name)->trusted = std::move(grants);
  return std::make_shared<const PluginTable>(std::move(specs));
}

Result<PluginTablePtr> PluginTable::adding(const PluginTable& old, std::vector<PluginSpec> fresh) {
  std::vector<PluginSpec> specs = old.specs_;
  specs.insert(specs.end(), std::move_iterator(fresh.begin()), std::move_iterator(fresh.end()));
  std::ranges::sort(specs, {}, &PluginSpec::name);
  return fitting(old, std::move(specs), {});
}

Result<PluginTablePtr> PluginTable::with(const PluginTable& old, PluginSpec next) {
  std::vector<PluginSpec> specs = old.specs_;
  const std::string name = next.name;
  *std::ranges::lower_bound(specs, name, {}, &PluginSpec::name) = std::move(next);
  return fitting(old, std::move(specs), name);
}

// Who has a manifest and does not run waits for what it needs: that is looked at anew.
Result<PluginTablePtr> PluginTable::fitting(const PluginTable& old, std::vector<PluginSpec> specs,
                                            const std::string& next) {
  for (auto& spec : specs) {
    if (spec.manifest) spec.failure.clear();
  }
  refuse_what_does_not_fit(specs);
  for (const auto& spec : specs) {
    if (spec.failure.empty()) continue;
    if (spec.name == next)
      return fail(ErrorKind::unavailable, "plugin " + spec.name + " is out of order: " + spec.failure);
    const auto before = std::ranges::lower_bound(old.specs_, spec.name, {}, &PluginSpec::name);
    const bool ran = before != old.specs_.end() && before->name == spec.name && before->failure.empty();
    if (ran && spec.enabled)
      return fail(ErrorKind::unavailable, "plugin " + spec.name + " could not run any more: " + spec.failure);
  }
  return std::make_shared<const PluginTable>(std::move(specs));
}

}  // namespace gantry::host
