// SPDX-License-Identifier: Apache-2.0
//
// How plugins start, die, are started again and stopped. No lock is held while one of them is called: a start runs in
// its slot's Lazy, which lets one in at a time.
#include <algorithm>
#include <ranges>
#include <system_error>
#include <thread>
#include <utility>

#include "host/services/service_manager.hpp"

namespace gantry::host {

Result<ServiceManager::Instance> ServiceManager::construct(Entry& entry) {
  if (!begin_work()) return fail(ErrorKind::unavailable, "the host is stopping");
  std::optional<Build> next;
  {
    Lock lock(mutex_);
    next = std::exchange(entry.next, std::nullopt);
    entry.coming.reset();
  }
  const bool ran = entry.slot->retired() != nullptr;
  stop_retired(entry, next.has_value());
  Result<Instance> plugin = nullptr;
  if (next) {
    plugin = try_next(entry, *next);
  } else if (auto may = take_rebuilt(entry); !may) {
    plugin = std::unexpected(std::move(may.error()));
  } else {
    plugin = load_and_start(entry, build_of(entry), false);
  }
  // Its calls have waited, and are the old build's again.
  if (!plugin && next && ran) plugin = load_and_start(entry, build_of(entry), false);
  forget_what_was_given(entry);
  end_work(plugin && !entry.slot->is_dead(*plugin) ? *plugin : nullptr);
  // What changed while it started has found no plugin to tell.
  if (plugin) (*plugin)->reconfigure([this, &entry] { return config_of_(*spec_of(entry)); });
  std::vector<OriginId> gone;
  {
    Lock lock(mutex_);
    gone.swap(entry.gone);
    if (plugin) {
      entry.coming = *plugin;
      entry.since.clear();
      entry.has_run = true;
    }
  }
  // What it was handed may still know them.
  for (const OriginId origin : gone) {
    if (plugin) (*plugin)->gone(origin);
  }
  return plugin;
}

void ServiceManager::forget_what_was_given(Entry& entry) {
  std::shared_ptr<Handover> given;
  {
    Lock lock(mutex_);
    given.swap(entry.handed_over);
  }
  if (given) given->give_up();
}

// False: the host is stopping. Who stops it waits for those that have begun.
bool ServiceManager::begin_work() {
  Lock lock(mutex_);
  if (stopping_) return false;
  ++working_;
  return true;
}

void ServiceManager::end_work(const Instance& started) {
  Lock lock(mutex_);
  --working_;
  if (started) live_.push_back(started);
  changed_.notify_all();
}

// `drain`: its calls may end first.
void ServiceManager::stop_retired(Entry& entry, bool drain) {
  const Instance old = entry.slot->retired();
  if (!old) return;
  if (drain) {
    old->expect_heir();
    (void)old->drain(std::chrono::steady_clock::now() + kGrace);
  }
  const bool returned = old->stop(kGrace);
  auto given = old->given();
  {
    Lock lock(mutex_);
    std::erase(live_, old);
    entry.handed_over = std::move(given);
    abandoned_ = abandoned_ || (!returned && !old->pid());  // of a process nothing is left
  }
  entry.slot->drained();
  tell("stopped", entry.name);
}

// Not a failure of its own: it is tried again as soon as what it needs can be.
Result<void> ServiceManager::start_needs(Entry& entry, const Build& build) {
  std::map<std::string, std::weak_ptr<Plugin>> with;
  for (const auto& need : build.table->graph().needs_of(build.spec->name)) {
    auto started = entries_.at(need).slot->get();
    if (!started)
      return fail(started.error().kind,
                  "plugin " + build.spec->name + " needs " + need + ": " + started.error().message,
                  started.error().data);
    with.emplace(need, *started);
  }
  Lock lock(mutex_);
  entry.started_with = std::move(with);
  return {};
}

// What it needed when it started has gone, or another instance has its place.
bool ServiceManager::has_outlived_a_need(const Entry& entry) const {
  decltype(entry.started_with) with;
  {
    Lock lock(mutex_);
    with = entry.started_with;
  }
  return std::ranges::any_of(with, [this](const auto& need) {
    const auto instance = need.second.lock();
    return !instance || entries_.at(need.first).slot->peek() != instance;
  });
}

// Those that run, and are to be stopped by the start that follows, and those that are being started, perhaps with what
// is no more: what needs others comes last.
std::vector<ServiceManager::Entry*> ServiceManager::retire_dependents(const std::string& name) {
  std::vector<Entry*> out;
  const auto all = table();
  for (const auto& dependent : all->graph().dependents_of(name)) {
    Entry& entry = entries_.at(dependent);
    const bool starting = entry.slot->is_starting();  // before the next look: it may become ready meanwhile
    const bool retired = entry.slot->retire();
    if (retired) tell("draining", entry.name, "it needs " + name);
    if (retired || starting) out.push_back(&entry);
  }
  return out;
}

// What needs others first: its start stops the instance that it replaces, and then starts what it needs.
void ServiceManager::start_again(const std::vector<Entry*>& dependents) {
  for (Entry* const dependent : dependents | std::views::reverse) {
    auto started = dependent->slot->get();
    if (started && has_outlived_a_need(*dependent) && dependent->slot->retire()) {
      tell("draining", dependent->name, "what it needs has gone while it started");
      started = dependent->slot->get();
    }
    if (!started) tell("failed", dependent->name, started.error().message);
  }
}

void ServiceManager::died(Entry& entry, const Instance& instance, const Death& death) {
  const bool aside = entry.slot->is_aside(instance);
  const bool child = instance->pid().has_value();
  std::optional<PluginSlot::Verdict> judged;
  if (!aside) judged = entry.slot->died(instance, death);
  {
    Lock lock(mutex_);
    std::erase(live_, instance);
    if (!child) {
      abandoned_ = true;
      ++entry.abandoned;
    }
  }
  if (aside) {  // another one has its place, and goes on
    tell("died", entry.name, death.reason, death.details());
    return;
  }
  auto verdict = std::move(*judged);
  hold_back_the_hanging(entry, verdict, death.reason);
  tell("died", entry.name, death.reason, death.details());
  follow(entry, verdict, retire_dependents(entry.name));
}

// Whatever has failed last.
void ServiceManager::hold_back_the_hanging(Entry& entry, PluginSlot::Verdict& verdict, const std::string& reason) {
  {
    Lock lock(mutex_);
    if (entry.abandoned < kMaxAbandoned) return;
  }
  if (verdict.what == PluginSlot::Verdict::quarantined) return;
  const std::string why = std::to_string(kMaxAbandoned) +
                          " instances of it hang in this process, the last failure: " + reason +
                          "; run it with isolation = \"child\"";
  entry.slot->quarantine(why);
  verdict = {PluginSlot::Verdict::quarantined, {}, why};
}

// Who has an activation of its own runs without being called: it does not wait for the next call either. Nor do those
// that ran and need it: they are stopped in any case.
void ServiceManager::follow(Entry& entry, const PluginSlot::Verdict& verdict, std::vector<Entry*> dependents) {
  const auto spec = spec_of(entry);
  const bool may_start = verdict.what == PluginSlot::Verdict::may_start;
  if (verdict.what == PluginSlot::Verdict::quarantined) tell("quarantined", entry.name, verdict.message);
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(verdict.after).count();
  if (may_start && ms != 0) tell("backing_off", entry.name, verdict.message, {{"retry_after_ms", ms}});
  const bool start = may_start && spec->manifest && !spec->manifest->activation.empty();
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

void ServiceManager::tell(const char* what, const std::string& name, const std::string& reason, json more) const {
  const std::string_view state(what);
  const Level level = state == "failed" || state == "died" || state == "quarantined" ? Level::error
                      : state == "backing_off"                                       ? Level::warn
                                                                                     : Level::info;
  std::string line = name + " ";
  if (state == "failed") {
    line += "failed";
  } else {
    if (state == "ready") line += more.value("version", "") + " ";
    if (state == "died" || state == "stopped") {
      line += state;
    } else {
      line += "is ";
      line += state == "backing_off" ? "backing off" : state;
    }
  }
  deps_.log.write(level, "plugins", line + (reason.empty() ? "" : ": " + reason));
  more["name"] = name;
  if (!reason.empty()) more["reason"] = reason;
  (void)deps_.bus.publish("host.plugin." + std::string(state), dump_json(more));
}

Result<void> ServiceManager::restart(const std::string& plugin) {
  const auto found = entry_of(plugin);
  if (!found) return std::unexpected(found.error());
  Entry& entry = **found;
  {
    Lock lock(mutex_);
    entry.own_process = false;
    entry.mark.reset();
  }
  if (entry.slot->peek() == nullptr && !entry.slot->is_starting() && was_rebuilt(entry)) {
    auto done = reload(plugin);
    if (done || done.error().kind != ErrorKind::conflict) return done;
  }
  const auto dependents = retire_dependents(plugin);
  entry.slot->release();
  if (entry.slot->retire()) tell("draining", entry.name);
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
  disarm_activations();
  const auto until = std::chrono::steady_clock::now() + budget;
  bool all = true;
  std::vector<Instance> live;
  std::vector<TimerKey> restarts;
  std::vector<std::shared_ptr<InlineStart>> hanging;
  {
    Lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    for (auto& [name, entry] : entries_) restarts.push_back(std::exchange(entry.restart, 0));
    while (working_ != 0) {
      if (changed_.wait_until(mutex_, until)) continue;
      all = false;
      break;
    }
    waits_for_no_start_ = true;
    hanging = starting_;
    live = live_;
    if (abandoned_) all = false;
  }
  for (const auto& start : hanging) start->give_up("the host is stopping");
  for (const auto key : restarts) (void)deps_.timers.cancel(key);
  // Those that need others first.
  std::map<std::size_t, std::vector<Instance>, std::greater<>> levels;
  const auto all_plugins = table();
  for (auto& plugin : live) levels[all_plugins->graph().level_of(plugin->name())].push_back(std::move(plugin));
  auto left = static_cast<int>(levels.size());
  for (const auto& [level, plugins] : levels) {
    const Duration now = std::max<Duration>(until - std::chrono::steady_clock::now(), Duration::zero());
    if (!stop_together(plugins, std::max(now / left--, budget / 10))) all = false;
  }
  return all;
}

}  // namespace gantry::host
