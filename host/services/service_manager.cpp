// SPDX-License-Identifier: Apache-2.0
#include "host/services/service_manager.hpp"

#include <algorithm>
#include <gantry/params.hpp>
#include <system_error>
#include <thread>
#include <utility>

#include "host/plugins/bus_port.hpp"
#include "host/plugins/child_plugin.hpp"

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

[[nodiscard]] std::string home() {
  const char* value = ::getenv("HOME");
  return value == nullptr ? "" : value;
}

[[nodiscard]] std::vector<std::string> texts(const std::vector<Grant>& grants) {
  std::vector<std::string> out;
  out.reserve(grants.size());
  for (const auto& grant : grants) out.push_back(to_string(grant));
  return out;
}

/// `config`: what the plugin is handed.
[[nodiscard]] Confinement confinement_for(const PluginSpec& spec, const json& config) {
  Confinement out;
  out.folder = config.value("state_dir", "");
  const auto grants = spec.grants();
  const GrantPlaces places{home(), std::filesystem::path(out.folder).parent_path().string(),
                           config.value("workspaces", std::vector<std::string>{})};
  out.read = granted_paths(grants, GrantKind::read, places);
  out.read.push_back(spec.library.parent_path().string());
  out.write = granted_paths(grants, GrantKind::write, places);
  out.network = has_grant(grants, GrantKind::network);
  out.processes = has_grant(grants, GrantKind::processes);
  out.max_memory_mib = spec.max_memory_mib;
  return out;
}

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

// Of two plugins that offer one service the first by name has it; the other is out of order, and says why.
void refuse_taken_services(std::vector<PluginSpec>& specs) {
  std::map<std::string, std::string> owners;
  for (auto& spec : specs) {
    if (!spec.manifest || !spec.enabled) continue;
    const auto taken = std::find_if(spec.manifest->services.begin(), spec.manifest->services.end(),
                                    [&](const auto& service) { return owners.contains(service); });
    if (taken != spec.manifest->services.end()) {
      spec.failure = "it offers the service " + *taken + ", which plugin " + owners[*taken] + " offers already";
      spec.manifest.reset();
      continue;
    }
    for (const auto& service : spec.manifest->services) owners[service] = spec.name;
  }
}
}  // namespace

std::vector<Grant> PluginSpec::grants() const {
  if (!manifest) return {};
  if (!granted) return bundled ? manifest->grants : std::vector<Grant>{};
  return effective_grants(manifest->grants, *granted, home());
}

std::vector<PluginSpec> find_plugins(const std::filesystem::path& bundled, const std::vector<PluginSpec>& configured) {
  std::map<std::string, PluginSpec> found;
  std::error_code failed;
  for (auto it = std::filesystem::directory_iterator(bundled, failed);
       !failed && it != std::filesystem::directory_iterator(); it.increment(failed)) {
    // A manifest without its library is a plugin that is missing, not one that never was.
    if (it->path().extension() != ".so" && it->path().extension() != ".json") continue;
    PluginSpec spec;
    spec.name = it->path().stem().string();
    spec.library = std::filesystem::path(it->path()).replace_extension(".so");
    spec.bundled = true;
    found[spec.name] = std::move(spec);
  }
  for (const auto& wanted : configured) {
    PluginSpec& spec = found[wanted.name];
    spec.name = wanted.name;
    spec.enabled = wanted.enabled;
    spec.child = wanted.child;
    spec.restart = wanted.restart;
    spec.granted = wanted.granted;
    spec.max_memory_mib = wanted.max_memory_mib;
    if (!wanted.library.empty()) {
      spec.library = wanted.library;
      spec.bundled = false;
    }
  }
  std::vector<PluginSpec> out;
  for (auto& [name, spec] : found) {
    if (spec.library.empty()) {
      spec.failure = "no such plugin: it is not in " + bundled.string() + "; set path in [plugins." + name + "]";
    } else if (!std::filesystem::exists(spec.library, failed)) {
      spec.failure = spec.library.string() + " does not exist; correct path in [plugins." + name + "]";
    } else if (auto manifest = read_manifest(spec.library)) {
      spec.manifest = std::move(*manifest);
    } else {
      spec.failure = manifest.error().message;
    }
    out.push_back(std::move(spec));
  }
  refuse_taken_services(out);
  return out;
}

