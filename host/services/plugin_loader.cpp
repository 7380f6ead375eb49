// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_loader.hpp"

#include <utility>

#include "host/plugins/bus_port.hpp"
#include "host/plugins/child/child_plugin.hpp"

namespace gantry::host {

namespace {

/// What a plugin logs is also evidence, should it die.
class EvidencePort final : public BusPort {
 public:
  using KeepLine = std::function<void(std::string_view)>;
  template <class... Rest>
  explicit EvidencePort(KeepLine keep_line, Rest&&... rest)
      : BusPort(std::forward<Rest>(rest)...), keep_line_(std::move(keep_line)) {}
  void log(Level level, std::string_view line) override {
    keep_line_(line);
    BusPort::log(level, line);
  }

 private:
  const KeepLine keep_line_;
};

}  // namespace

PluginLoader::PluginLoader(const PluginDeps& deps, PluginBuilds& builds, PluginAudit& audit,
                           PluginConfinement& confinement, ConfigOf config_of, KeepLine keep_line, Died died)
    : deps_(deps),
      builds_(builds),
      audit_(audit),
      confinement_(confinement),
      config_of_(std::move(config_of)),
      keep_line_(std::move(keep_line)),
      died_(std::move(died)) {}

LifeHost::Started PluginLoader::start(const LifeHost::Start& start) {
  PluginSpec spec = *start.build.spec;
  spec.child = spec.child || needs_own_process(spec.name);
  if (auto kept = builds_.keep(spec); !kept) return {std::unexpected(kept.error())};
  auto started = spec.child ? start_child(spec, start) : start_inline(spec, start);
  if (started.instance) audit_.granted(*start.build.spec);
  return started;
}

PluginBasics PluginLoader::basics_of(const PluginSpec& spec, const LifeHost::Start& start) const {
  const auto rights = audit_.rights_of(spec);
  Manifest manifest = *spec.manifest;
  manifest.publishes = rights->granted_topics(GrantKind::publish, manifest.publishes);
  manifest.subscribes = rights->granted_topics(GrantKind::subscribe, manifest.subscribes);
  BusPort::Caller caller{deps_.join(spec), deps_.call, deps_.leave, rights};
  return {
      spec.name,
      std::move(manifest),
      deps_.timers,
      std::make_shared<EvidencePort>([this, plugin = spec.name](std::string_view line) { keep_line_(plugin, line); },
                                     LogOwner{spec.name, spec.bundled}, deps_.bus, deps_.log, deps_.describe_origin,
                                     deps_.event_permits, std::move(caller), start.since),
      deps_.max_payload_bytes,
      start.handed_over,
      spec.library};
}

LifeHost::Started PluginLoader::start_inline(const PluginSpec& spec, const LifeHost::Start& start) {
  std::optional<CrashMark> before;
  {
    const Lock lock(mutex_);
    before = marks_[spec.name].mark;
  }
  const auto file = crash_file(spec.name);
  const StartMark mark(file, before);
  HungWatch watch{deps_.hung_after,
                  [this, plugin = spec.name](InlinePlugin& hung, const Death& death) {
                    hung.abandon(death, [this, plugin](const PluginInstance& instance, const Death& why) {
                      died_(plugin, instance, why);
                    });
                  },
                  file.string(), !spec.bundled};
  auto basics = basics_of(spec, start);
  const auto port = basics.port;
  auto started =
      wait_for(InlineStart::begin(spec.opened(), std::move(basics), deps_.workers, std::move(watch), config_of_(spec)));
  outlived_its_start(spec.name);
  if (!started.instance) port->left();
  return started;
}

LifeHost::Started PluginLoader::wait_for(const std::shared_ptr<InlineStart>& start) {
  const auto timeout = deps_.timers.after(kStartTimeout, [start] {
    constexpr auto kSeconds = std::chrono::duration_cast<std::chrono::seconds>(kStartTimeout).count();
    start->give_up("it did not start within " + std::to_string(kSeconds) + " s; its thread is abandoned");
  });
  bool give_up = false;
  {
    const Lock lock(mutex_);
    starting_.push_back(start);
    give_up = gives_up_;
  }
  if (give_up) start->give_up("the host is stopping");
  auto plugin = start->wait();
  (void)deps_.timers.cancel(timeout);
  const Lock lock(mutex_);
  std::erase(starting_, start);
  return {std::move(plugin), start->is_given_up()};
}

LifeHost::Started PluginLoader::start_child(const PluginSpec& spec, const LifeHost::Start& start) {
  const json config = config_of_(spec);
  ChildDeps deps{deps_.workers,
                 deps_.spawner,
                 deps_.program,
                 confinement_.for_process(spec, config),
                 deps_.hung_after,
                 [this, plugin = spec.name](const PluginInstance& instance, const Death& death) {
                   died_(plugin, instance, death);
                 }};
  auto basics = basics_of(spec, start);
  const auto port = basics.port;
  auto plugin = ChildPlugin::start(spec.opened(), std::move(basics), std::move(deps), config, kStartTimeout);
  if (!plugin) {
    port->left();
    return {std::unexpected(plugin.error())};
  }
  outlived_its_start(spec.name);
  PluginSpec as_granted = spec;
  if (builds_.is_kept(spec.name, spec.copy)) as_granted.copy.clear();  // as PluginConfinement::granted() sees it
  confinement_.confined(as_granted, config, (*plugin)->enforced());
  return {*plugin};
}

void PluginLoader::give_up() {
  std::vector<std::shared_ptr<InlineStart>> starting;
  {
    const Lock lock(mutex_);
    gives_up_ = true;
    starting = starting_;
  }
  for (const auto& start : starting) start->give_up("the host is stopping");
}

// A mark that is evidence stays until the plugin has been started by hand, and has not ended that host either. What
// came with the host is tried in a process of its own first: people depend on it, and there it can end no host.
std::string PluginLoader::blame(const PluginSpec& spec) {
  const auto file = crash_file(spec.name);
  if (file.empty() || spec.child) return {};
  const auto mark = read_crash_mark(file);
  if (!mark) return {};
  const std::string blame = mark->text();
  const bool own_process = mark->is_evidence() && spec.bundled;
  {
    const Lock lock(mutex_);
    marks_[spec.name] = {mark, own_process};
  }
  if (!mark->is_evidence()) deps_.log.write(Level::info, "plugins", spec.name + " is started as ever, though " + blame);
  if (own_process) deps_.log.write(Level::warn, "plugins", spec.name + " is run in a process of its own: " + blame);
  return mark->is_evidence() && !own_process ? blame : "";
}

void PluginLoader::forgive(const std::string& plugin) {
  const Lock lock(mutex_);
  marks_[plugin] = {};
}

bool PluginLoader::needs_own_process(const std::string& plugin) const {
  const Lock lock(mutex_);
  const auto it = marks_.find(plugin);
  return it != marks_.end() && it->second.own_process;
}

std::filesystem::path PluginLoader::crash_file(const std::string& plugin) const {
  return deps_.crash_dir.empty() ? std::filesystem::path() : deps_.crash_dir / plugin;
}

// This process has outlived it as well: that others ended meanwhile was not its doing. A fatal signal was.
void PluginLoader::outlived_its_start(const std::string& plugin) {
  {
    const Lock lock(mutex_);
    auto& mark = marks_[plugin].mark;
    if (!mark || mark->signal != 0) return;
    mark.reset();
  }
  remove_crash_mark(crash_file(plugin));
}

}  // namespace gantry::host
