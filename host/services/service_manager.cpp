// SPDX-License-Identifier: Apache-2.0
#include "host/services/service_manager.hpp"

#include <algorithm>
#include <atomic>
#include <gantry/channel/oneshot.hpp>
#include <system_error>
#include <thread>
#include <utility>

#include "host/plugins/plugin.hpp"

namespace gantry::host {

namespace {

constexpr std::size_t kThreads = 32;
constexpr std::size_t kMaxJobs = 8192;

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

}  // namespace

ServiceManager::ServiceManager(std::vector<PluginSpec> specs, PluginDeps deps, ConfigOf config_of)
    : deps_(std::move(deps)),
      config_of_(std::move(config_of)),
      registry_(std::move(specs)),
      audit_(deps_.bus, deps_.log),
      confinement_(config_of_),
      builds_(deps_.copies_dir, audit_),
      activations_(deps_.bus),
      loader_(
          deps_, builds_, audit_, confinement_, config_of_,
          [this](const std::string& plugin, std::string_view line) { lives_.keep_line(plugin, line); },
          [this](const std::string& plugin, const PluginInstance& instance, const Death& death) {
            instance->note_death();
            lives_.died(plugin, instance, death);
          }),
      lives_(*this, deps_.timers),
      pool_(kThreads, kMaxJobs, [this](std::string_view what) {
        deps_.log.write(Level::error, "plugins", "a start or an end threw: " + std::string(what));
      }) {
  const auto all = registry_.table();
  for (const auto& spec : all->specs()) make_life(spec);
  lives_.table_changed();
}

ServiceManager::~ServiceManager() {
  activations_.disarm();
  (void)pool_.stop();
}

void ServiceManager::make_life(const PluginSpec& spec) {
  if (spec.enabled && !spec.failure.empty())
    deps_.log.write(Level::warn, "plugins", spec.name + " cannot run: " + spec.failure);
  if (const auto warning = spec.warning(); !warning.empty())
    deps_.log.write(Level::warn, "plugins", spec.name + ": " + warning);
  RestartPolicy policy = deps_.restarts;
  policy.restart = spec.restart;
  policy.backoff.seed += (lives_.size() + 1) << 16U;
  const auto blame = loader_.blame(spec);
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
  loader_.forgive(plugin);
  const auto state = lives_.state(plugin);
  if (is_settled(state) && !is_serving(state) && builds_.was_rebuilt(*registry_.spec_of(plugin))) {
    auto done = reload(plugin);
    if (done || done.error().kind != ErrorKind::conflict) return done;
  }
  auto [reply, answer] = oneshot::channel<Result<PluginInstance>>();
  lives_.restart(
      plugin, [told = std::move(reply)](Result<PluginInstance> result) mutable { (void)told.send(std::move(result)); });
  const auto next = answer.recv().value_or(fail(ErrorKind::unavailable, "the host is stopping"));
  wait_settled_with_dependents(plugin);
  return next ? Result<void>() : std::unexpected(next.error());
}

// Those that need it were told in the same step as it was.
void ServiceManager::wait_settled_with_dependents(const std::string& plugin) {
  const auto all = registry_.table();
  auto names = all->graph().dependents_of(plugin);
  names.insert(names.begin(), plugin);
  for (const auto& name : names) {
    auto [settled, wait] = oneshot::channel<bool>();
    lives_.when_settled(name, [told = std::move(settled)]() mutable { (void)told.send(true); });
    (void)wait.recv();
  }
}

Result<void> ServiceManager::reload_with(PluginBuild next, bool handover) {
  const std::string plugin = next.spec->name;
  auto [reply, answer] = oneshot::channel<Result<void>>();
  lives_.reload(plugin, std::move(next), handover,
                [told = std::move(reply)](Result<void> result) mutable { (void)told.send(std::move(result)); });
  return answer.recv().value_or(fail(ErrorKind::unavailable, "the host is stopping"));
}

Result<void> ServiceManager::has_room_for_another(const std::string& plugin) {
  if (lives_.view(plugin).ending < kMaxEnding) return {};
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
  const bool runs = is_serving(lives_.state(plugin));
  auto ready = may_start(*next->spec);
  if (ready) ready = start_needs(*next);
  auto done = ready ? reload_with(*next, handover) : ready;
  if (done) return done;
  PluginBuilds::drop_copy(*next->spec);
  if (!runs) return done;
  const bool ended = handover && ready;
  if (auto again = ended ? start(plugin) : Result<void>(); !again) return again;
  const bool goes_on = is_serving(lives_.state(plugin));
  done.error().message += ended     ? "; the build before it was started again"
                          : goes_on ? "; the build before it goes on"
                                    : "; the build before it does not run any more either";
  return done;
}

Result<void> ServiceManager::renew(const std::string& plugin) {
  if (auto known = registry_.check_name(plugin); !known) return known;
  const auto change = registry_.begin_change({}, true);
  if (!change) return std::unexpected(change.error());
  if (auto ok = has_room_for_another(plugin); !ok) return ok;
  if (!is_serving(lives_.state(plugin))) return {};  // its next start knows what it may
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
    if (lives_.size() + found.size() > kMaxPlugins)
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
                                [this, plugin](const Since& since) { lives_.activate(plugin, since); });
  if (!armed)
    deps_.log.write(Level::error, "plugins", plugin + " is not activated by events: " + armed.error().message);
}

