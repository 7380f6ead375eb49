// SPDX-License-Identifier: Apache-2.0
#include "host/services/service_manager.hpp"

#include <algorithm>
#include <gantry/params.hpp>
#include <system_error>
#include <thread>
#include <utility>

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

}  // namespace

ServiceManager::ServiceManager(std::vector<PluginSpec> specs, PluginDeps deps, WorkerPool& pool, ConfigOf config_of)
    : deps_(std::move(deps)),
      pool_(pool),
      config_of_(std::move(config_of)),
      copies_(deps_.copies_dir),
      table_(std::make_shared<const PluginTable>(std::move(specs))) {
  const auto all = table();
  for (const auto& spec : all->specs()) make_entry(spec);
}

// Nobody looks for it before it is in a table.
void ServiceManager::make_entry(const PluginSpec& spec) {
  Entry& entry = entries_[spec.name];
  entry.name = spec.name;
  if (spec.enabled && !spec.failure.empty())
    deps_.log.write(Level::warn, "plugins", spec.name + " cannot run: " + spec.failure);
  if (const auto warning = spec.warning(); !warning.empty())
    deps_.log.write(Level::warn, "plugins", spec.name + ": " + warning);
  RestartPolicy policy = deps_.restarts;
  policy.restart = spec.restart;
  policy.backoff.seed += entries_.size() << 16U;
  entry.slot =
      std::make_unique<PluginSlot>(spec.name, policy, [this, &entry] { return construct(entry); }, lazy_options());
  hold_back_the_blamed(entry, spec);
}

PluginTablePtr ServiceManager::table() const {
  Lock lock(mutex_);
  return table_;
}

ServiceManager::Build ServiceManager::build_of(const Entry& entry) const {
  auto all = table();
  auto spec = PluginTable::share(all, entry.name);
  return {std::move(all), std::move(spec)};
}

// A mark that is evidence stays until the plugin has been started by hand, and has not ended that host either. What
// came with the host is tried in a process of its own first: people depend on it, and there it can end no host.
void ServiceManager::hold_back_the_blamed(Entry& entry, const PluginSpec& spec) {
  const auto file = crash_file(entry);
  if (file.empty() || spec.child) return;
  const auto mark = read_crash_mark(file);
  if (!mark) return;
  const std::string blame = mark->text();
  entry.mark = mark;
  if (!mark->is_evidence()) {
    deps_.log.write(Level::info, "plugins", entry.name + " is started as ever, though " + blame);
  } else if (spec.bundled) {
    entry.own_process = true;
    deps_.log.write(Level::warn, "plugins", entry.name + " is run in a process of its own: " + blame);
  } else {
    entry.slot->quarantine(blame + "; run it with isolation = \"child\"");
    tell("quarantined", entry.name, blame);
  }
}

std::filesystem::path ServiceManager::crash_file(const Entry& entry) const {
  return deps_.crash_dir.empty() ? std::filesystem::path() : deps_.crash_dir / entry.name;
}

LazyOptions ServiceManager::lazy_options() {
  LazyOptions options;
  options.clock = &deps_.timers;
  options.spawn = [this](std::move_only_function<void()> job) { run_elsewhere(std::move(job)); };
  return options;
}

void ServiceManager::run_elsewhere(std::move_only_function<void()> job) {
  auto shared = std::make_shared<std::move_only_function<void()>>(std::move(job));
  if (pool_.spawn([shared] { (*shared)(); })) return;
  // A full pool must not lose the attempt that others wait for; nor must a system that gives no more threads.
  try {
    std::thread([shared] { (*shared)(); }).detach();
  } catch (const std::system_error&) {
    (*shared)();
  }
}

Result<ServiceManager::Method> ServiceManager::find(std::string_view method) const {
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
    const std::string near = nearest_name(method, names);
    return fail(ErrorKind::method_not_found, "plugin " + spec.name + " has no method " +
                                                 std::string(method.substr(0, 100)) +
                                                 (near.empty() ? "" : "; did you mean " + near + "?"));
  }
  if (auto refused = spec.refusal()) return std::unexpected(std::move(*refused));
  return Method{{all, &spec}, &found->second};
}

PluginSlot* ServiceManager::instance(const std::string& plugin) const {
  const auto it = entries_.find(plugin);
  return it == entries_.end() ? nullptr : it->second.slot.get();
}

Result<ServiceManager::Entry*> ServiceManager::entry_of(const std::string& plugin) {
  const auto it = entries_.find(plugin);
  const auto all = table();  // one that is just being added is not there yet
  if (it == entries_.end() || !all->has(plugin)) {
    std::vector<std::string> names;
    for (const auto& spec : all->specs()) names.push_back(spec.name);
    const std::string near = nearest_name(plugin, names);
    return fail(ErrorKind::not_found,
                "no plugin is named " + plugin + (near.empty() ? "" : "; did you mean " + near + "?"));
  }
  return &it->second;
}

Result<void> ServiceManager::start(const std::string& plugin) {
  const auto entry = entry_of(plugin);
  if (!entry) return std::unexpected(entry.error());
  if (auto started = (*entry)->slot->get(); !started) return std::unexpected(started.error());
  return {};
}

