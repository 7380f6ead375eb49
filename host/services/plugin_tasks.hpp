// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_tasks.hpp: background tasks of plugins (`task.run`, `task.stop`). A task is
// a call of one of the plugin's own methods that the supervisor makes: it has a name, runs once at
// a time, is listed in host.tasks, can be cancelled like a call, and is restarted by its policy,
// also with the next instance of its plugin.
//
// The call bypasses the router: it takes no permit, and has no deadline but its own. A reload does
// not wait for it: it is cancelled, and runs again with the new build if its policy says so.
//
// Thread rule: any thread; nothing blocks. The jobs block, on the supervisor's threads.
// Bounds: those of the supervisor. All tasks of a plugin are in a scope `plugin:NAME`: more
// restarts than its intensity end them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/calls/call.hpp"
#include "host/plugins/library/manifest.hpp"
#include "host/services/service_manager.hpp"
#include "host/tasks/supervisor.hpp"

namespace gantry::host {

class PluginTasks {
 public:
  /// The plugin that calls under this origin.
  using PluginOf = std::function<std::optional<std::string>(OriginId)>;

  PluginTasks(TaskSupervisor& tasks, ServiceManager& services, const Timers& clock, PluginOf plugin_of)
      : tasks_(tasks), services_(services), clock_(clock), plugin_of_(std::move(plugin_of)) {}

  [[nodiscard]] static std::vector<ManifestMethod> methods();
  /// Answers one of methods(). `permission_denied`: the origin is no plugin.
  [[nodiscard]] Result<std::string> call(const CallRequest& request);

  [[nodiscard]] static std::string task_name(const std::string& plugin, const std::string& name) {
    return plugin + ":" + name;
  }

 private:
  struct TaskRequest {
    std::string name;
    std::string method;
    std::string params;
    TaskOptions options;
  };
  [[nodiscard]] Result<TaskRequest> parse_request(const CallRequest& request, const std::string& plugin) const;
  [[nodiscard]] Result<std::string> run(const CallRequest& request, const std::string& plugin);
  [[nodiscard]] Result<std::string> stop(const CallRequest& request, const std::string& plugin);
  [[nodiscard]] Result<void> work(TaskContext& context, const std::string& plugin, const TaskRequest& wanted);
  /// `by`: the instance that the method was called on; nullptr: there is none.
  [[nodiscard]] Result<void> work_once(TaskContext& context, const std::string& plugin, const TaskRequest& wanted,
                                       std::shared_ptr<Plugin>& by);

  TaskSupervisor& tasks_;
  ServiceManager& services_;
  const Timers& clock_;
  const PluginOf plugin_of_;
};

}  // namespace gantry::host