ServiceManager::ServiceManager(std::vector<PluginSpec> specs, PluginDeps deps, WorkerPool& pool, ConfigOf config_of)
    : specs_(std::move(specs)), deps_(std::move(deps)), pool_(pool), config_of_(std::move(config_of)) {
  for (const auto& spec : specs_) {
    Entry& entry = entries_[spec.name];
    entry.spec = &spec;
    RestartPolicy policy = deps_.restarts;
    policy.restart = spec.restart;
    policy.backoff.seed += entries_.size() << 16U;
    entry.slot =
        std::make_unique<PluginSlot>(spec.name, policy, [this, &entry] { return construct(entry); }, lazy_options());
    hold_back_the_blamed(entry);
    if (!spec.manifest) continue;
    for (const auto& service : spec.manifest->services) {
      const auto [at, is_new] = services_.emplace(service, &spec);
      if (!is_new && spec.enabled) at->second = &spec;  // the other one is disabled
    }
  }
}

// A mark stays until the plugin has been started by hand, and has not ended that host either.
void ServiceManager::hold_back_the_blamed(Entry& entry) {
  const auto file = crash_file(entry);
  if (file.empty() || entry.spec->child) return;
  const auto blame = read_crash_mark(file);
  if (!blame) return;
  entry.slot->quarantine(*blame + "; run it with isolation = \"child\"");
  tell("quarantined", *entry.spec, *blame);
}

std::filesystem::path ServiceManager::crash_file(const Entry& entry) const {
  return deps_.crash_dir.empty() ? std::filesystem::path() : deps_.crash_dir / entry.spec->name;
}

LazyOptions ServiceManager::lazy_options() {
  LazyOptions options;
  options.clock = &deps_.timers;
  options.spawn = [this](std::move_only_function<void()> job) {
    auto shared = std::make_shared<std::move_only_function<void()>>(std::move(job));
    if (pool_.spawn([shared] { (*shared)(); })) return;
    // A full pool must not lose the attempt that others wait for; nor must a system that gives no more threads.
    try {
      std::thread([shared] { (*shared)(); }).detach();
    } catch (const std::system_error&) {
      (*shared)();
    }
  };
  return options;
}

Result<ServiceManager::Method> ServiceManager::find(std::string_view method) const {
  const std::string_view service = method.substr(0, method.find('.'));
  const auto it = services_.find(service);
  if (it == services_.end()) {
    std::string hint;
    for (const auto& spec : specs_) {
      if (!spec.failure.empty()) hint += (hint.empty() ? "; out of order: " : ", ") + spec.name;
    }
    return fail(ErrorKind::method_not_found, "no such method: " + std::string(method.substr(0, 100)) + hint);
  }
  const PluginSpec& spec = *it->second;
  const auto found = spec.manifest->methods.find(std::string(method));
  if (found == spec.manifest->methods.end()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : spec.manifest->methods) names.push_back(name);
    const std::string near = nearest_name(method, names);
    return fail(ErrorKind::method_not_found, "plugin " + spec.name + " has no method " +
                                                 std::string(method.substr(0, 100)) +
                                                 (near.empty() ? "" : "; did you mean " + near + "?"));
  }
  if (!spec.enabled)
    return fail(ErrorKind::unavailable,
                "plugin " + spec.name + " is disabled; set enabled = true in [plugins." + spec.name + "]");
  return Method{&spec, &found->second};
}

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
  entry.slot->starts();
  const auto failed = [&](const Error& error) {
    tell("failed", spec, error.message);
    follow(entry, entry.slot->failed_to_start(error));
    return fail(error.kind, "plugin " + spec.name + " could not be started: " + error.message, error.data);
  };
  if (!spec.manifest) return failed(Error{ErrorKind::unavailable, spec.failure, {}});
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

