// SPDX-License-Identifier: Apache-2.0
//
// How one instance of a plugin comes to run, inside this process or in one of its own, and what it may reach there.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "host/plugins/bus_port.hpp"
#include "host/plugins/child/child_plugin.hpp"
#include "host/plugins/crash_mark.hpp"
#include "host/services/service_manager.hpp"

namespace gantry::host {

namespace {

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

/// Where the table of models says that keys lie. What a command prints, the host says (key_commands.hpp).
void open_key_sources(Confinement& out, const json& settings) {
  for (const auto& [name, provider] : settings.value("providers", json::object()).items()) {
    if (const auto env = provider.find("api_key_env"); env != provider.end() && env->is_string())
      out.environment.push_back(*env);
    if (const auto file = provider.find("api_key_file"); file != provider.end() && file->is_string())
      out.read.push_back(*file);
  }
}

/// `config`: what the plugin is handed.
[[nodiscard]] Confinement confinement_for(const PluginSpec& spec, const json& config, PinnedPaths& pins) {
  Confinement out;
  out.folder = config.value("state_dir", "");
  const std::filesystem::path folder = out.folder;
  const auto grants = spec.grants();
  const GrantPlaces places{home_folder(), folder.parent_path().string(),
                           config.value("workspaces", std::vector<std::string>{})};
  // What cannot be resolved is there for the log, and stays closed: nothing has the id of nothing.
  const auto pinned = [&](GrantKind kind) {
    std::vector<std::string> paths;
    for (const auto& granted : granted_paths(grants, kind, places)) {
      const auto pin = pins.resolve(granted.path, granted.within);
      paths.push_back(pin ? pin->path : granted.path);
      out.pinned[paths.back()] = pin ? pin->id : FileId{};
    }
    return paths;
  };
  // Its own folder is no link, whoever may write where it is.
  const auto state = pins.resolve(places.state);
  const auto own = pins.resolve(out.folder);
  const bool is_own = state && own && own->path == state->path / folder.filename();
  out.read = pinned(GrantKind::read);
  out.read.push_back(spec.library.parent_path().string());
  if (!spec.copy.empty()) out.read.push_back(spec.copy.parent_path().string());
  out.write = pinned(GrantKind::write);
  out.pinned[out.folder] = is_own ? own->id : FileId{};
  out.network = has_grant(grants, GrantKind::network);
  out.processes = has_grant(grants, GrantKind::processes);
  out.max_memory_mib = spec.max_memory_mib;
  if (spec.reads_keys()) open_key_sources(out, config.value("settings", json::object()));
  return out;
}

/// For a plugin's helpers. On a fresh account it is not there yet, and what is not there when a path is resolved stays
/// closed. Its parents are the user's to make.
void make_cache_folder(const PluginSpec& spec, const json& config) {
  const std::string cache = home_folder() + "/.cache";
  const GrantPlaces places{home_folder(), config.value("state_dir", ""), {}};
  const auto writes = granted_paths(spec.grants(), GrantKind::write, places);
  if (std::ranges::any_of(writes, [&](const auto& granted) { return granted.path == cache; }))
    (void)::mkdir(cache.c_str(), 0700);
}

}  // namespace

Result<ServiceManager::Instance> ServiceManager::load_and_start(Entry& entry, const Build& build, bool trial) {
  const PluginSpec& spec = *build.spec;
  if (auto refused = spec.refusal()) return std::unexpected(std::move(*refused));
  if (deps_.may_start) {
    if (auto may = deps_.may_start(spec); !may) return std::unexpected(std::move(may.error()));
  }
  if (auto ok = start_needs(entry, build); !ok) return std::unexpected(ok.error());
  entry.slot->starts(trial);
  const auto failed = [&](const Error& error) {
    tell("failed", spec.name, error.message);
    if (!trial) {
      auto verdict = entry.slot->failed_to_start(error);
      hold_back_the_hanging(entry, verdict, error.message);
      follow(entry, verdict, {});
    }
    return fail(error.kind, "plugin " + spec.name + " could not be started: " + error.message, error.data);
  };
  tell("starting", spec.name);
  Result<Instance> plugin = nullptr;
  try {
    const auto started = as_started(entry, spec);
    if (!started) return failed(started.error());
    plugin = started->child ? start_child(entry, *started) : start_inline(entry, *started);
    if (!plugin) return failed(plugin.error());
  } catch (const std::exception& e) {
    return failed(Error{ErrorKind::internal, e.what(), {}});
  }
  audit_granted(spec);
  tell("ready", spec.name, {}, {{"version", spec.manifest->version}});
  return plugin;
}

Result<PluginSpec> ServiceManager::as_started(Entry& entry, const PluginSpec& wanted) {
  PluginSpec spec = wanted;
  spec.child = spec.child || has_own_process(entry);
  if (auto kept = keep_build(entry, spec); !kept) return std::unexpected(kept.error());
  Lock lock(mutex_);
  if (spec.copy.empty()) spec.copy = entry.kept;
  return spec;
}

bool ServiceManager::has_own_process(const Entry& entry) const {
  Lock lock(mutex_);
  return entry.own_process;
}

// This process has outlived it as well: that others ended meanwhile was not its doing. A fatal signal was.
void ServiceManager::outlived_its_start(Entry& entry) {
  {
    Lock lock(mutex_);
    if (!entry.mark || entry.mark->signal != 0) return;
    entry.mark.reset();
  }
  remove_crash_mark(crash_file(entry));
}

PluginBasics ServiceManager::basics_of(const Entry& entry, const PluginSpec& spec) const {
  std::shared_ptr<Handover> handed_over;
  Since since;
  {
    Lock lock(mutex_);
    handed_over = entry.handed_over;
    since = entry.since;
  }
  const auto rights = rights_of(entry, spec);
  Manifest manifest = *spec.manifest;
  manifest.publishes = rights->granted_topics(GrantKind::publish, manifest.publishes);
  manifest.subscribes = rights->granted_topics(GrantKind::subscribe, manifest.subscribes);
  BusPort::Caller caller{deps_.join(spec), deps_.call, deps_.leave, rights};
  return {spec.name,
          std::move(manifest),
          deps_.timers,
          std::make_shared<SlotPort>(*entry.slot, LogOwner{spec.name, spec.bundled}, deps_.bus, deps_.log,
                                     deps_.describe_origin, deps_.event_permits, std::move(caller), std::move(since)),
          deps_.max_payload_bytes,
          std::move(handed_over),
          spec.library};
}

Result<ServiceManager::Instance> ServiceManager::start_inline(Entry& entry, const PluginSpec& spec) {
  std::optional<CrashMark> before;
  {
    Lock lock(mutex_);
    before = entry.mark;
  }
  const StartMark mark(crash_file(entry), before);
  HungWatch watch{
      deps_.hung_after,
      [this, &entry](InlinePlugin& hung, const Death& death) {
        hung.abandon(death, [this, &entry](const Instance& instance, const Death& why) { died(entry, instance, why); });
      },
      crash_file(entry).string(), !spec.bundled};
  auto basics = basics_of(entry, spec);
  const auto port = basics.port;
  const auto begun =
      InlineStart::begin(spec.opened(), std::move(basics), deps_.workers, std::move(watch), config_of_(spec));
  auto plugin = finish(entry, begun);
  outlived_its_start(entry);
  if (plugin) return *plugin;
  port->left();
  return std::unexpected(plugin.error());
}

// One that hangs has its thread for good, and what it holds.
InlineStart::Started ServiceManager::finish(Entry& entry, const std::shared_ptr<InlineStart>& start) {
  const auto patience = deps_.timers.after(kStartPatience, [start] {
    constexpr auto kSeconds = std::chrono::duration_cast<std::chrono::seconds>(kStartPatience).count();
    start->give_up("it did not start within " + std::to_string(kSeconds) + " s; its thread is abandoned");
  });
  bool give_up = false;
  {
    Lock lock(mutex_);
    starting_.push_back(start);
    give_up = waits_for_no_start_;
  }
  if (give_up) start->give_up("the host is stopping");
  auto plugin = start->wait();
  (void)deps_.timers.cancel(patience);
  Lock lock(mutex_);
  std::erase(starting_, start);
  if (start->is_given_up()) {
    abandoned_ = true;
    ++entry.abandoned;
  }
  return plugin;
}

Result<Confinement> ServiceManager::granted(const std::string& plugin) const {
  const auto all = table();
  if (!all->has(plugin)) return fail(ErrorKind::not_found, "no plugin is named " + plugin);
  const auto spec = PluginTable::share(all, plugin);
  const json config = config_of_(*spec);
  make_cache_folder(*spec, config);
  return confinement_for(*spec, config, *pins_);
}

Result<ServiceManager::Instance> ServiceManager::start_child(Entry& entry, const PluginSpec& spec) {
  const json config = config_of_(spec);
  Confinement confinement = confinement_for(spec, config, *pins_);
  confinement.processes = false;  // the host starts them for it (host/processes/launcher.hpp)
  ChildDeps deps{deps_.workers,
                 deps_.spawner,
                 deps_.event_permits,
                 deps_.program,
                 std::move(confinement),
                 deps_.hung_after,
                 [this, &entry](const Instance& instance, const Death& death) { died(entry, instance, death); }};
  auto basics = basics_of(entry, spec);
  const auto port = basics.port;
  auto plugin = ChildPlugin::start(spec.opened(), std::move(basics), std::move(deps), config, kStartPatience);
  if (!plugin) {
    port->left();
    return std::unexpected(plugin.error());
  }
  outlived_its_start(entry);
  auto enforced = (*plugin)->enforced();
  PluginSpec wanted = spec;
  Lock lock(mutex_);
  if (wanted.copy == entry.kept) wanted.copy.clear();  // as granted() sees it
  entry.confined = confinement_for(wanted, config, *pins_);
  entry.enforced = std::move(enforced);
  return *plugin;
}

}  // namespace gantry::host
