// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_registry.hpp"

#include <gantry/params.hpp>
#include <utility>

namespace gantry::host {

PluginBuild PluginRegistry::build_of(const std::string& plugin) const {
  auto all = table();
  auto spec = PluginTable::share(all, plugin);
  return {std::move(all), std::move(spec)};
}

Result<void> PluginRegistry::check_name(const std::string& plugin) const {
  const auto all = table();
  if (all->has(plugin)) return {};
  std::vector<std::string> names;
  for (const auto& spec : all->specs()) names.push_back(spec.name);
  return fail(ErrorKind::not_found, "no plugin is named " + plugin + did_you_mean(plugin, names, ""));
}

Result<PluginRegistry::Method> PluginRegistry::find(std::string_view method) const {
  const std::string_view service = method.substr(0, method.find('.'));
  const auto all = table();
  const PluginSpec* const owner = all->of_service(service);
  if (owner == nullptr) {
    std::string hint;
    for (const auto& spec : all->specs()) {
      if (spec.failure.empty()) continue;
      hint += (hint.empty() ? "; out of order: " : ", ") + spec.name;
      if (spec.name == service) hint += " (" + spec.failure + ")";  // whose service it would be, most likely
    }
    return fail(ErrorKind::method_not_found, "no such method: " + std::string(method.substr(0, 100)) + hint);
  }
  const PluginSpec& spec = *owner;
  const auto found = spec.manifest->methods.find(std::string(method));
  if (found == spec.manifest->methods.end()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : spec.manifest->methods) names.push_back(name);
    return fail(ErrorKind::method_not_found, "plugin " + spec.name + " has no method " +
                                                 std::string(method.substr(0, 100)) + did_you_mean(method, names, ""));
  }
  if (auto refused = spec.refusal()) return std::unexpected(std::move(*refused));
  return Method{{all, &spec}, &found->second};
}

std::vector<std::string> PluginRegistry::activated_by(std::string_view when) const {
  std::vector<std::string> out;
  const auto all = table();
  for (const auto& spec : all->specs()) {
    if (!spec.refusal() && spec.manifest->activated_by(when)) out.push_back(spec.name);
  }
  return out;
}

Result<PluginRegistry::Change> PluginRegistry::begin_change(const std::string& again, bool renewal) {
  const Lock lock(mutex_);
  while ((renewal || renewing_) && changing_ && !stopping_) changed_.wait(mutex_);
  if (stopping_) return fail(ErrorKind::unavailable, "the host is stopping");
  if (changing_) return fail(ErrorKind::conflict, "another reload runs; " + again + " when it has ended");
  changing_ = true;
  renewing_ = renewal;
  return Change(*this);
}

std::optional<PluginRegistry::Change> PluginRegistry::try_change() {
  const Lock lock(mutex_);
  if (stopping_ || changing_) return std::nullopt;
  changing_ = renewing_ = true;
  return Change(*this);
}

void PluginRegistry::end_change() {
  const Lock lock(mutex_);
  changing_ = false;
  renewing_ = false;
  changed_.notify_all();
}

void PluginRegistry::stop() {
  const Lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

PluginTablePtr PluginRegistry::publish(PluginTablePtr next) {
  const Lock lock(mutex_);
  return std::exchange(table_, std::move(next));
}

void PluginRegistry::add(std::vector<PluginSpec> fresh) {
  auto next = table();
  if (auto all = PluginTable::adding(*next, fresh)) {
    (void)publish(std::move(*all));
    return;
  }
  for (auto& spec : fresh) {
    auto with = PluginTable::adding(*next, {spec});
    if (!with) {
      spec.failure = with.error().message;
      spec.manifest.reset();
      with = PluginTable::adding(*next, {std::move(spec)});
    }
    if (with) next = *with;
  }
  (void)publish(std::move(next));
}

}  // namespace gantry::host
