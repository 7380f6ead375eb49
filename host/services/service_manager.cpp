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
    found[spec.name] = std::move(spec);
  }
  for (const auto& wanted : configured) {
    PluginSpec& spec = found[wanted.name];
    spec.name = wanted.name;
    spec.enabled = wanted.enabled;
    spec.child = wanted.child;
    if (!wanted.library.empty()) spec.library = wanted.library;
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
    Entry entry{&spec, nullptr};
    entry.instance = std::make_unique<Lazy<Plugin>>(spec.name, [this, &spec] { return construct(spec); }, options);
    entries_.emplace(spec.name, std::move(entry));
    if (!spec.manifest) continue;
    for (const auto& service : spec.manifest->services) {
      const auto [at, is_new] = services_.emplace(service, &spec);
      if (!is_new && spec.enabled) at->second = &spec;  // the other one is disabled
    }
  }
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

Result<std::shared_ptr<Plugin>> ServiceManager::construct(const PluginSpec& spec) {
  {
    Lock lock(mutex_);
    if (stopping_) return fail(ErrorKind::unavailable, "the host is stopping");
    ++constructing_;
  }
  auto plugin = load_and_start(spec);
  {
    Lock lock(mutex_);
    --constructing_;
    if (plugin) live_.push_back(*plugin);
    changed_.notify_all();
  }
  // What changed while it started has found no plugin to tell.
  if (plugin) (*plugin)->reconfigure([this, &spec] { return config_of_(spec); });
  return plugin;
}

Result<std::shared_ptr<Plugin>> ServiceManager::load_and_start(const PluginSpec& spec) {
  const auto failed = [&](const Error& error) {
    deps_.log.write(Level::error, "plugins", spec.name + " failed: " + error.message);
    (void)deps_.bus.publish("host.plugin.failed", dump_json({{"name", spec.name}, {"reason", error.message}}));
    return fail(error.kind, "plugin " + spec.name + " could not be started: " + error.message, error.data);
  };
  if (!spec.manifest) return failed(Error{ErrorKind::unavailable, spec.failure, {}});
  Result<std::shared_ptr<Plugin>> plugin = nullptr;
  try {
    plugin = spec.child ? start_child(spec) : start_inline(spec);
    if (!plugin) return failed(plugin.error());
  } catch (const std::exception& e) {
    return failed(Error{ErrorKind::internal, e.what(), {}});
  }
  deps_.log.write(Level::info, "plugins", spec.name + " " + spec.manifest->version + " is ready");
  (void)deps_.bus.publish("host.plugin.ready", dump_json({{"name", spec.name}, {"version", spec.manifest->version}}));
  return plugin;
}

PluginBasics ServiceManager::basics_of(const PluginSpec& spec) const {
  return {spec.name, *spec.manifest, deps_.timers,
          std::make_shared<BusPort>(spec.name, deps_.bus, deps_.log, deps_.describe_origin, deps_.event_permits,
                                    BusPort::Caller{deps_.join(spec), deps_.call, deps_.leave}),
          deps_.max_payload_bytes};
}

Result<std::shared_ptr<Plugin>> ServiceManager::start_inline(const PluginSpec& spec) {
  auto plugin = InlinePlugin::load(spec.library, basics_of(spec), deps_.workers);
  if (!plugin) return std::unexpected(plugin.error());
  if (auto started = (*plugin)->start(config_of_(spec)); !started) return std::unexpected(started.error());
  return *plugin;
}

Result<std::shared_ptr<Plugin>> ServiceManager::start_child(const PluginSpec& spec) {
  ChildDeps deps{deps_.workers, deps_.event_permits, deps_.program,
                 [this, &spec](const std::string& why) { died(spec, why); }};
  auto plugin = ChildPlugin::start(spec.library, basics_of(spec), std::move(deps), config_of_(spec), kStartPatience);
  if (!plugin) return std::unexpected(plugin.error());
  return *plugin;
}

// The next call starts it again.
void ServiceManager::died(const PluginSpec& spec, const std::string& why) {
  const auto was = entries_.at(spec.name).instance->reset();
  {
    Lock lock(mutex_);
    std::erase(live_, was);
  }
  (void)deps_.bus.publish("host.plugin.died", dump_json({{"name", spec.name}, {"reason", why}}));
}

Lazy<Plugin>* ServiceManager::instance(const std::string& plugin) const {
  const auto it = entries_.find(plugin);
  return it == entries_.end() ? nullptr : it->second.instance.get();
}

Result<void> ServiceManager::start(const std::string& plugin) {
  auto* const lazy = instance(plugin);
  if (lazy == nullptr) return fail(ErrorKind::not_found, "no plugin is named " + plugin);
  if (auto started = lazy->get(); !started) return std::unexpected(started.error());
  return {};
}

std::vector<PluginStatus> ServiceManager::status() const {
  std::vector<PluginStatus> out;
  for (const auto& [name, entry] : entries_) {
    PluginStatus status;
    status.name = name;
    status.isolation = entry.spec->child ? "child" : "inline";
    if (entry.spec->manifest) status.version = entry.spec->manifest->version;
    if (!entry.spec->enabled) {
      status.state = "disabled";
    } else if (!entry.spec->manifest) {
      status.state = "failed";
      status.reason = entry.spec->failure;
    } else {
      switch (entry.instance->state()) {
        case LazyState::empty:
          status.state = "known";
          break;
        case LazyState::constructing:
          status.state = "starting";
          break;
        case LazyState::ready:
          status.state = "ready";
          break;
        case LazyState::failed:
          status.state = "failed";
          status.reason = entry.instance->error().message;
      }
      if (const auto plugin = entry.instance->peek()) {
        status.open_calls = plugin->open_calls();
        status.runs_on = plugin->runs_on();
        status.pid = plugin->pid();
      }
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
    if (const auto plugin = entry.instance->peek()) body(*plugin);
  }
}

void ServiceManager::reconfigure() {
  for (const auto& [name, entry] : entries_) {
    if (const auto plugin = entry.instance->peek())
      plugin->reconfigure([this, spec = entry.spec] { return config_of_(*spec); });
  }
}

void ServiceManager::gone(OriginId origin) {
  each_running([origin](Plugin& plugin) { plugin.gone(origin); });
}

bool ServiceManager::stop_all(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  std::atomic<bool> all{true};
  std::vector<std::shared_ptr<Plugin>> live;
  {
    Lock lock(mutex_);
    stopping_ = true;
    while (constructing_ != 0) {
      if (changed_.wait_until(mutex_, until)) continue;
      all = false;
      break;
    }
    live = live_;
  }
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