std::vector<PluginStatus> ServiceManager::status() const {
  std::vector<PluginStatus> out;
  const auto all = table();
  for (const auto& spec : all->specs()) {
    const std::string& name = spec.name;
    const Entry& entry = entries_.at(name);
    PluginStatus status;
    status.name = name;
    const bool child = spec.child || has_own_process(entry);
    status.isolation = child ? "child" : "inline";
    status.grants = grant_texts(spec.grants());
    status.refusals = entry.refusals->load(std::memory_order_relaxed);
    if (spec.manifest) status.version = spec.manifest->version;
    if (!spec.enabled) {
      status.state = "disabled";
    } else if (!spec.failure.empty()) {
      status.state = "failed";
      status.reason = spec.failure;
    } else if (status.untrusted = grant_texts(spec.untrusted()); !status.untrusted.empty()) {
      status.state = "disabled";
      status.reason = spec.untrusted_reason();
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
      } else if (child) {
        Lock lock(mutex_);
        status.enforced = entry.enforced;
      }
      if (!child || status.pid) status.unenforced = unenforced(*spec.manifest, status.enforced);
    }
    out.push_back(std::move(status));
  }
  chain_reasons(out, all->graph());
  return out;
}

// A plugin that does not run fails with what it needs.
void ServiceManager::chain_reasons(std::vector<PluginStatus>& all, const PluginGraph& graph) {
  std::map<std::string_view, PluginStatus*> by_name;
  for (auto& status : all) by_name[status.name] = &status;
  for (const auto& name : graph.order()) {
    PluginStatus& status = *by_name.at(name);
    if (status.state != "known" && status.state != "failed") continue;
    for (const auto& need : graph.needs_of(name)) {
      const PluginStatus& needed = *by_name.at(need);
      if (needed.state != "failed" && needed.state != "quarantined" && needed.state != "disabled") continue;
      status.state = "failed";
      status.reason = "it needs " + need + ", which is " + needed.state + ": " + needed.reason;
      break;
    }
  }
}

std::vector<std::string> ServiceManager::activated_by(std::string_view when) const {
  std::vector<std::string> out;
  const auto all = table();
  for (const auto& spec : all->specs()) {
    if (!spec.refusal() && spec.manifest->activated_by(when)) out.push_back(spec.name);
  }
  return out;
}

std::shared_ptr<PluginRights> ServiceManager::rights_of(const Entry& entry, const PluginSpec& spec) const {
  return std::make_shared<PluginRights>(
      spec.principal(), entry.refusals,
      [this, plugin = spec.name](const std::string& missing, const std::string& wanted, std::string_view traceparent) {
        audit(plugin, missing, wanted, traceparent);
      });
}

void ServiceManager::arm_activations() {
  const auto all = table();
  for (const auto& spec : all->specs()) arm_activation(entries_.at(spec.name));
}

// Also of one that was not trusted with a topic when the host began.
void ServiceManager::arm_activation(Entry& entry) {
  const auto spec = spec_of(entry);
  if (spec->refusal() || entry.slot->peek() != nullptr) return;
  auto topics = rights_of(entry, *spec)->granted_topics(GrantKind::subscribe, spec->manifest->activating_topics());
  // Of a language it learns no more than that there is one.
  for (auto& topic : spec->manifest->activating_languages()) topics.push_back(std::move(topic));
  if (topics.empty()) return;
  auto activation =
      std::make_shared<Activation>(deps_.bus, [this, &entry](const Since& since) { activate(entry, since); });
  {
    Lock lock(mutex_);
    if (entry.activation) return;
    entry.activation = activation;
  }
  if (auto armed = activation->arm(spec->name, std::move(topics)); !armed)
    deps_.log.write(Level::error, "plugins", spec->name + " is not activated by events: " + armed.error().message);
}

void ServiceManager::activate(Entry& entry, const Since& since) {
  if (entry.slot->peek() == nullptr) {
    Lock lock(mutex_);
    entry.since = since;
  }
  run_elsewhere([&entry] { (void)entry.slot->get(); });  // what comes of it is told
}

void ServiceManager::disarm_activations() {
  for (auto& [name, entry] : entries_) {
    std::shared_ptr<Activation> activation;
    {
      Lock lock(mutex_);
      activation.swap(entry.activation);
    }
    if (activation) activation->disarm();
  }
}

void ServiceManager::each_running(const std::function<void(Plugin&)>& body) const {
  for (const auto& [name, entry] : entries_) {
    if (const auto plugin = entry.slot->peek()) body(*plugin);
  }
}

void ServiceManager::reconfigure() {
  for (const auto& [name, entry] : entries_) {
    if (const auto plugin = entry.slot->peek())
      plugin->reconfigure([this, &entry] { return config_of_(*spec_of(entry)); });
  }
}

void ServiceManager::gone(OriginId origin) {
  for (auto& [name, entry] : entries_) {
    if (const auto plugin = entry.slot->peek()) plugin->gone(origin);
    const auto leaving = entry.slot->retired();
    if (leaving) leaving->gone(origin);
    if (!leaving && !entry.slot->is_starting()) continue;
    Instance coming;
    {
      Lock lock(mutex_);
      coming = entry.coming.lock();
      if (!coming && entry.gone.size() < kMaxGone) entry.gone.push_back(origin);
    }
    if (coming) coming->gone(origin);  // a second time harms nobody
  }
}

}  // namespace gantry::host