// --- What is seen ---

std::vector<PluginStatus> ServiceManager::status() {
  std::vector<PluginStatus> out;
  const auto all = registry_.table();
  for (auto& [name, view] : lives_.views()) {
    if (!all->has(name)) continue;
    const auto spec = PluginTable::share(all, name);
    PluginStatus status;
    const bool child = spec->child || loader_.needs_own_process(name);
    status.name = name;
    status.isolation = child ? "child" : "inline";
    status.grants = grant_texts(spec->grants());
    status.refusals = audit_.refusals(name);
    if (spec->manifest) status.version = spec->manifest->version;
    status.state = shown_as(view.state);
    status.reason = std::move(view.reason);
    if (spec->enabled && spec->failure.empty()) status.untrusted = grant_texts(spec->untrusted());
    if (view.state != LifeState::disabled && view.state != LifeState::out_of_order) {
      status.restarts = view.restarts;
      status.evidence = std::move(view.evidence);
      if (const auto& plugin = view.instance) {
        status.open_calls = plugin->open_calls();
        status.runs_on = plugin->runs_on();
        status.pid = plugin->pid();
        status.enforced = plugin->enforced();
      } else if (child) {
        status.enforced = confinement_.enforced(name);
      }
      if (spec->manifest && (!child || status.pid)) status.unenforced = unenforced(*spec->manifest, status.enforced);
    }
    out.push_back(std::move(status));
  }
  return out;
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

// --- For the lives ---

// None of these jobs waits for another one, so that the pool's bound stops nobody.
void ServiceManager::run_elsewhere(std::move_only_function<void()> job) {
  {
    const Lock lock(mutex_);
    ++jobs_;
  }
  const auto shared = std::make_shared<std::move_only_function<void()>>([this, job = std::move(job)]() mutable {
    struct Ended {
      ServiceManager& manager;
      ~Ended() { manager.job_ended(); }
    };
    const Ended ended{*this};
    job();
    job = nullptr;
  });
  if (pool_.spawn([shared] { (*shared)(); })) return;
  try {
    std::thread([shared] { (*shared)(); }).detach();
  } catch (const std::system_error&) {
    (*shared)();  // the system gives no thread
  }
}

void ServiceManager::job_ended() {
  const Lock lock(mutex_);
  --jobs_;
  changed_.notify_all();
}

bool ServiceManager::block_until_idle(std::optional<TimePoint> until) {
  while (true) {
    if (!lives_.block_until_idle(until)) return false;
    const Lock lock(mutex_);
    if (jobs_ == 0) return true;
    if (!until) {
      changed_.wait(mutex_);
    } else if (!changed_.wait_until(mutex_, *until)) {
      return false;
    }
  }
}

void ServiceManager::prepare(const std::string& plugin, bool first, std::move_only_function<void(Result<void>)> done) {
  run_elsewhere([this, plugin, first, done = std::move(done)]() mutable {
    Result<void> ready;
    try {
      if (first) ready = take_rebuilt(plugin);
      if (ready) ready = may_start(*registry_.spec_of(plugin));
    } catch (const std::exception& e) {
      ready = fail(ErrorKind::internal, "plugin " + plugin + " could not be prepared: " + e.what());
    }
    done(std::move(ready));
  });
}

Result<void> ServiceManager::may_start(const PluginSpec& spec) const {
  if (auto refused = spec.refusal()) return std::unexpected(std::move(*refused));
  return deps_.may_start ? deps_.may_start(spec) : Result<void>();
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

// In the first start of a plugin that was built anew since the host has read its manifest: what lies there now is it.
// Not while a reload runs, which may be what waits for this start. `permission_denied`: it asks for more by now.
Result<void> ServiceManager::take_rebuilt(const std::string& plugin) {
  const auto spec = registry_.spec_of(plugin);
  if (!spec->manifest || !spec->enabled) return {};
  const auto now = read_manifest(spec->library);
  if (!now || now->document == spec->manifest->document) return {};
  const auto change = registry_.try_change();
  if (!change) return {};
  const auto next = builds_.next(*registry_.table(), plugin);
  if (!next) {
    // What else is wrong with it, its start finds.
    return next.error().kind == ErrorKind::permission_denied ? std::unexpected(next.error()) : Result<void>();
  }
  put_in_table(*next);
  lives_.table_changed();
  deps_.log.write(Level::info, "plugins", plugin + " was built anew before it was started");
  return {};
}

void ServiceManager::start(Start start, std::move_only_function<void(Started)> done) {
  run_elsewhere([this, start = std::move(start), done = std::move(done)]() mutable {
    auto started = loader_.start(start);
    if (started.instance) builds_.has_run(start.build.spec->name);
    done(std::move(started));
  });
}

void ServiceManager::end(const std::string& /*plugin*/, PluginInstance instance, End how,
                         std::move_only_function<void(Ended)> done) {
  run_elsewhere([this, instance = std::move(instance), how, done = std::move(done)]() mutable {
    Ended ended;
    try {
      if (how == End::after_handover) instance->expect_successor();
      if (how != End::now) (void)instance->drain(std::chrono::steady_clock::now() + kGrace);
      const bool returned = instance->stop(kGrace);
      ended.hangs = !returned && !instance->pid();  // of a process nothing is left
      if (how != End::replaced) ended.given = instance->given();
    } catch (const std::exception& e) {
      deps_.log.write(Level::error, "plugins", "an instance of " + instance->name() + " was not ended: " + e.what());
      ended.hangs = true;
    }
    done(std::move(ended));
  });
}

void ServiceManager::adopt(const std::string& plugin, const PluginBuild& build) {
  if (build.spec == registry_.spec_of(plugin)) return;  // it is renewed
  put_in_table(build);
}

// From here on everything that is asked of the plugin is asked of this build.
void ServiceManager::put_in_table(const PluginBuild& build) {
  const auto old = registry_.publish(build.table);
  builds_.drop(*PluginTable::share(old, build.spec->name));
  if (deps_.changed) deps_.changed();
}

bool ServiceManager::starts_by_itself(const PluginSpec& spec) const {
  return spec.manifest && !spec.manifest->activation.empty();
}

bool ServiceManager::is_inline(const PluginInstance& instance) const { return !instance->pid(); }

bool ServiceManager::is_dead(const PluginInstance& instance) const { return instance->is_dead(); }

void ServiceManager::tell_gone(const PluginInstance& instance, OriginId origin) { instance->gone(origin); }

void ServiceManager::reconfigure(const std::string& plugin, const PluginInstance& instance) {
  instance->reconfigure([this, plugin] { return config_of_(*registry_.spec_of(plugin)); });
}

void ServiceManager::publish(std::string_view what, const std::string& plugin, const std::string& reason, json more) {
  const Level level = what == "failed" || what == "died" || what == "quarantined" ? Level::error
                      : what == "backing_off"                                     ? Level::warn
                                                                                  : Level::info;
  std::string line = plugin + " ";
  if (what == "failed") {
    line += "failed";
  } else {
    if (what == "ready") line += more.value("version", "") + " ";
    if (what == "died" || what == "stopped") {
      line += what;
    } else {
      line += "is ";
      line += what == "backing_off" ? "backing off" : what;
    }
  }
  deps_.log.write(level, "plugins", line + (reason.empty() ? "" : ": " + reason));
  more["name"] = plugin;
  if (!reason.empty()) more["reason"] = reason;
  (void)deps_.bus.publish("host.plugin." + std::string(what), dump_json(more));
}

// --- The end ---

bool ServiceManager::stop_together(const std::vector<PluginInstance>& plugins, Duration budget) {
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
  activations_.disarm();
  registry_.stop();
  lives_.stop_starting();
  bool all = block_until_idle(until);
  loader_.give_up();
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
