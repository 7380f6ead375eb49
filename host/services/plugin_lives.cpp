// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_lives.hpp"

namespace gantry::host {

// Instances that were not stopped end here, and what they say in their end still finds the strand.
PluginLives::~PluginLives() {
  strand_.run([this] {
    for (const auto& [name, life] : lives_) life->forget_instances();
  });
}

void PluginLives::add(const std::string& plugin, RestartPolicy policy, const std::string& blame) {
  auto life = std::make_unique<PluginLife>(plugin, policy, *this);
  strand_.run([&, &added = *life] {
    lives_.insert(plugin, std::move(life));
    if (stopping_) added.stop_starting();
    if (!blame.empty()) added.blame(blame);
  });
}

LiveInstance* PluginLives::instance(const std::string& plugin) const {
  const auto it = lives_.find(plugin);
  return it == lives_.end() ? nullptr : &it->second->place();
}

void PluginLives::look_at_table() {
  const auto table = host_.table();
  for (const auto& spec : table->specs()) at(spec.name).look_at(spec);
  for (const auto& spec : table->specs()) at(spec.name).review();
}

void PluginLives::gone(OriginId origin) {
  strand_.post([this, origin] {
    for (const auto& [name, life] : lives_) life->gone(origin);
  });
}

void PluginLives::reconfigure() {
  strand_.post([this] {
    for (const auto& [name, life] : lives_) life->reconfigure();
  });
}

void PluginLives::stop_starting() {
  strand_.run([this] {
    stopping_ = true;
    for (const auto& [name, life] : lives_) life->stop_starting();
  });
}

std::vector<PluginInstance> PluginLives::running() {
  std::vector<PluginInstance> out;
  strand_.run([&] {
    for (const auto& [name, life] : lives_) life->add_running(out);
  });
  return out;
}

std::vector<std::pair<std::string, PluginLife::View>> PluginLives::views() {
  std::vector<std::pair<std::string, PluginLife::View>> out;
  strand_.run([&] {
    const auto table = host_.table();
    for (const auto& spec : table->specs()) out.emplace_back(spec.name, at(spec.name).view());
  });
  return out;
}

std::vector<PluginLife*> PluginLives::lives_of(const std::vector<std::string>& plugins) const {
  std::vector<PluginLife*> out;
  for (const auto& plugin : plugins) {
    if (const auto it = lives_.find(plugin); it != lives_.end()) out.push_back(it->second.get());
  }
  return out;
}

void PluginLives::look_who_is_clear() {
  for (const auto& [name, life] : lives_) life->look_if_clear();
}

}  // namespace gantry::host
