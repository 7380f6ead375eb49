// SPDX-License-Identifier: Apache-2.0
//
// The host's own methods: look at it, and operate it.
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "host/calls/request_params.hpp"
#include "host/daemon/daemon.hpp"
#include "host/daemon/open_rpc.hpp"

namespace gantry::host {

namespace {

[[nodiscard]] double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

[[nodiscard]] std::uint64_t rss_bytes() {
  std::ifstream in("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  in >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

[[nodiscard]] json no_params() { return json{{"type", "object"}, {"properties", json::object()}}; }

[[nodiscard]] json one_string(const char* name) {
  return json{{"type", "object"}, {"properties", {{name, {{"type", "string"}}}}}, {"required", {name}}};
}

[[nodiscard]] ManifestMethod method(const char* name, const char* summary, json params = no_params()) {
  ManifestMethod out;
  out.name = name;
  out.summary = summary;
  out.params = std::move(params);
  out.result = json::object();
  return out;
}

[[nodiscard]] Result<std::string> check_no_params(const CallRequest& request, const json& result) {
  auto params = params_of(request);
  if (!params) return std::unexpected(params.error());
  if (auto ok = params->done(); !ok) return fail(ErrorKind::invalid_params, request.method + ": " + ok.error().message);
  return dump_json(result);
}

// These concern a connection, which answers them itself (host/protocols/rpc/session); here they are only described.
[[nodiscard]] std::vector<ManifestMethod> connection_methods() {
  const json text{{"type", "string"}};
  const json texts{{"type", "array"}, {"items", text}};
  const auto params = [](json properties, json required) {
    return json{{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
  };
  return {method("host.hello", "Says who calls, and for which workspace",
                 params({{"client", text}, {"version", text}, {"workspace", text}, {"answers", {{"type", "boolean"}}}},
                        {"client"})),
          method("events.subscribe", "Sends the events on these topics from now on, or after those in `since`",
                 params({{"topics", texts},
                         {"since", {{"type", "object"}}},
                         {"policy", {{"enum", {"drop_oldest", "coalesce", "disconnect"}}}},
                         {"buffer", {{"type", "integer"}, {"minimum", 1}}}},
                        {"topics"})),
          method("events.unsubscribe", "Ends a subscription", one_string("subscription")),
          method("events.publish", "Publishes an event on a topic of one's own",
                 params({{"topic", text}, {"payload", json::object()}}, {"topic", "payload"}))};
}

}  // namespace

json Daemon::status() const {
  json projects = json::array();
  for (const auto& project : projects_.list()) projects.push_back(to_json(project));
  bool ready = true;
  {
    Lock lock(mutex_);
    ready = !stopping_;
  }
  json out{{"version", kVersion},
           {"pid", ::getpid()},
           {"uptime_seconds", seconds(std::chrono::steady_clock::now() - started_)},
           {"ready", ready},
           {"workspaces", workspaces_.list()},
           {"projects", std::move(projects)},
           {"socket", unix_server_->socket().string()},
           {"http", nullptr},
           {"rss_bytes", rss_bytes()},
           {"connections", unix_server_->connections()},
           {"state_dir", options_.state_dir.string()},
           {"config_file", config()->file},
           {"log_dropped", log_->dropped()}};
  if (auto wrong = places_->warnings(); !wrong.empty()) out["warnings"] = std::move(wrong);
  return out;
}

json Daemon::services_json() const {
  json out = json::array();
  const auto permits = router_->permit_counts();
  const auto plugins = services_->table();
  for (const auto& spec : plugins->specs()) {
    if (!spec.manifest) continue;
    for (const auto& service : spec.manifest->services) {
      json methods = json::array();
      for (const auto& [name, unused] : spec.manifest->methods) {
        if (name.substr(0, name.find('.')) == service) methods.push_back(name);
      }
      json entry{{"name", service}, {"plugin", spec.name}, {"methods", std::move(methods)}};
      if (const auto counts = permits.find(service); counts != permits.end()) {
        entry["permits"] = {{"limit", counts->second.limit},
                            {"in_use", counts->second.in_use},
                            {"waiting", counts->second.waiting},
                            {"refused", counts->second.refused}};
      }
      out.push_back(std::move(entry));
    }
  }
  return out;
}

json Daemon::tasks_json() const {
  json out = json::array();
  const TimePoint now = timers_.now();
  for (const auto& task : tasks_->records()) {
    const bool live = task.ended_at == TimePoint();
    const bool waits = task.state == TaskState::queued;
    json entry{
        {"name", task.name},
        {"kind", task.is_scope ? "scope" : "task"},
        {"state", task_state_name(task.state)},
        {"age_seconds", seconds((live ? now : task.ended_at) - task.queued_at)},
        {"queue_delay_seconds", seconds(std::max(Duration::zero(), (waits ? now : task.started_at) - task.queued_at))},
        {"runs", task.runs},
        {"restarts", task.restarts}};
    if (!task.parent.empty()) entry["parent"] = task.parent;
    if (!task.error.empty()) entry["error"] = task.error;
    if (!task.progress.empty()) entry["progress"] = task.progress;
    for (const auto& step : task.slow_steps)
      entry["slow_steps"].push_back({{"name", step.name}, {"seconds", seconds(step.took)}});
    out.push_back(std::move(entry));
  }
  return out;
}

json Daemon::metrics() const {
  json methods = json::object();
  for (const auto& [name, counts] : router_->method_counts()) {
    methods[name] = {{"calls", counts.calls},
                     {"errors", counts.errors},
                     {"retries", counts.retries},
                     {"in_flight", counts.in_flight},
                     {"seconds", seconds(counts.total)},
                     {"longest_seconds", seconds(counts.longest)}};
  }
  json workers = json::array();
  for (const auto& worker : workers_.counts()) {
    workers.push_back({{"deliveries", worker.turns},
                       {"taken_over", worker.taken_over},
                       {"sleeps", worker.sleeps},
                       {"polls", worker.polls},
                       {"poll_hits", worker.poll_hits},
                       {"polled_seconds", seconds(worker.polled)}});
  }
  const auto bus = bus_.counts();
  const auto tasks = tasks_->counts();
  const auto processing = event_permits_->counts();
  return json{{"methods", std::move(methods)},
              {"polling", workers_.polling()},
              {"workers", std::move(workers)},
              {"tasks", {{"limit", tasks.limit}, {"running", tasks.running}, {"waiting", tasks.waiting}}},
              {"event_processing",
               {{"limit", processing.limit}, {"in_use", processing.in_use}, {"waiting", processing.waiting}}},
              {"events",
               {{"published", bus.published},
                {"dropped", bus.dropped},
                {"coalesced", bus.coalesced},
                {"dead", bus.dead},
                {"subscriptions", bus.subscriptions}}},
              {"connections", unix_server_->connections()},
              {"log_dropped", log_->dropped()},
              {"rss_bytes", rss_bytes()}};
}

json Daemon::dead_letters() const {
  json items = json::array();
  for (const auto& letter : bus_.dead_letters()) {
    items.push_back({{"topic", letter.topic},
                     {"epoch", letter.epoch},
                     {"seq", letter.seq},
                     {"payload", letter.payload},
                     {"subscriber", letter.subscriber},
                     {"error", letter.error},
                     {"attempts", letter.attempts}});
  }
  return json{{"items", std::move(items)}, {"total", bus_.counts().dead}};
}

json Daemon::discover() const {
  std::vector<ManifestMethod> methods = connection_methods();
  for (const auto& m : router_->builtin_methods()) methods.push_back(m);
  const auto plugins = services_->table();
  for (const auto& spec : plugins->specs()) {
    if (!spec.manifest || !spec.enabled) continue;
    for (const auto& [name, m] : spec.manifest->methods) methods.push_back(m);
  }
  return open_rpc(methods, kVersion);
}

void Daemon::add_builtins() {
  using Look = json (Daemon::*)() const;
  const auto look = [this](const char* name, const char* summary, Look what) {
    router_->add(method(name, summary),
                 [this, what](const CallRequest& request) { return check_no_params(request, (this->*what)()); });
  };
  look("host.status", "How the host is", &Daemon::status);
  look("host.plugins", "Each plugin and its state", &Daemon::plugins_json);
  look("host.services", "Each service, its plugin and methods", &Daemon::services_json);
  look("host.tasks", "Background tasks, live and ended", &Daemon::tasks_json);
  look("host.metrics", "Counts of calls, events and memory", &Daemon::metrics);
  look("events.dead", "The last events that a subscriber could not be given", &Daemon::dead_letters);
  look("rpc.discover", "OpenRPC document of every method", &Daemon::discover);
}

void Daemon::add_operate_builtins() {
  router_->add(method("host.shutdown", "Stops the host gracefully"), [this](const CallRequest& request) {
    auto answer = check_no_params(request, json::object());
    if (answer) request_stop("host.shutdown was called");
    return answer;
  });
  router_->add(method("task.cancel", "Cancels a background task", one_string("name")),
               [this](const CallRequest& request) -> Result<std::string> {
                 const auto name = only_param(request, "name");
                 if (!name) return std::unexpected(name.error());
                 if (auto ok = tasks_->cancel(*name); !ok) return std::unexpected(ok.error());
                 return "{}";
               });
  router_->add_slow(method("config.reload", "Reads the configuration file again"),
                    [this](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
                      if (auto ok = check_no_params(request, json::object()); !ok) {
                        sink->answered(std::move(ok));
                        return;
                      }
                      bool busy = false;
                      {
                        Lock lock(mutex_);
                        busy = std::exchange(reloading_, true);
                      }
                      if (busy) {
                        sink->answered(fail(ErrorKind::conflict, "the configuration is just being read again"));
                        return;
                      }
                      const auto end = [this, sink](Result<std::string> answer) {
                        {
                          Lock lock(mutex_);
                          reloading_ = false;
                        }
                        sink->answered(std::move(answer));
                      };
                      auto spawned = pool_.spawn([this, end] { end(reload_config()); });
                      if (!spawned) end(std::unexpected(spawned.error()));
                    });
}

Result<std::string> Daemon::reload_config() {
  if (!options_.reload)
    return fail(ErrorKind::unavailable,
                "the host runs on its built-in configuration; start it with --config FILE to reload one");
  auto fresh = options_.reload();
  if (!fresh) {
    json errors = json::array();
    for (const auto& error : fresh.error()) errors.push_back(to_string(error));
    return fail(ErrorKind::invalid_params,
                "the configuration is wrong and the old one stays in force: " + to_string(fresh.error().front()),
                dump_json({{"errors", errors}}));
  }
  const auto old = config();
  {
    Lock lock(mutex_);
    config_ = std::make_shared<const Config>(*fresh);
  }
  const auto now = config();
  auto added = add_new_plugins();
  if (!added) log_->write(Level::warn, "plugins", "plugins that are new are not looked for: " + added.error().message);
  ReloadDiff changed = diff(*old, *now);
  for (const auto& name : added.value_or(std::vector<std::string>{})) {
    std::ranges::copy_if(changed.restart, std::back_inserter(changed.live),
                         [&](const auto& key) { return key == "plugins." + name; });
    if (const auto table = now->plugins.find(name); table != now->plugins.end())
      options_.config.plugins.insert_or_assign(name, table->second);  // it runs with that from its start
  }
  changed.restart = diff(options_.config, *now).restart;  // also what an earlier reload has found
  log_->set_level(now->log.level);
  router_->set_limits(RouterLimits{static_cast<std::size_t>(now->host.max_calls_per_service),
                                   static_cast<std::size_t>(now->host.max_waiting_per_service),
                                   std::chrono::seconds(now->host.default_call_timeout_seconds)});
  pool_.set_threads(pool_threads(*now));
  set_polling(now->host.polling);
  tasks_->set_limits(static_cast<std::size_t>(now->async.max_background_tasks),
                     std::chrono::seconds(now->async.background_task_cleanup_interval_seconds));
  event_permits_->set_limit(static_cast<std::size_t>(now->async.event_processing_concurrency));
  for (const auto& folder : now->host.workspaces) {
    if (auto opened = open_workspace(folder); !opened)
      log_->write(Level::warn, "host", opened.error().message + "; it is left out");
  }
  for (const auto& workspace : workspaces_.list()) (void)read_project(workspace);
  services_->reconfigure();
  renew_confined();
  json answer{{"live", changed.live}, {"restart", changed.restart}};
  if (added && !added->empty()) answer["plugins"] = *added;
  log_->write(Level::info, "config", "reloaded " + now->file + ": " + dump_json(answer));
  (void)bus_.publish("host.config.reloaded", dump_json(answer));
  return dump_json(answer);
}

}  // namespace gantry::host
