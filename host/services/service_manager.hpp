// SPDX-License-Identifier: Apache-2.0
//
// host/services/service_manager.hpp: which plugin answers which service, and the live instance of
// each, made when it is first needed.
//
// Thread rule: any thread; acquire() does not block, stop_all() does. Plugins may come (add()), none ever goes.
// A plugin starts after those that it needs and stops before them; when one of them is started again, so is it.
// Each has a PluginSlot: the first caller starts it on the worker pool, the others wait for that one attempt; what
// fails
//   is started again as the slot allows: by the next caller, or, if it has an activation of its own, by the manager.
// A reload puts another build in a running one's place; the table of plugins is then another one (plugin_table.hpp).
// Every change of state is published on host.plugin.* and logged.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gantry/worker_pool.hpp>
#include "host/bus/event_bus.hpp"
#include "host/plugins/crash_mark.hpp"
#include "host/plugins/handover.hpp"
#include "host/plugins/inline/inline_start.hpp"
#include "host/plugins/library/library_copies.hpp"
#include "host/runtime/spawner.hpp"
#include "host/sandbox/confine.hpp"
#include "host/sandbox/pinned_paths.hpp"
#include "host/services/activation.hpp"
#include "host/services/append_only_map.hpp"
#include "host/services/plugin_slot.hpp"
#include "host/services/plugin_table.hpp"
#include "host/trust/plugin_rights.hpp"

namespace gantry::host {

struct PluginDeps {
  Timers& timers;
  EventBus& bus;
  Log& log;
  Workers& workers;
  Spawner& spawner;
  std::shared_ptr<PermitQueue> event_permits;  ///< so many plugins process events at once
  std::function<std::optional<std::string>(OriginId)> describe_origin;
  std::size_t max_payload_bytes;
  std::filesystem::path program;  ///< that runs a plugin in a process of its own
  /// A plugin that starts becomes an origin of calls, until it has left.
  std::function<OriginId(const PluginSpec&)> join;
  std::function<void(OriginId)> leave;
  MakeCall call;
  RestartPolicy restarts;
  Duration hung_after{};               ///< zero: nobody looks
  std::filesystem::path crash_dir{};   ///< for the marks of plugins that end the host; empty: none are kept
  std::filesystem::path copies_dir{};  ///< for the copies of libraries that run; empty: they are in memory
  /// The table of plugins is another one.
  std::function<void()> changed{};
  /// May this plugin start now? Asked before each start, where one may block; not a failure of the plugin's.
  std::function<Result<void>(const PluginSpec&)> may_start{};
};

struct PluginStatus {
  std::string name;
  std::string version;
  std::string state;  ///< of the contract's list
  std::string isolation = "inline";
  std::string reason;
  std::uint64_t restarts = 0;
  json evidence;  ///< of its last death; null: there was none
  std::size_t open_calls = 0;
  std::string runs_on;  ///< as Plugin says; empty while it does not run
  std::optional<int> pid;
  std::vector<std::string> enforced;  ///< as Plugin says; of the last instance, while none runs
  std::uint64_t refusals = 0;         ///< of what was not granted
  std::vector<std::string> grants;
  std::vector<std::string> unenforced;  ///< that it asks for: nothing holds it to what was granted of these
  std::vector<std::string> untrusted;   ///< that it asks for and waits for
};

class ServiceManager {
 public:
  /// What a plugin is started with, and again when the configuration changed.
  using ConfigOf = std::function<json(const PluginSpec&)>;
  static constexpr Duration kGrace = std::chrono::seconds(5);
  /// For a start; then it has failed, and what it runs on is ended or, inside this process, let go.
  static constexpr Duration kStartPatience = std::chrono::seconds(30);
  /// Instances of a plugin that hang inside this process: one more is not started before it is asked for by hand.
  static constexpr int kMaxAbandoned = 4;
  /// Of one plugin, replaced by reloads, that end their calls.
  static constexpr int kMaxEnding = 4;
  /// Of one plugin, in this process: none is ever closed.
  static constexpr int kMaxBuilds = 1000;
  static constexpr std::size_t kMaxPlugins = 1000;
  /// Clients that leave while a plugin starts and are told to it afterwards.
  static constexpr std::size_t kMaxGone = 4096;

