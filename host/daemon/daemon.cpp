// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/daemon.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <system_error>
#include <utility>

#include "host/bus/topic.hpp"
#include "host/services/plugin_settings.hpp"

namespace gantry::host {

namespace {

constexpr std::size_t kPoolQueue = 1024;

/// 128 random bits in hex.
[[nodiscard]] std::string new_epoch() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    std::random_device device;
    for (auto& byte : bytes) byte = static_cast<unsigned char>(device());
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : bytes) {
    out += kHex[byte >> 4U];
    out += kHex[byte & 15U];
  }
  return out;
}

[[nodiscard]] RouterLimits router_limits(const Config& config) {
  return RouterLimits{static_cast<std::size_t>(config.host.max_calls_per_service),
                      static_cast<std::size_t>(config.host.max_waiting_per_service),
                      std::chrono::seconds(config.host.default_call_timeout_seconds)};
}

[[nodiscard]] SupervisorLimits supervisor_limits(const Config& config) {
  const auto& s = config.supervisor;
  SupervisorLimits limits;
  limits.max_running = static_cast<std::size_t>(config.async.max_background_tasks);
  limits.cleanup_interval = std::chrono::seconds(config.async.background_task_cleanup_interval_seconds);
  limits.intensity = static_cast<int>(s.intensity);
  limits.period = std::chrono::seconds(s.period_seconds);
  limits.backoff.initial_delay = std::chrono::milliseconds(s.backoff_initial_ms);
  limits.backoff.max_delay = std::chrono::milliseconds(s.backoff_max_ms);
  limits.backoff.seed = std::random_device()();
  return limits;
}

[[nodiscard]] RestartPolicy restart_policy(const Config& config) {
  const SupervisorLimits limits = supervisor_limits(config);
  return {.restart = true, .intensity = limits.intensity, .period = limits.period, .backoff = limits.backoff};
}

[[nodiscard]] UnixServerLimits server_limits(const Config& config) {
  const auto& h = config.host;
  return UnixServerLimits{static_cast<std::size_t>(h.max_connections), static_cast<std::size_t>(h.max_message_bytes),
                          static_cast<std::size_t>(h.max_outbound_bytes), static_cast<std::size_t>(h.max_json_depth),
                          static_cast<std::size_t>(h.max_batch)};
}

}  // namespace

// A background task each, and some to spare for plugins that start and configuration that is read.
std::size_t Daemon::pool_threads(const Config& config) {
  constexpr std::size_t kSpare = 4;
  return static_cast<std::size_t>(config.async.max_background_tasks) + kSpare;
}

std::unique_ptr<Daemon> Daemon::build(DaemonOptions options) {
  return std::unique_ptr<Daemon>(new Daemon(std::move(options)));
}

