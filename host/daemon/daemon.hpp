// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/daemon.hpp: the whole host. Its parts are built from the bottom up and taken down
// from the top.
//
// Life: build(), open(), run() on the thread that then watches the workers, request_stop() from any
// thread, and run() returns.
// Stop: no more clients; open calls get half of the budget to finish and are cancelled then; tasks
// and plugins get the rest; what was answered is written; the connections close.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <gantry/channel/oneshot.hpp>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/version.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gantry/worker_pool.hpp>
#include "host/bus/event_bus.hpp"
#include "host/config/config.hpp"
#include "host/daemon/library_watch.hpp"
#include "host/daemon/places.hpp"
#include "host/daemon/project_watch.hpp"
#include "host/daemon/trust_service.hpp"
#include "host/daemon/workspaces.hpp"
#include "host/observe/log.hpp"
#include "host/processes/key_commands.hpp"
#include "host/processes/launcher.hpp"
#include "host/protocols/rpc/unix_server.hpp"
#include "host/router/router.hpp"
#include "host/runtime/spawner.hpp"
#include "host/runtime/workers.hpp"
#include "host/services/plugin_tasks.hpp"
#include "host/services/service_manager.hpp"
#include "host/tasks/supervisor.hpp"
#include "host/trust/projects.hpp"
#include "host/trust/trust_store.hpp"

namespace gantry::host {

struct DaemonOptions {
  Config config;
  std::filesystem::path socket;
  /// Where the host listens while `socket` was removed and cannot be made anew. Empty: nowhere.
  std::filesystem::path fallback_socket;
  std::filesystem::path state_dir;
  /// True: open() fails where another host has the state folder. False: this host then runs without
  /// the plugins that need the folder.
  bool needs_state = false;
  std::filesystem::path plugin_dir;
  std::filesystem::path program;  ///< `gantry` itself: it also runs plugins in processes of their own
  std::shared_ptr<Log> log;
  /// Reads the configuration again, for config.reload. Empty: there is no file.
  std::function<ConfigResult<Config>()> reload;
  bool watch = false;        ///< reload plugins whose libraries are built anew
  Timers* timers = nullptr;  ///< for tests; nullptr: the workers' timers
  /// Called when stopping takes twice its budget, because some call does not return and never will.
  /// May be empty.
  std::function<void()> on_stuck;
};

class Daemon {
 public:
  [[nodiscard]] static std::unique_ptr<Daemon> build(DaemonOptions options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Takes the state folder and the socket, and listens; opens the configured workspaces.
  /// `conflict`: another host has the socket, or (with needs_state) the state folder.
  [[nodiscard]] Result<void> open();
  void run();
  /// Any thread, also a signal handler of a worker's io_context.
  void request_stop(const std::string& why);
  /// After run(). True: every plugin and task has ended in time.
  [[nodiscard]] bool clean() const { return clean_; }

  /// Activates the plugins that work on workspaces; returns the folder's canonical path.
  [[nodiscard]] Result<std::string> open_workspace(const std::string& folder);

  [[nodiscard]] Workers& workers() { return workers_; }
  [[nodiscard]] EventBus& bus() { return bus_; }
  [[nodiscard]] Router& router() { return *router_; }
  [[nodiscard]] ServiceManager& services() { return *services_; }
  [[nodiscard]] TaskSupervisor& tasks() { return *tasks_; }
  [[nodiscard]] std::shared_ptr<const Config> config() const;

 private:
  explicit Daemon(DaemonOptions options);
  [[nodiscard]] static std::size_t pool_threads(const Config& config);
  void add_builtins();
  void add_operate_builtins();
  void add_plugin_builtins();
  void add_trust_builtins();
  /// The plugins of the configuration and of the plugin folder, with the grants that each is
  /// trusted with.
  [[nodiscard]] std::vector<PluginSpec> trusted_plugins(const Config& config);
  /// Adds plugins that have appeared since the start, in force at once; returns their names.
  [[nodiscard]] Result<std::vector<std::string>> add_new_plugins();
  void start_activated(std::string_view when, const std::vector<std::string>* of = nullptr);
  Projects::Read read_project(const std::string& workspace);
  [[nodiscard]] json settings_of(const PluginSpec& spec, const Config& config) const;
  /// The api_key_command of this provider from the user's own configuration, if `asker` may know
  /// the key.
  [[nodiscard]] Result<std::string> key_command(OriginId asker, const std::string& provider) const;
  [[nodiscard]] json status() const;
  [[nodiscard]] json plugins_json() const;
  using PluginJob = Result<void> (ServiceManager::*)(const std::string& plugin);
  void operate_plugin(PluginJob job, const CallRequest& request, const std::shared_ptr<CallSink>& sink);
  [[nodiscard]] json services_json() const;
  [[nodiscard]] json tasks_json() const;
  [[nodiscard]] json metrics() const;
  [[nodiscard]] json dead_letters() const;
  [[nodiscard]] json discover() const;
  [[nodiscard]] Result<json> hello() const;
  [[nodiscard]] json plugin_config(const PluginSpec& spec) const;
  [[nodiscard]] Result<void> may_publish(std::string_view topic) const;
  [[nodiscard]] Result<std::string> reload_config();
  /// Renews running plugins whose confinement is too narrow by now.
  void renew_confined();
  void resolve_grants() const;
  [[nodiscard]] SessionDeps session_deps();
  [[nodiscard]] std::vector<SessionDeps::LogReader> log_readers() const;
  [[nodiscard]] PluginDeps plugin_deps();
  void set_polling(Polling wanted);
  void stop_all();
  void watch_the_stopping();

  DaemonOptions options_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::shared_ptr<Log> log_;
  Workers workers_;
  Timers& timers_;
  WorkerPool pool_;
  Spawner spawner_;  ///< outlives the plugins: their processes die with it
  EventBus bus_;
  Origins origins_;
  Workspaces workspaces_;
  std::shared_ptr<PermitQueue> event_permits_;
  TrustStore trust_;
  Projects projects_;
  std::unique_ptr<Launcher> launcher_;
  std::unique_ptr<KeyCommands> key_commands_;
  std::unique_ptr<ServiceManager> services_;
  std::unique_ptr<TrustService> trust_service_;
  std::shared_ptr<LibraryWatch> watch_;          ///< nullptr: not asked for
  std::shared_ptr<ProjectWatch> project_watch_;  ///< since open()
  std::unique_ptr<PluginTasks> plugin_tasks_;    ///< outlives its jobs
  std::unique_ptr<TaskSupervisor> tasks_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<UnixServer> unix_server_;
  std::unique_ptr<Places> places_;
  oneshot::Channel<bool> stop_asked_ = oneshot::channel<bool>();
  std::thread stopper_;
  std::optional<oneshot::Sender<bool>> stopped_;  ///< destroyed when the stop is complete
  std::thread watchdog_;
  bool clean_ = true;

  mutable Mutex mutex_;
  std::shared_ptr<const Config> config_ GANTRY_GUARDED_BY(mutex_);
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  bool reloading_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