  ServiceManager(std::vector<PluginSpec> specs, PluginDeps deps, WorkerPool& pool, ConfigOf config_of);
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;
  ~ServiceManager() { disarm_activations(); }

  struct Method {
    PluginSpecPtr plugin;
    const ManifestMethod* method;
  };
  /// Who answers this method, without starting anything. `method_not_found` with the nearest name, or why its plugin is
  /// out of order.
  [[nodiscard]] Result<Method> find(std::string_view method) const;

  /// What this plugin was granted, `processes` for its helpers. `not_found`.
  [[nodiscard]] Result<Confinement> granted(const std::string& plugin) const;

  /// The plugin's place, for calls: it lives as long as the manager. nullptr: there is no such plugin.
  [[nodiscard]] PluginSlot* instance(const std::string& plugin) const;
  /// Blocks until the plugin runs or has failed.
  [[nodiscard]] Result<void> start(const std::string& plugin);
  /// By hand, whatever its state: one that runs is stopped first, within kGrace, and its build is started again; one
  /// that does not run is started with the build that lies there by now. What it was held back for is forgiven. Blocks
  /// as start() does.
  [[nodiscard]] Result<void> restart(const std::string& plugin);

  /// Reads the manifest again and puts the library as it is now in the place of the instance that runs, if one does, by
  /// overlap or handover as the manifests say (either says handover: handover). Calls go on. Blocks until the new one
  /// runs; the old one ends its calls within kGrace after that. After an error all is as before. `conflict`: another
  /// reload runs. `overloaded`: too many old instances end their calls still, or too many builds are in this process.
  [[nodiscard]] Result<void> reload(const std::string& plugin);

  /// Of `found` those that are new are known from now on, and start as any other does; one by which another could not
  /// run any more is `failed`, and says so. The names. `conflict`: a reload runs. `overloaded`: there are kMaxPlugins.
  [[nodiscard]] Result<std::vector<std::string>> add(std::vector<PluginSpec> found);

  /// What the user has agreed to that this plugin asks for is another set, which `commit` makes sure of and gives, or
  /// leaves all as it was. In force at once: a plugin that waited for it may start; one that runs and asks for more is
  /// stopped, and those that need it. Blocks for both. `conflict`: a reload runs.
  [[nodiscard]] Result<void> change_trust(const std::string& plugin,
                                          const std::function<Result<std::vector<Grant>>()>& commit);
  /// A call was refused because the plugin that has this method waits for trust: counted and, once, told.
  void note_untrusted_call(std::string_view method, std::string_view traceparent);

  [[nodiscard]] std::vector<PluginStatus> status() const;
  [[nodiscard]] PluginTablePtr table() const;
  [[nodiscard]] std::vector<std::string> activated_by(std::string_view when) const;
  /// Once: from now on a plugin that is activated by an event, or by a language, starts with the first that comes. It
  /// is given that event, if it has subscribed to it.
  void arm_activations();

  /// Resolves the paths of every plugin's grants, as far as they are there: from then on each must be what it is now.
  void resolve_grants(const GrantPlaces& places) const;
  /// The user has named this workspace, perhaps again: it is what is there now. True: it, or something that was granted
  /// in it, may be another one than before.
  bool renew_workspace(const std::string& folder) const;
  /// Those that run in a process of their own, and may read, write or see other variables now than when it began.
  [[nodiscard]] std::vector<std::string> confined_too_narrowly() const;
  /// Starts the build that runs once more in its own place, as reload() does, with what it may reach now.
  [[nodiscard]] Result<void> renew(const std::string& plugin);