Daemon::Daemon(DaemonOptions options)
    : options_(std::move(options)),
      log_(options_.log),
      workers_(static_cast<std::size_t>(options_.config.host.workers)),
      timers_(options_.timers != nullptr ? *options_.timers : workers_.timers()),
      pool_(pool_threads(options_.config), kPoolQueue,
            [log = log_](std::string_view what) {
              log->write(Level::error, "pool", "a job threw: " + std::string(what));
            }),
      bus_(new_epoch(), static_cast<std::size_t>(options_.config.async.event_bus_buffer_size),
           [log = log_](const DeadLetter& letter) {
             log->write(Level::error, "bus",
                        "event " + std::to_string(letter.seq) + " on " + letter.topic +
                            " is a dead letter: " + letter.subscriber + " failed " + std::to_string(letter.attempts) +
                            " times: " + letter.error);
           }),
      event_permits_(
          PermitQueue::make(static_cast<std::size_t>(options_.config.async.event_processing_concurrency), 4096)),
      trust_(options_.state_dir / "trust.json"),
      projects_(trust_),
      config_(std::make_shared<const Config>(options_.config)) {
  const Config& c = options_.config;
  if (auto loaded = trust_.load(); !loaded) log_->write(Level::error, "audit", loaded.error().message);
  services_ = std::make_unique<ServiceManager>(trusted_plugins(c), plugin_deps(),
                                               [this](const PluginSpec& spec) { return plugin_config(spec); });
  trust_service_ =
      std::make_unique<TrustService>(TrustService::Deps{trust_, *services_, bus_, *log_, [this] { return config(); },
                                                        [this](const std::string& folder) {
                                                          if (!workspaces_.has(folder))
                                                            return std::vector<std::string>{};
                                                          auto read = read_project(folder);
                                                          services_->reconfigure();
                                                          return read.project.errors;
                                                        }});
  launcher_ = std::make_unique<Launcher>(
      LauncherDeps{workers_, timers_, spawner_, pool_, bus_, *log_, options_.program,
                   [this](const std::string& plugin) { return services_->granted(plugin); }});
  key_commands_ = std::make_unique<KeyCommands>(
      spawner_, [this](OriginId asker, const std::string& provider) { return key_command(asker, provider); });
  tasks_ = std::make_unique<TaskSupervisor>(pool_, timers_, bus_, *log_, supervisor_limits(c));
  plugin_tasks_ = std::make_unique<PluginTasks>(*tasks_, *services_, timers_,
                                                [this](OriginId origin) { return launcher_->plugin_of(origin); });
  router_ = std::make_unique<Router>(*services_, timers_, *log_, router_limits(c),
                                     [this](CallRequest request, std::shared_ptr<CallSink> sink) {
                                       return origins_.call(std::move(request), std::move(sink));
                                     });
  add_builtins();
  add_operate_builtins();
  add_plugin_builtins();
  add_trust_builtins();
  unix_server_ =
      std::make_unique<UnixServer>(workers_, session_deps(), *log_, server_limits(c), [this](OriginId origin) {
        services_->gone(origin);
        (void)bus_.publish("host.client.gone", dump_json({{"origin", origin}}));
      });
  places_ = std::make_unique<Places>(
      Places::Deps{workers_, timers_, *log_, *unix_server_},
      Places::Options{options_.socket, options_.fallback_socket, options_.state_dir, options_.needs_state});
}

Daemon::~Daemon() {
  (void)stop_asked_.reply.send(false);
  if (stopper_.joinable()) stopper_.join();
}

std::shared_ptr<const Config> Daemon::config() const {
  Lock lock(mutex_);
  return config_;
}

PluginDeps Daemon::plugin_deps() {
  return PluginDeps{timers_,
                    bus_,
                    *log_,
                    workers_,
                    spawner_,
                    event_permits_,
                    [this](OriginId origin) { return origins_.describe(origin); },
                    static_cast<std::size_t>(options_.config.host.max_message_bytes),
                    options_.program,
                    [this](const PluginSpec& spec) {
                      const auto origin =
                          origins_.add({"plugin " + spec.name, spec.manifest ? spec.manifest->version : "", ""});
                      launcher_->join(origin, spec.name, spec.child);
                      return origin;
                    },
                    [this](OriginId origin) {
                      key_commands_->leave(origin);
                      launcher_->leave(origin);
                      origins_.remove(origin);
                      services_->gone(origin);
                    },
                    [this](CallRequest request, std::shared_ptr<CallSink> sink) {
                      return router_->call(std::move(request), std::move(sink));
                    },
                    restart_policy(options_.config),
                    std::chrono::seconds(options_.config.supervisor.hung_seconds),
                    options_.state_dir / ".crashed",
                    options_.state_dir / ".libraries",
                    [this] { router_->plugins_changed(); },
                    [this](const PluginSpec& spec) { return places_->may_start(spec); }};
}

SessionDeps Daemon::session_deps() {
  return SessionDeps{*router_,
                     bus_,
                     origins_,
                     timers_,
                     [this] { return hello(); },
                     [this](const std::string& folder) { return open_workspace(folder); },
                     [this](std::string_view topic) { return may_publish(topic); },
                     static_cast<std::size_t>(options_.config.host.max_calls_in_flight),
                     static_cast<std::size_t>(options_.config.host.max_bytes_in_flight),
                     [this] { return log_readers(); }};
}

std::vector<SessionDeps::LogReader> Daemon::log_readers() const {
  std::vector<SessionDeps::LogReader> out;
  const auto plugins = services_->table();
  for (const auto& spec : plugins->specs()) {
    if (!spec.manifest || spec.manifest->log_reader.empty() || spec.refusal()) continue;
    out.push_back({spec.name, spec.manifest->log_reader, spec.manifest->publishes});
  }
  return out;
}

