// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_graph.hpp"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

namespace gantry::host {

namespace {

/// Plugins by id. Of two with one id the first by name that can run has it.
using ById = std::map<std::string, PluginSpec*>;

[[nodiscard]] ById by_id(std::vector<PluginSpec>& specs) {
  ById out;
  for (auto& spec : specs) {
    if (!spec.manifest) {
      out.emplace(spec.name, &spec);  // all that is known of it
      continue;
    }
    const auto [at, is_new] = out.emplace(spec.manifest->id, &spec);
    if (!is_new && !(at->second->enabled && at->second->manifest)) at->second = &spec;
  }
  return out;
}

[[nodiscard]] std::string title(const PluginSpec& spec) { return spec.name + " " + spec.manifest->version; }

[[nodiscard]] PluginSpec* find(const ById& all, const std::string& id) {
  const auto it = all.find(id);
  return it == all.end() ? nullptr : it->second;
}

/// Why this need is not met by what is there, with no look at what that needs itself; empty: it is.
[[nodiscard]] std::string unmet(const ManifestNeed& need, const PluginSpec* found) {
  if (found == nullptr) return "there is no plugin " + need.id;
  if (!found->enabled) return "plugin " + found->name + " is disabled";
  if (!found->manifest) return found->failure;
  const auto version = parse_version(found->manifest->version);
  if (!version) return version.error().message;
  if (!need.version.holds(*version)) return "plugin " + found->name + " is " + found->manifest->version;
  return {};
}

/// The way from `from` back to it; empty: there is none.
[[nodiscard]] std::vector<const PluginSpec*> circle(const ById& all, const PluginSpec& from) {
  std::vector<const PluginSpec*> path;
  std::set<const PluginSpec*> seen;
  const std::function<bool(const PluginSpec&)> leads_back = [&](const PluginSpec& at) {
    path.push_back(&at);
    for (const auto& need : at.manifest->needs) {
      const PluginSpec* const next = find(all, need.id);
      if (next == &from) return true;
      if (next == nullptr || !next->manifest || !next->enabled || !seen.insert(next).second) continue;
      if (leads_back(*next)) return true;
    }
    path.pop_back();
    return false;
  };
  (void)leads_back(from);
  return path;
}

}  // namespace

void refuse_unmet_needs(std::vector<PluginSpec>& specs) {
  const ById all = by_id(specs);
  std::map<const PluginSpec*, std::string> failures;
  for (const auto& spec : specs) {
    if (!spec.manifest || !spec.enabled) continue;
    std::string path;
    for (const auto* const step : circle(all, spec)) path += title(*step) + " -> ";
    if (!path.empty()) failures[&spec] = path + spec.name + ": they need each other in a circle";
  }
  std::set<const PluginSpec*> done;
  const std::function<void(const PluginSpec&)> look = [&](const PluginSpec& spec) {
    if (!done.insert(&spec).second || failures.contains(&spec)) return;
    for (const auto& need : spec.manifest->needs) {
      const PluginSpec* const found = find(all, need.id);
      if (auto why = unmet(need, found); !why.empty()) {
        failures[&spec] = title(spec) + " -> " + need.id + " " + need.version.text() + ": " + why;
        return;
      }
      look(*found);
      if (const auto theirs = failures.find(found); theirs != failures.end()) {
        failures[&spec] = title(spec) + " -> " + theirs->second;
        return;
      }
    }
  };
  for (auto& spec : specs) {
    if (!spec.manifest || !spec.enabled) continue;
    look(spec);
    if (const auto why = failures.find(&spec); why != failures.end()) spec.failure = why->second;
  }
}

PluginGraph::PluginGraph(const std::vector<PluginSpec>& specs) {
  std::map<std::string, std::string> names;  // by id
  const auto runs = [](const PluginSpec& spec) { return spec.manifest && spec.enabled && spec.failure.empty(); };
  for (const auto& spec : specs) {
    if (runs(spec)) names.emplace(spec.manifest->id, spec.name);
  }
  for (const auto& spec : specs) {
    auto& needs = needs_[spec.name];
    (void)needed_by_[spec.name];
    if (!runs(spec)) continue;
    for (const auto& need : spec.manifest->needs) {
      if (const auto it = names.find(need.id); it != names.end()) {
        needs.push_back(it->second);
        needed_by_[it->second].push_back(spec.name);
      }
    }
  }
  const std::function<std::size_t(const std::string&)> level = [&](const std::string& name) {
    if (const auto it = levels_.find(name); it != levels_.end()) return it->second;
    std::size_t highest = 0;
    for (const auto& need : needs_.at(name)) highest = std::max(highest, level(need) + 1);
    return levels_[name] = highest;
  };
  for (const auto& [name, unused] : needs_) {
    (void)level(name);
    order_.push_back(name);
  }
  std::ranges::sort(order_, {}, [&](const std::string& name) { return std::pair(levels_.at(name), name); });
}

const std::vector<std::string>& PluginGraph::needs_of(const std::string& name) const { return needs_.at(name); }

const std::vector<std::string>& PluginGraph::needed_by(const std::string& name) const { return needed_by_.at(name); }

std::size_t PluginGraph::level_of(const std::string& name) const { return levels_.at(name); }

std::vector<std::string> PluginGraph::dependents_of(const std::string& name) const {
  std::set<std::string> in{name};
  std::vector<std::string> out;
  for (const auto& other : order_) {
    const auto& needs = needs_.at(other);
    if (std::ranges::none_of(needs, [&](const auto& need) { return in.contains(need); })) continue;
    in.insert(other);
    out.push_back(other);
  }
  return out;
}

}  // namespace gantry::host
