// SPDX-License-Identifier: Apache-2.0
#include "host/services/service_manager.hpp"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <utility>

#include "host/plugins/plugin.hpp"

namespace gantry::host {

namespace {

/// What `plugin` asks for that only the kernel could hold it to, and does not.
[[nodiscard]] std::vector<std::string> unenforced(const Manifest& manifest, const std::vector<std::string>& enforced) {
  const auto holds = [&](std::string_view what) {
    return std::any_of(enforced.begin(), enforced.end(), [&](const auto& e) { return e.starts_with(what); });
  };
  std::vector<std::string> out;
  for (const auto& grant : manifest.grants) {
    const bool is_path = grant.kind == GrantKind::read || grant.kind == GrantKind::write;
    if (needs_kernel(grant) && !holds(is_path ? "landlock" : "seccomp")) out.push_back(to_string(grant));
  }
  return out;
}

[[nodiscard]] bool stop_together(const std::vector<PluginInstance>& plugins, Duration budget) {
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

}  // namespace

ServiceManager::ServiceManager(std::vector<PluginSpec> specs, PluginDeps deps, ConfigOf config_of)
    : deps_(std::move(deps)),
      registry_(std::move(specs)),
      audit_(deps_.bus, deps_.log),
      confinement_(config_of),
      builds_(deps_.copies_dir, audit_),
      activations_(deps_.bus),
      runner_(deps_, registry_, builds_, audit_, confinement_, std::move(config_of), lives_),
      lives_(runner_, deps_.timers) {
  const auto all = registry_.table();
  for (const auto& spec : all->specs()) make_life(spec);
  lives_.table_changed();
}

ServiceManager::~ServiceManager() {
  activations_.disarm();
  runner_.jobs().stop();
}

void ServiceManager::make_life(const PluginSpec& spec) {
  if (spec.enabled && !spec.failure.empty())
    deps_.log.write(Level::warn, "plugins", spec.name + " cannot run: " + spec.failure);
  if (const auto warning = spec.warning(); !warning.empty())
    deps_.log.write(Level::warn, "plugins", spec.name + ": " + warning);
  RestartPolicy policy = deps_.restarts;
  policy.restart = spec.restart;
  policy.backoff.seed += (lives_.size() + 1) << 16U;
  const auto blame = runner_.loader().blame(spec);
  lives_.add(spec.name, policy, blame.empty() ? blame : blame + "; run it with isolation = \"child\"");
}

Result<Confinement> ServiceManager::granted(const std::string& plugin) const {
  const auto all = registry_.table();
  if (!all->has(plugin)) return fail(ErrorKind::not_found, "no plugin is named " + plugin);
  return confinement_.granted(*PluginTable::share(all, plugin));
}

// --- By hand ---

Result<void> ServiceManager::start(const std::string& plugin) {
  if (auto known = registry_.check_name(plugin); !known) return known;
  if (auto started = lives_.instance(plugin)->get(); !started) return std::unexpected(started.error());
  return {};
}

Result<void> ServiceManager::restart(const std::string& plugin) {
  if (auto known = registry_.check_name(plugin); !known) return known;
  runner_.loader().forgive(plugin);
  const auto state = state_of(plugin);
  if (is_settled(state) && !is_serving(state) && builds_.was_rebuilt(*registry_.spec_of(plugin))) {
    auto done = reload(plugin);
    if (done || done.error().kind != ErrorKind::conflict) return done;
  }
  const auto next = wait_for<PluginInstance>([&](auto done) { lives_.at(plugin).restart(std::move(done)); });
  wait_settled_with_dependents(plugin);
  return next ? Result<void>() : std::unexpected(next.error());
}

// Those that need it were told in the same step as it was.
void ServiceManager::wait_settled_with_dependents(const std::string& plugin) {
  const auto all = registry_.table();
  auto names = all->graph().dependents_of(plugin);
  names.insert(names.begin(), plugin);
  for (const auto& name : names) {
    (void)wait_for<void>(
        [&](auto done) { lives_.at(name).when_settled([told = std::move(done)]() mutable { told({}); }); });
  }
}

Result<void> ServiceManager::reload_with(PluginBuild next, bool handover) {
  PluginLife& life = lives_.at(next.spec->name);
  return wait_for<void>([&](auto done) { life.reload(std::move(next), handover, std::move(done)); });
}

Result<void> ServiceManager::has_room_for_another(const std::string& plugin) {
  if (lives_.at(plugin).view().ending < kMaxEnding) return {};
  return fail(ErrorKind::overloaded,
              std::to_string(kMaxEnding) + " old instances of plugin " + plugin + " end their calls still",
              R"({"retry_after_ms":1000})");
}

Result<void> ServiceManager::reload(const std::string& plugin) {
  if (auto known = registry_.check_name(plugin); !known) return known;
  const auto change = registry_.begin_change("reload " + plugin);
  if (!change) return std::unexpected(change.error());
  if (auto ok = has_room_for_another(plugin); !ok) return ok;
  const auto old = registry_.build_of(plugin);
  const auto next = builds_.next(*old.table, plugin);
  if (!next) return std::unexpected(next.error());
  const bool handover = next->spec->manifest->handover || (old.spec->manifest && old.spec->manifest->handover);
  const bool runs = is_serving(state_of(plugin));
  auto ready = runner_.may_start(*next->spec);
  if (ready) ready = start_needs(*next);
  auto done = ready ? reload_with(*next, handover) : ready;
  if (done) return done;
  PluginBuilds::drop_copy(*next->spec);
  if (!runs) return done;
  const bool ended = handover && ready;
  if (auto again = ended ? start(plugin) : Result<void>(); !again) return again;
  const bool goes_on = is_serving(state_of(plugin));
  done.error().message += ended     ? "; the build before it was started again"
                          : goes_on ? "; the build before it goes on"
                                    : "; the build before it does not run any more either";
  return done;
}

Result<void> ServiceManager::start_needs(const PluginBuild& build) {
  const std::string& plugin = build.spec->name;
  for (const auto& need : build.table->graph().needs_of(plugin)) {
    if (auto started = start(need); !started)
      return fail(started.error().kind, "plugin " + plugin + " needs " + need + ": " + started.error().message,
                  started.error().data);
  }
  return {};
}

Result<void> ServiceManager::renew(const std::string& plugin) {
  if (auto known = registry_.check_name(plugin); !known) return known;
  const auto change = registry_.begin_change({}, true);
  if (!change) return std::unexpected(change.error());
  if (auto ok = has_room_for_another(plugin); !ok) return ok;
  if (!is_serving(state_of(plugin))) return {};  // its next start knows what it may
  auto same = registry_.build_of(plugin);
  const bool handover = same.spec->manifest->handover;
  return reload_with(std::move(same), handover);
}

// --- Which plugins there are ---

Result<std::vector<std::string>> ServiceManager::add(std::vector<PluginSpec> found) {
  const auto is_known = [this](const PluginSpec& spec) { return lives_.knows(spec.name); };
  std::vector<std::string> names;
  if (std::ranges::all_of(found, is_known)) return names;
  {
    const auto change = registry_.begin_change("ask again");
    if (!change) return std::unexpected(change.error());
    std::erase_if(found, is_known);
    if (lives_.size() + found.size() > PluginRegistry::kMaxPlugins)
      return fail(ErrorKind::overloaded, "there are " + std::to_string(lives_.size()) + " plugins, and " +
                                             std::to_string(found.size()) +
                                             " more would be too many; restart the host");
    for (const auto& spec : found) {
      names.push_back(spec.name);
      make_life(spec);
    }
    registry_.add(std::move(found));
  }
  lives_.table_changed();
  if (deps_.changed) deps_.changed();
  for (const auto& name : names) arm_activation(name);
  return names;
}

Result<void> ServiceManager::change_trust(const std::string& plugin,
                                          const std::function<Result<std::vector<Grant>>()>& commit) {
  if (auto known = registry_.check_name(plugin); !known) return known;
  {
    // A reload puts a table in place that it has made from the one of its beginning.
    const auto change = registry_.begin_change("trust " + plugin);
    if (!change) return std::unexpected(change.error());
    auto grants = commit();
    if (!grants) return std::unexpected(grants.error());
    (void)registry_.publish(PluginTable::trusting(*registry_.table(), plugin, std::move(*grants)));
  }
  audit_.trust_changed(plugin);
  lives_.table_changed();
  if (deps_.changed) deps_.changed();
  wait_settled_with_dependents(plugin);
  arm_activation(plugin);
  return {};
}

void ServiceManager::note_untrusted_call(std::string_view method, std::string_view traceparent) {
  const auto all = registry_.table();
  const PluginSpec* const spec = all->of_service(method.substr(0, method.find('.')));
  if (spec != nullptr) audit_.untrusted_call(*spec, method, traceparent);
}

void ServiceManager::arm_activations() {
  const auto all = registry_.table();
  for (const auto& spec : all->specs()) arm_activation(spec.name);
}

// Also of one that was not trusted with a topic when the host began.
void ServiceManager::arm_activation(const std::string& plugin) {
  const auto spec = registry_.spec_of(plugin);
  if (spec->refusal() || lives_.instance(plugin)->peek() != nullptr) return;
  auto topics = audit_.rights_of(*spec)->granted_topics(GrantKind::subscribe, spec->manifest->activating_topics());
  // Of a language it learns no more than that there is one.
  for (auto& topic : spec->manifest->activating_languages()) topics.push_back(std::move(topic));
  if (topics.empty()) return;
  auto armed = activations_.arm(plugin, std::move(topics),
                                [this, plugin](const Since& since) { lives_.at(plugin).activate(since); });
  if (!armed)
    deps_.log.write(Level::error, "plugins", plugin + " is not activated by events: " + armed.error().message);
}

// --- What is seen ---

std::vector<PluginStatus> ServiceManager::status() {
  std::vector<PluginStatus> out;
  const auto all = registry_.table();
  for (auto& [name, view] : lives_.views()) {
    if (all->has(name)) out.push_back(status_of(*PluginTable::share(all, name), std::move(view)));
  }
  return out;
}

PluginStatus ServiceManager::status_of(const PluginSpec& spec, PluginLife::View view) const {
  const bool child = spec.child || runner_.loader().needs_own_process(spec.name);
  PluginStatus status;
  status.name = spec.name;
  status.isolation = child ? "child" : "inline";
  status.grants = grant_texts(spec.grants());
  status.refusals = audit_.refusals(spec.name);
  if (spec.manifest) status.version = spec.manifest->version;
  status.state = shown_as(view.state);
  status.reason = std::move(view.reason);
  if (spec.enabled && spec.failure.empty()) status.untrusted = grant_texts(spec.untrusted());
  if (view.state == LifeState::disabled || view.state == LifeState::out_of_order) return status;
  status.restarts = view.restarts;
  status.evidence = std::move(view.evidence);
  if (const auto& plugin = view.instance) {
    status.open_calls = plugin->open_calls();
    status.runs_on = plugin->runs_on();
    status.pid = plugin->pid();
    status.enforced = plugin->enforced();
  } else if (child) {
    status.enforced = confinement_.enforced(spec.name);
  }
  if (spec.manifest && (!child || status.pid)) status.unenforced = unenforced(*spec.manifest, status.enforced);
  return status;
}

void ServiceManager::resolve_grants(const GrantPlaces& places) const {
  const auto all = registry_.table();
  for (const auto& spec : all->specs()) confinement_.resolve(spec, places);
}

std::vector<std::string> ServiceManager::confined_too_narrowly() const {
  std::vector<std::string> out;
  const auto all = registry_.table();
  for (const auto& spec : all->specs()) {
    const auto running = lives_.instance(spec.name)->peek();
    if (running && running->pid() && confinement_.is_too_narrow(spec)) out.push_back(spec.name);
  }
  return out;
}

// --- The end ---

bool ServiceManager::block_until_idle(std::optional<TimePoint> until) {
  while (lives_.block_until_idle(until)) {
    if (runner_.jobs().block_until_idle(TimePoint{})) return true;
    if (!runner_.jobs().block_until_idle(until)) return false;
  }
  return false;
}

bool ServiceManager::stop_all(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  activations_.disarm();
  registry_.stop();
  lives_.stop_starting();
  bool all = block_until_idle(until);
  runner_.loader().give_up();
  if (lives_.has_abandoned()) all = false;
  // Those that need others first.
  std::map<std::size_t, std::vector<PluginInstance>, std::greater<>> levels;
  const auto table = registry_.table();
  for (auto& plugin : lives_.running()) levels[table->graph().level_of(plugin->name())].push_back(std::move(plugin));
  auto left = static_cast<int>(levels.size());
  for (const auto& [level, plugins] : levels) {
    const Duration now = std::max<Duration>(until - std::chrono::steady_clock::now(), Duration::zero());
    if (!stop_together(plugins, std::max(now / left--, budget / 10))) all = false;
  }
  return all;
}

}  // namespace gantry::host