  /// Tells every running plugin its configuration anew.
  void reconfigure();
  void gone(OriginId origin);
  /// Blocks. No plugin starts any more; those that run are stopped at the same time. True: all returned in time.
  bool stop_all(Duration budget);

 private:
  using Instance = PluginSlot::Instance;
  /// A plugin as it is to be started.
  struct Build {
    PluginTablePtr table;
    PluginSpecPtr spec;
  };
  struct Entry {
    std::string name;
    std::unique_ptr<PluginSlot> slot;
    TimerKey restart = 0;  ///< under mutex_, as what follows
    int abandoned = 0;     ///< instances that hang in this process
    int ending = 0;        ///< instances that were replaced and end their calls
    /// Of what was not granted.
    std::shared_ptr<std::atomic<std::uint64_t>> refusals = std::make_shared<std::atomic<std::uint64_t>>(0);
    bool has_run = false;                                         ///< a build of it
    int builds = 0;                                               ///< that were loaded into this process
    std::filesystem::path kept{};                                 ///< a copy of the build that the host has started
    std::optional<CrashMark> mark{};                              ///< what hosts that are gone have left
    bool own_process = false;                                     ///< whatever is configured: it may end a host
    std::optional<std::filesystem::file_time_type> built{};       ///< when the library was written that runs, or ran
    std::optional<Build> next{};                                  ///< the next start is to try this
    std::optional<Result<void>> tried{};                          ///< what became of it
    std::shared_ptr<Handover> handed_over{};                      ///< within a start: by the instance before
    std::vector<OriginId> gone{};                                 ///< who has left while it starts
    std::weak_ptr<Plugin> coming{};                               ///< within a start: it is told itself
    std::shared_ptr<Activation> activation{};                     ///< by an event that has not come
    Since since{};                                                ///< until it runs: where that event was
    std::map<std::string, std::weak_ptr<Plugin>> started_with{};  ///< the instances of what it needs
    std::atomic<bool> untrusted_told{false};
    std::optional<Confinement> confined{};  ///< what the process was started with that was started last
    std::vector<std::string> enforced{};    ///< what holds that process to it
  };
  [[nodiscard]] LazyOptions lazy_options();
  void make_entry(const PluginSpec& spec);
  void hold_back_the_blamed(Entry& entry, const PluginSpec& spec);
  [[nodiscard]] std::filesystem::path crash_file(const Entry& entry) const;
  [[nodiscard]] PluginSpecPtr spec_of(const Entry& entry) const { return PluginTable::share(table(), entry.name); }
  [[nodiscard]] Build build_of(const Entry& entry) const;
  [[nodiscard]] Result<Entry*> entry_of(const std::string& plugin);
  [[nodiscard]] Result<Instance> construct(Entry& entry);
  [[nodiscard]] Result<Instance> try_next(Entry& entry, const Build& next);
  [[nodiscard]] Result<void> take_rebuilt(Entry& entry);
  void note_built(Entry& entry, const PluginSpec& spec);
  [[nodiscard]] bool was_rebuilt(const Entry& entry) const;
  void stop_retired(Entry& entry, bool drain);
  void forget_what_was_given(Entry& entry);
  void disarm_activations();
  void arm_activation(Entry& entry);
  /// Tables are changed one at a time. `again`: what to do when another change runs.
  [[nodiscard]] Result<void> begin_change(const std::string& again, bool renewal);
  void end_change();
  struct Change {
    ServiceManager& manager;
    ~Change() { manager.end_change(); }
  };
  [[nodiscard]] Result<void> has_room_for_another(const Entry& entry) const;
  [[nodiscard]] PluginTablePtr table_with(std::vector<PluginSpec> fresh) const;
  void activate(Entry& entry, const Since& since);
  [[nodiscard]] std::shared_ptr<PluginRights> rights_of(const Entry& entry, const PluginSpec& spec) const;
  [[nodiscard]] bool begin_work();
  void end_work(const Instance& started);
  [[nodiscard]] Result<Build> next_build(Entry& entry);
  [[nodiscard]] Result<void> keep_build(Entry& entry, const PluginSpec& spec);
  /// As it is to be started: what is opened, and whether in a process of its own.
  [[nodiscard]] Result<PluginSpec> as_started(Entry& entry, const PluginSpec& wanted);
  [[nodiscard]] bool has_own_process(const Entry& entry) const;
  void outlived_its_start(Entry& entry);
  [[nodiscard]] Result<void> reload_through_start(Entry& entry, const Build& next, bool runs);
  [[nodiscard]] Result<void> reload_by_overlap(Entry& entry, const Build& next);
  void adopt(Entry& entry, const Build& next);
  void end_old(Entry& entry, Instance old);
  [[nodiscard]] Result<void> start_needs(Entry& entry, const Build& build);
  [[nodiscard]] bool has_outlived_a_need(const Entry& entry) const;
  [[nodiscard]] std::vector<Entry*> retire_dependents(const std::string& name);
  void start_again(const std::vector<Entry*>& dependents);
  void run_elsewhere(std::move_only_function<void()> job);
  /// `trial`: of a new build, whose failure does not count.
  [[nodiscard]] Result<Instance> load_and_start(Entry& entry, const Build& build, bool trial);
  [[nodiscard]] PluginBasics basics_of(const Entry& entry, const PluginSpec& spec) const;
  [[nodiscard]] Result<Instance> start_inline(Entry& entry, const PluginSpec& spec);
  [[nodiscard]] Result<Instance> start_child(Entry& entry, const PluginSpec& spec);
  [[nodiscard]] InlineStart::Started finish(Entry& entry, const std::shared_ptr<InlineStart>& start);
  void died(Entry& entry, const Instance& instance, const Death& death);
  void hold_back_the_hanging(Entry& entry, PluginSlot::Verdict& verdict, const std::string& reason);
  void follow(Entry& entry, const PluginSlot::Verdict& verdict, std::vector<Entry*> dependents);
  void tell(const char* what, const std::string& name, const std::string& reason = {},
            json more = json::object()) const;
  void audit(const std::string& plugin, const std::string& missing, const std::string& wanted,
             std::string_view traceparent) const;
  void audit_granted(const PluginSpec& spec) const;
  void stop_untrusted(Entry& entry);
  [[nodiscard]] std::optional<Error> refuse_untrusted(Entry& entry, const PluginSpec& next) const;
  static void chain_reasons(std::vector<PluginStatus>& all, const PluginGraph& graph);
  [[nodiscard]] static bool stop_together(const std::vector<Instance>& plugins, Duration budget);
  void each_running(const std::function<void(Plugin&)>& body) const;

  PluginDeps deps_;
  WorkerPool& pool_;
  const ConfigOf config_of_;
  LibraryCopies copies_;
  const std::unique_ptr<PinnedPaths> pins_ = std::make_unique<PinnedPaths>();
  AppendOnlyMap<Entry> entries_;
  mutable Mutex mutex_;
  CondVar changed_;
  PluginTablePtr table_ GANTRY_GUARDED_BY(mutex_);
  bool changing_ GANTRY_GUARDED_BY(mutex_) = false;
  bool renewing_ GANTRY_GUARDED_BY(mutex_) = false;  ///< the change is a renewal, which nobody has asked for
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  bool abandoned_ GANTRY_GUARDED_BY(mutex_) = false;   ///< an instance has not returned, and never may
  std::size_t working_ GANTRY_GUARDED_BY(mutex_) = 0;  ///< starts and ends of plugins that run now
  std::vector<std::shared_ptr<InlineStart>> starting_ GANTRY_GUARDED_BY(mutex_);
  bool waits_for_no_start_ GANTRY_GUARDED_BY(mutex_) = false;  ///< any more: the host has waited long enough
  /// Every plugin that was started and not stopped, also one that becomes ready while the host stops.
  std::vector<Instance> live_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
