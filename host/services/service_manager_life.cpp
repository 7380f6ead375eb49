// SPDX-License-Identifier: Apache-2.0
//
// How plugins start, die, are started again and stopped. No lock is held while one of them is called: a start runs in
// its slot's Lazy, which lets one in at a time.
#include <algorithm>
#include <ranges>
#include <system_error>
#include <thread>
#include <utility>

#include "host/plugins/bus_port.hpp"
#include "host/plugins/child_plugin.hpp"
#include "host/plugins/crash_mark.hpp"
#include "host/services/service_manager.hpp"

namespace gantry::host {

namespace {

/// For a plugin in a process of its own.
constexpr auto kStartPatience = std::chrono::seconds(30);

/// What a plugin logs is also evidence, should it die.
class SlotPort final : public BusPort {
 public:
  template <class... Rest>
  explicit SlotPort(PluginSlot& slot, Rest&&... rest) : BusPort(std::forward<Rest>(rest)...), slot_(slot) {}
  void log(Level level, std::string_view line) override {
    slot_.keep_line(line);
    BusPort::log(level, line);
  }

 private:
  PluginSlot& slot_;
};

/// `config`: what the plugin is handed.
[[nodiscard]] Confinement confinement_for(const PluginSpec& spec, const json& config) {
  Confinement out;
  out.folder = config.value("state_dir", "");
  const auto grants = spec.grants();
  const GrantPlaces places{home_folder(), std::filesystem::path(out.folder).parent_path().string(),
                           config.value("workspaces", std::vector<std::string>{})};
  out.read = granted_paths(grants, GrantKind::read, places);
  out.read.push_back(spec.library.parent_path().string());
  out.write = granted_paths(grants, GrantKind::write, places);
  out.network = has_grant(grants, GrantKind::network);
  out.processes = has_grant(grants, GrantKind::processes);
  out.max_memory_mib = spec.max_memory_mib;
  return out;
}

}  // namespace

Result<ServiceManager::Instance> ServiceManager::construct(Entry& entry) {
  {
    Lock lock(mutex_);
    if (stopping_) return fail(ErrorKind::unavailable, "the host is stopping");
    ++constructing_;
  }
  stop_retired(entry);
  auto plugin = load_and_start(entry);
  {
    Lock lock(mutex_);
    --constructing_;
    if (plugin && !entry.slot->is_dead(*plugin)) live_.push_back(*plugin);
    changed_.notify_all();
  }
  // What changed while it started has found no plugin to tell.
  if (plugin) (*plugin)->reconfigure([this, &entry] { return config_of_(*entry.spec); });
  return plugin;
}

void ServiceManager::stop_retired(Entry& entry) {
  const Instance old = entry.slot->retired();
  if (!old) return;
  const bool returned = old->stop(kGrace);
  {
    Lock lock(mutex_);
    std::erase(live_, old);
    abandoned_ = abandoned_ || !returned;
  }
  entry.slot->drained();
  tell("stopped", *entry.spec);
}

Result<ServiceManager::Instance> ServiceManager::load_and_start(Entry& entry) {
  const PluginSpec& spec = *entry.spec;
  if (!spec.enabled)
    return fail(ErrorKind::unavailable,
                "plugin " + spec.name + " is disabled; set enabled = true in [plugins." + spec.name + "]");
  if (!spec.failure.empty())
    return fail(ErrorKind::unavailable, "plugin " + spec.name + " is out of order: " + spec.failure);
  if (auto ok = start_needs(spec); !ok) return std::unexpected(ok.error());
  entry.slot->starts();
  const auto failed = [&](const Error& error) {
    tell("failed", spec, error.message);
    follow(entry, entry.slot->failed_to_start(error), {});
    return fail(error.kind, "plugin " + spec.name + " could not be started: " + error.message, error.data);
  };
  tell("starting", spec);
  Result<Instance> plugin = nullptr;
  try {
    plugin = spec.child ? start_child(entry) : start_inline(entry);
    if (!plugin) return failed(plugin.error());
  } catch (const std::exception& e) {
    return failed(Error{ErrorKind::internal, e.what(), {}});
  }
  tell("ready", spec, {}, {{"version", spec.manifest->version}});
  return plugin;
}

// Not a failure of its own: it is tried again as soon as what it needs can be.
Result<void> ServiceManager::start_needs(const PluginSpec& spec) {
  for (const auto& need : graph_.needs_of(spec.name)) {
    if (auto started = entries_.at(need).slot->get(); !started)
      return fail(started.error().kind, "plugin " + spec.name + " needs " + need + ": " + started.error().message,
                  started.error().data);
  }
  return {};
}

// Those that run, and are to be stopped by the start that follows: what needs others comes last.
std::vector<ServiceManager::Entry*> ServiceManager::retire_dependents(const std::string& name) {
  std::vector<Entry*> out;
  for (const auto& dependent : graph_.dependents_of(name)) {
    Entry& entry = entries_.at(dependent);
    if (!entry.slot->retire()) continue;
    tell("draining", *entry.spec, "it needs " + name);
    out.push_back(&entry);
  }
  return out;
}

// What needs others first: its start stops the instance that it replaces, and then starts what it needs.
void ServiceManager::start_again(const std::vector<Entry*>& dependents) {
  for (Entry* const dependent : dependents | std::views::reverse) {
    if (auto started = dependent->slot->get(); !started) tell("failed", *dependent->spec, started.error().message);
  }
}

PluginBasics ServiceManager::basics_of(const Entry& entry) const {
  const PluginSpec& spec = *entry.spec;
  Manifest manifest = *spec.manifest;
  manifest.publishes = entry.rights->granted_topics(GrantKind::publish, manifest.publishes);
  manifest.subscribes = entry.rights->granted_topics(GrantKind::subscribe, manifest.subscribes);
  BusPort::Caller caller{deps_.join(spec), deps_.call, deps_.leave, entry.rights};
  return {spec.name, std::move(manifest), deps_.timers,
          std::make_shared<SlotPort>(*entry.slot, spec.name, deps_.bus, deps_.log, deps_.describe_origin,
                                     deps_.event_permits, std::move(caller)),
          deps_.max_payload_bytes};
}

Result<ServiceManager::Instance> ServiceManager::start_inline(Entry& entry) {
  const StartMark mark(crash_file(entry));
  HungWatch watch{
      deps_.hung_after,
      [this, &entry](InlinePlugin& hung, const Death& death) {
        hung.abandon(death, [this, &entry](const Instance& instance, const Death& why) { died(entry, instance, why); });
      },
      crash_file(entry).string()};
  auto plugin = InlinePlugin::load(entry.spec->library, basics_of(entry), deps_.workers, std::move(watch));
  if (!plugin) return std::unexpected(plugin.error());
  if (auto started = (*plugin)->start(config_of_(*entry.spec)); !started) return std::unexpected(started.error());
  return *plugin;
}

Result<Confinement> ServiceManager::granted(const std::string& plugin) const {
  const auto it = entries_.find(plugin);
  if (it == entries_.end()) return fail(ErrorKind::not_found, "no plugin is named " + plugin);
  return confinement_for(*it->second.spec, config_of_(*it->second.spec));
}

Result<ServiceManager::Instance> ServiceManager::start_child(Entry& entry) {
  const PluginSpec& spec = *entry.spec;
  const json config = config_of_(spec);
  Confinement confinement = confinement_for(spec, config);
  confinement.processes = false;  // the host starts them for it (launcher.hpp)
  ChildDeps deps{deps_.workers,
                 deps_.spawner,
                 deps_.event_permits,
                 deps_.program,
                 std::move(confinement),
                 deps_.hung_after,
                 [this, &entry](const Instance& instance, const Death& death) { died(entry, instance, death); }};
  auto plugin = ChildPlugin::start(spec.library, basics_of(entry), std::move(deps), config, kStartPatience);
  if (!plugin) return std::unexpected(plugin.error());
  return *plugin;
}

void ServiceManager::died(Entry& entry, const Instance& instance, const Death& death) {
  auto verdict = entry.slot->died(instance, death);
  bool too_many = false;
  {
    Lock lock(mutex_);
    std::erase(live_, instance);
    if (!entry.spec->child) {
      abandoned_ = true;
      too_many = ++entry.abandoned >= kMaxAbandoned;
    }
  }
  if (too_many && verdict.what != PluginSlot::Verdict::quarantined) {
    const std::string why = std::to_string(kMaxAbandoned) + " instances of it hang in this process, the last one " +
                            death.reason + "; run it with isolation = \"child\"";
    entry.slot->quarantine(why);
    verdict = {PluginSlot::Verdict::quarantined, {}, why};
  }
  tell("died", *entry.spec, death.reason, death.details());
  follow(entry, verdict, retire_dependents(entry.spec->name));
}

// Who has an activation of its own runs without being called: it does not wait for the next call either. Nor do those
// that ran and need it: they are stopped in any case.
void ServiceManager::follow(Entry& entry, const PluginSlot::Verdict& verdict, std::vector<Entry*> dependents) {
  const PluginSpec& spec = *entry.spec;
  const bool may_start = verdict.what == PluginSlot::Verdict::may_start;
  if (verdict.what == PluginSlot::Verdict::quarantined) tell("quarantined", spec, verdict.message);
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(verdict.after).count();
  if (may_start && ms != 0) tell("backing_off", spec, verdict.message, {{"retry_after_ms", ms}});
  const bool start = may_start && spec.manifest && !spec.manifest->activation.empty();
  if (!start && dependents.empty()) return;
  auto again = [this, &entry, start, dependents = std::move(dependents)] {
    run_elsewhere([this, &entry, start, dependents] {
      start_again(dependents);
      if (start) (void)entry.slot->get();  // what comes of it is told
    });
  };
  Lock lock(mutex_);
  if (!stopping_) entry.restart = deps_.timers.after(verdict.after, std::move(again));
}

void ServiceManager::tell(const char* what, const PluginSpec& spec, const std::string& reason, json more) const {
  const std::string_view state(what);
  const Level level = state == "failed" || state == "died" || state == "quarantined" ? Level::error
                      : state == "backing_off"                                       ? Level::warn
                                                                                     : Level::info;
  std::string line = spec.name + " ";
  if (state == "failed") {
    line += "failed";
  } else {
    if (state == "ready" && spec.manifest) line += spec.manifest->version + " ";
    if (state == "died" || state == "stopped") {
      line += state;
    } else {
      line += "is ";
      line += state == "backing_off" ? "backing off" : state;
    }
  }
  deps_.log.write(level, "plugins", line + (reason.empty() ? "" : ": " + reason));
  more["name"] = spec.name;
  if (!reason.empty()) more["reason"] = reason;
  (void)deps_.bus.publish("host.plugin." + std::string(state), dump_json(more));
}

Result<void> ServiceManager::restart(const std::string& plugin) {
  const auto it = entries_.find(plugin);
  if (it == entries_.end()) return start(plugin);
  Entry& entry = it->second;
  const auto dependents = retire_dependents(plugin);
  entry.slot->release();
  if (entry.slot->retire()) tell("draining", *entry.spec);
  start_again(dependents);
  return start(plugin);
}

bool ServiceManager::stop_together(const std::vector<Instance>& plugins, Duration budget) {
  std::atomic<bool> all{true};
  std::vector<std::thread> stoppers;
  for (const auto& plugin : plugins) {
    const auto stop = [owner = plugin, budget, &all] {
      if (!owner->stop(budget)) all = false;
    };
    try {
      stoppers.emplace_back(stop);
    } catch (const std::system_error&) {
      stop();  // no thread to be had: one after the other
    }
  }
  for (auto& stopper : stoppers) stopper.join();
  return all;
}

bool ServiceManager::stop_all(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  bool all = true;
  std::vector<Instance> live;
  std::vector<TimerKey> restarts;
  {
    Lock lock(mutex_);
    stopping_ = true;
    for (auto& [name, entry] : entries_) restarts.push_back(std::exchange(entry.restart, 0));
    while (constructing_ != 0) {
      if (changed_.wait_until(mutex_, until)) continue;
      all = false;
      break;
    }
    live = live_;
    if (abandoned_) all = false;
  }
  for (const auto key : restarts) (void)deps_.timers.cancel(key);
  // Those that need others first.
  std::map<std::size_t, std::vector<Instance>, std::greater<>> levels;
  for (auto& plugin : live) levels[graph_.level_of(plugin->name())].push_back(std::move(plugin));
  auto left = static_cast<int>(levels.size());
  for (const auto& [level, plugins] : levels) {
    const Duration now = std::max<Duration>(until - std::chrono::steady_clock::now(), Duration::zero());
    if (!stop_together(plugins, std::max(now / left--, budget / 10))) all = false;
  }
  return all;
}

}  // namespace gantry::host
