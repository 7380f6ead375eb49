// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_tasks.hpp: background tasks of plugins (`task.run`, `task.stop`). A task is
// a call of one of the plugin's own methods that the supervisor makes: it has a name, runs once at
// a time, stands in host.tasks, is cancelled like a call, and is started again as it asks, also
// with the next instance of its plugin.
//
// It goes to the plugin past the router: it takes no permit, and has no deadline but its own. A reload does not wait
// for it: it is cancelled there, and goes on with the new build if it is to be started again.
//
// Thread rule: any thread; nothing blocks. The jobs block, on the supervisor's.
// Bounds: the supervisor's. All tasks of a plugin are in a scope `plugin:NAME`: more restarts than its intensity end
// them.
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
  /// Which plugin calls under this origin.
  using PluginOf = std::function<std::optional<std::string>(OriginId)>;

  PluginTasks(TaskSupervisor& tasks, ServiceManager& services, const Timers& clock, PluginOf plugin_of)
      : tasks_(tasks), services_(services), clock_(clock), plugin_of_(std::move(plugin_of)) {}

  [[nodiscard]] static std::vector<ManifestMethod> methods();
  /// One of methods(). `permission_denied`: its origin is no plugin.
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
  /// `by`: the instance that it was called on; null: there is none.
  [[nodiscard]] Result<void> work_once(TaskContext& context, const std::string& plugin, const TaskRequest& wanted,
                                       std::shared_ptr<Plugin>& by);

  TaskSupervisor& tasks_;
  ServiceManager& services_;
  const Timers& clock_;
  const PluginOf plugin_of_;
};

}  // namespace gantry::host