Result<json> Daemon::hello() const {
  {
    Lock lock(mutex_);
    if (stopping_) return fail(ErrorKind::unavailable, "the host is stopping");
  }
  json out{{"version", kVersion},
           {"epoch", bus_.epoch()},
           {"capabilities",
            {{"streams", true},
             {"events", true},
             {"batches", true},
             {"max_message_bytes", options_.config.host.max_message_bytes},
             {"max_json_depth", options_.config.host.max_json_depth}}},
           {"pid", ::getpid()},
           {"socket", unix_server_->socket().string()},
           {"state_dir", options_.state_dir.string()},
           {"config_file", options_.config.file}};
  if (auto wrong = places_->warnings(); !wrong.empty()) out["warnings"] = std::move(wrong);
  return out;
}

json Daemon::plugin_config(const PluginSpec& spec) const {
  const auto c = config();
  const auto state = options_.state_dir / spec.name;
  std::error_code failed;
  std::filesystem::create_directories(state, failed);  // the plugin says what does not work without it
  if (!failed) std::filesystem::permissions(state, std::filesystem::perms::owner_all, failed);
  const json settings = settings_of(spec, *c);
  json in_workspaces = json::object();
  for (const auto& project : projects_.list()) {
    if (!project.config) continue;
    if (json its_own = settings_of(spec, *project.config); its_own != settings)
      in_workspaces[project.workspace] = std::move(its_own);
  }
  json out{{"name", spec.name},
           {"state_dir", state.string()},
           {"library", spec.library.string()},
           {"workspaces", workspaces_.list()},
           {"async", async_json(*c)},
           {"settings", settings},
           {"max_message_bytes", options_.config.host.max_message_bytes}};
  if (!in_workspaces.empty()) out["workspace_settings"] = std::move(in_workspaces);
  if (auto trusted = projects_.trusted(); !trusted.empty()) out["trusted_workspaces"] = std::move(trusted);
  return out;
}

json Daemon::settings_of(const PluginSpec& spec, const Config& config) const {
  json settings = spec.manifest && !spec.manifest->settings.empty() ? plugin_settings(config, spec.manifest->settings)
                                                                    : json::object();
  if (const auto entry = config.plugins.find(spec.name); entry != config.plugins.end())
    settings.update(entry->second.settings);
  return settings;
}

// What the host and its plugins say is theirs to say.
Result<void> Daemon::may_publish(std::string_view topic) const {
  if (auto ok = check_topic(topic); !ok) return ok;
  const std::string first(topic.substr(0, topic.find('.')));
  const auto refuse = [&](const std::string& owner) {
    return fail(ErrorKind::permission_denied,
                "topic " + std::string(topic) + " belongs to " + owner + "; publish on one of your own");
  };
  if (first == "host") return refuse("the host");
  const auto plugins = services_->table();
  for (const auto& spec : plugins->specs()) {
    if (!spec.manifest) continue;
    for (const auto& pattern : spec.manifest->publishes) {
      if (topic_matches(pattern, topic)) return refuse("plugin " + spec.name);
    }
  }
  return {};
}

void Daemon::set_polling(Polling wanted) { workers_.set_polling(wanted != Polling::off, wanted == Polling::on); }

Result<void> Daemon::open() {
  set_polling(options_.config.host.polling);
  resolve_grants();
  if (auto ok = places_->open(); !ok) return ok;
  project_watch_ =
      std::make_shared<ProjectWatch>(workers_, timers_, pool_, *log_, [this](const std::string& workspace) {
        if (workspaces_.has(workspace) && read_project(workspace).changed) services_->reconfigure();
      });
  for (const auto& folder : options_.config.host.workspaces) {
    if (auto opened = open_workspace(folder); !opened)
      log_->write(Level::warn, "host", opened.error().message + "; it is left out");
  }
  if (options_.watch) {
    watch_ = std::make_shared<LibraryWatch>(workers_, timers_, pool_, *services_, *log_);
    if (auto ok = watch_->start(); !ok) return ok;
  }
  services_->arm_activations();
  start_activated("start");
  log_->write(Level::info, "host", "gantry " + std::string(kVersion) + " serves " + options_.socket.string());
  return {};
}