PluginBasics ServiceManager::basics_of(const Entry& entry) const {
  const PluginSpec& spec = *entry.spec;
  return {spec.name, *spec.manifest, deps_.timers,
          std::make_shared<SlotPort>(*entry.slot, spec.name, deps_.bus, deps_.log, deps_.describe_origin,
                                     deps_.event_permits, BusPort::Caller{deps_.join(spec), deps_.call, deps_.leave}),
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

Result<ServiceManager::Instance> ServiceManager::start_child(Entry& entry) {
  const PluginSpec& spec = *entry.spec;
  const json config = config_of_(spec);
  ChildDeps deps{deps_.workers,
                 deps_.spawner,
                 deps_.event_permits,
                 deps_.program,
                 confinement_for(spec, config),
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
  follow(entry, verdict);
}

// Who has an activation of its own runs without being called: it does not wait for the next call either.
void ServiceManager::follow(Entry& entry, const PluginSlot::Verdict& verdict) {
  const PluginSpec& spec = *entry.spec;
  if (verdict.what == PluginSlot::Verdict::quarantined) tell("quarantined", spec, verdict.message);
  if (verdict.what != PluginSlot::Verdict::may_start) return;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(verdict.after).count();
  if (ms != 0) tell("backing_off", spec, verdict.message, {{"retry_after_ms", ms}});
  if (!spec.manifest || spec.manifest->activation.empty()) return;
  const auto again = [&entry] {
    entry.slot->get_async([](const Result<Instance>&) {});  // what comes of it is told
  };
  Lock lock(mutex_);
  if (!stopping_) entry.restart = deps_.timers.after(verdict.after, again);
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

PluginSlot* ServiceManager::instance(const std::string& plugin) const {
  const auto it = entries_.find(plugin);
  return it == entries_.end() ? nullptr : it->second.slot.get();
}

Result<void> ServiceManager::start(const std::string& plugin) {
  auto* const slot = instance(plugin);
  if (slot == nullptr) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : entries_) names.push_back(name);
    const std::string near = nearest_name(plugin, names);
    return fail(ErrorKind::not_found,
                "no plugin is named " + plugin + (near.empty() ? "" : "; did you mean " + near + "?"));
  }
  if (auto started = slot->get(); !started) return std::unexpected(started.error());
  return {};
}

Result<void> ServiceManager::restart(const std::string& plugin) {
  if (const auto it = entries_.find(plugin); it != entries_.end()) {
    it->second.slot->release();
    if (it->second.slot->retire()) tell("draining", *it->second.spec);
  }
  return start(plugin);
}

std::vector<PluginStatus> ServiceManager::status() const {
  std::vector<PluginStatus> out;
  for (const auto& [name, entry] : entries_) {
    PluginStatus status;
    status.name = name;
    status.isolation = entry.spec->child ? "child" : "inline";
    status.grants = texts(entry.spec->grants());
    if (entry.spec->manifest) status.version = entry.spec->manifest->version;
    if (!entry.spec->enabled) {
      status.state = "disabled";
    } else if (!entry.spec->manifest) {
      status.state = "failed";
      status.reason = entry.spec->failure;
    } else {
      auto view = entry.slot->view();
      status.state = std::move(view.state);
      status.reason = std::move(view.reason);
      status.restarts = view.restarts;
      status.evidence = std::move(view.evidence);
      if (const auto& plugin = view.instance) {
        status.open_calls = plugin->open_calls();
        status.runs_on = plugin->runs_on();
        status.pid = plugin->pid();
        status.enforced = plugin->enforced();
      }
      if (!entry.spec->child || status.pid) status.unenforced = unenforced(*entry.spec->manifest, status.enforced);
    }
    out.push_back(std::move(status));
  }
  return out;
}

std::vector<std::string> ServiceManager::activated_by(std::string_view when) const {
  std::vector<std::string> out;
  for (const auto& spec : specs_) {
    if (spec.enabled && spec.manifest && spec.manifest->activated_by(when)) out.push_back(spec.name);
  }
  return out;
}

void ServiceManager::each_running(const std::function<void(Plugin&)>& body) const {
  for (const auto& [name, entry] : entries_) {
    if (const auto plugin = entry.slot->peek()) body(*plugin);
  }
}

void ServiceManager::reconfigure() {
  for (const auto& [name, entry] : entries_) {
    if (const auto plugin = entry.slot->peek())
      plugin->reconfigure([this, spec = entry.spec] { return config_of_(*spec); });
  }
}

void ServiceManager::gone(OriginId origin) {
  each_running([origin](Plugin& plugin) { plugin.gone(origin); });
}

bool ServiceManager::stop_all(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  std::atomic<bool> all{true};
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
  std::vector<std::thread> stoppers;
  for (const auto& plugin : live) {
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

}  // namespace gantry::host
