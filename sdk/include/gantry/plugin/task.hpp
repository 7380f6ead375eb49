// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/task.hpp: background tasks: calls of the plugin's own methods that the host's
// supervisor makes.
//
//   d.method("index.build", gantry::on_pool(&Index::build));   // Result<Built> build(const BuildParams&, Call&)
//   ...
//   (void)gantry::run_task(host_, {.name = "build", .method = "index.build", .restart =
//   gantry::BackgroundTask::Restart::on_failure});
//
// The method may have any handler: on the pool, a coroutine, or one that answers later. Its answer
//   ends the task, an error fails it; call.progress() is shown in host.tasks; `gantry call
//   task.cancel name=PLUGIN:build` cancels the call. A reload cancels it, too, and the new build
//   runs it again if its restart policy says so.
//
// Thread rule: any thread, as Host; `done` runs serially with the plugin's handlers, once the task
//   was taken or refused.
// Bounds: [async] max_background_tasks run at once in a host, 256 wait. A name runs once at a time
//   (`conflict`).
// Restarts: with the supervisor's back-off; more than supervisor.intensity of them within its
//   period, over all tasks of the plugin, end all its tasks.
#pragma once

#include <gantry/plugin/host.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace gantry {

struct BackgroundTask {
  enum class Restart : std::uint8_t { never, on_failure, always };
  std::string name{};    ///< the plugin's own: letters, digits, `_` and `-`, at most 64
  std::string method{};  ///< one of this plugin's methods
  json params = json::object();
  Restart restart = Restart::never;
  std::optional<Duration> deadline{};  ///< for each run: a run that takes longer is cancelled, and has failed
};

/// Starts a task. Errors of `done`: `conflict`: a task of this name runs; `overloaded`: too many
/// wait; `method_not_found`; `permission_denied`: the method is another plugin's. An error returned
/// here: the call was not made, and `done` is not run.
inline Result<void> run_task(const Host& host, const BackgroundTask& task,
                             std::move_only_function<void(Result<void>)> done = {}) {
  const char* const restart = task.restart == BackgroundTask::Restart::always       ? "always"
                              : task.restart == BackgroundTask::Restart::on_failure ? "on_failure"
                                                                                    : "never";
  json params{{"name", task.name}, {"method", task.method}, {"params", task.params}, {"restart", restart}};
  if (task.deadline) params["deadline_ms"] = std::chrono::ceil<std::chrono::milliseconds>(*task.deadline).count();
  auto made = host.call("task.run", params, {}, [done = std::move(done)](Result<CallAnswer> answer) mutable {
    if (!done) return;
    done(answer ? Result<void>() : std::unexpected(std::move(answer.error())));
  });
  if (!made) return std::unexpected(made.error());
  return {};
}

/// Cancels a task. `not_found` in `done`: no task of this name runs or waits. An error returned
/// here as for run_task().
inline Result<void> stop_task(const Host& host, const std::string& name,
                              std::move_only_function<void(Result<void>)> done = {}) {
  auto made = host.call("task.stop", {{"name", name}}, {}, [done = std::move(done)](Result<CallAnswer> answer) mutable {
    if (!done) return;
    done(answer ? Result<void>() : std::unexpected(std::move(answer.error())));
  });
  if (!made) return std::unexpected(made.error());
  return {};
}

}  // namespace gantry