void Daemon::start_activated(std::string_view when, const std::vector<std::string>* of) {
  for (const auto& name : services_->activated_by(when)) {
    if (of != nullptr && std::ranges::find(*of, name) == of->end()) continue;
    (void)tasks_->spawn("start-plugin:" + name, [this, name](TaskContext&) { return services_->start(name); });
  }
}

void Daemon::resolve_grants() const {
  services_->resolve_grants({home_folder(), options_.state_dir.string(), workspaces_.list()});
}

Result<std::string> Daemon::open_workspace(const std::string& folder) {
  auto added = workspaces_.add(folder);
  if (!added) return std::unexpected(added.error());
  const bool is_another = services_->renew_workspace(added->path);
  if (!added->is_new) {
    // Whoever opens it again has perhaps changed its file.
    if (read_project(added->path).changed) services_->reconfigure();
    project_watch_->watch(workspaces_.list());  // its folder may be another one
    if (is_another) renew_confined();
    return added->path;
  }
  for (const auto& gone : added->forgotten) {
    projects_.forget(gone);
    log_->write(Level::info, "host", "workspace " + gone + " is forgotten: its folder is gone");
    (void)bus_.publish("host.workspace.closed", dump_json({{"workspace", gone}}));
  }
  log_->write(Level::info, "host", "workspace " + added->path);
  (void)bus_.publish("host.workspace.opened", dump_json({{"workspace", added->path}}));
  (void)read_project(added->path);
  project_watch_->watch(workspaces_.list());
  resolve_grants();
  services_->reconfigure();
  renew_confined();
  start_activated("workspace");
  return added->path;
}

void Daemon::run() {
  // The stopping blocks; the workers must go on to write what is answered meanwhile. Its thread is there before it is
  // needed: a system that gives no more must not keep the host from stopping.
  stopper_ = std::thread([this] {
    if (stop_asked_.answer.recv().value_or(false)) stop_all();
  });
  clean_ = workers_.run([this](std::string_view what) {
    log_->write(Level::error, "worker", "an exception reached a worker: " + std::string(what));
  }) && clean_;
  if (stopper_.joinable()) stopper_.join();
  clean_ = pool_.stop(std::chrono::steady_clock::now() + std::chrono::seconds(1)) && clean_;
  stopped_.reset();
  if (watchdog_.joinable()) watchdog_.join();
  log_->write(Level::info, "host", clean_ ? "stopped" : "stopped; something did not end in time");
  log_->flush();
}

void Daemon::request_stop(const std::string& why) {
  {
    Lock lock(mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  log_->write(Level::info, "host", "stopping: " + why);
  workers_.first().post([this] {
    places_->stop();
    unix_server_->stop_accepting();
    (void)stop_asked_.reply.send(true);
  });
}

void Daemon::watch_the_stopping() {
  if (!options_.on_stuck) return;
  auto [over, wait] = oneshot::channel<bool>();
  stopped_.emplace(std::move(over));
  const Duration timeout = 2 * std::chrono::seconds(config()->host.stop_budget_seconds) + std::chrono::seconds(2);
  try {
    watchdog_ = std::thread([timeout, waiting = std::move(wait), stuck = options_.on_stuck] mutable {
      const auto ended = waiting.recv_for(timeout);
      if (!ended && ended.error().kind == ErrorKind::timeout) stuck();
    });
  } catch (const std::system_error& e) {
    log_->write(Level::error, "host", "nobody watches the stopping: " + std::string(e.what()));
  }
}

void Daemon::stop_all() {
  watch_the_stopping();
  const Duration budget = std::chrono::seconds(config()->host.stop_budget_seconds);
  (void)bus_.publish("host.stopping", "{}");
  if (watch_) watch_->stop();
  if (project_watch_) project_watch_->stop();
  router_->drain(budget / 2);
  clean_ = tasks_->stop(budget / 4);
  clean_ = services_->stop_all(budget / 2) && clean_;
  key_commands_->stop();
  clean_ = launcher_->stop(budget / 4) && clean_;
  bus_.close();
  unix_server_->close();
  workers_.stop();
}

}  // namespace gantry::host
