// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_tasks.hpp"

#include <gantry/channel/oneshot.hpp>
#include <utility>

#include "host/calls/request_params.hpp"
#include "host/plugins/plugin.hpp"

namespace gantry::host {

namespace {

constexpr std::size_t kMaxName = 64;
constexpr std::int64_t kMaxDeadlineMs = std::int64_t{24} * 60 * 60 * 1000;
/// An instance that is found and has left its place when it is called: then the one that has it now.
constexpr int kMaxSwaps = 16;

/// What comes of the call that a task is. It outlives the task when the plugin does not answer in time.
class TaskSink final : public CallSink {
 public:
  TaskSink(TaskContext& context, oneshot::Sender<Result<void>> end) : context_(&context), end_(std::move(end)) {}
  void item(std::string_view /*payload*/) override {}
  void item_end() override {}
  void credit(std::uint32_t /*items*/) override {}
  void progress(std::string_view payload) override {
    const auto doc = parse_json(payload);
    if (!doc || !doc->is_object()) return;
    std::string text = doc->value("message", "");
    if (const auto percentage = doc->find("percentage"); percentage != doc->end() && percentage->is_number())
      text += (text.empty() ? "" : ", ") + std::to_string(static_cast<int>(percentage->get<double>())) + " %";
    Lock lock(mutex_);
    if (context_ != nullptr) context_->progress(std::move(text));
  }
  void answered(Result<Answer> answer) override {
    (void)end_.send(answer ? Result<void>() : std::unexpected(std::move(answer.error())));
  }
  /// The task is over: it is told nothing more.
  void leave() {
    Lock lock(mutex_);
    context_ = nullptr;
  }

 private:
  Mutex mutex_;
  TaskContext* context_ GANTRY_GUARDED_BY(mutex_);
  oneshot::Sender<Result<void>> end_;
};

[[nodiscard]] bool is_word(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
             std::string_view::npos;
}

}  // namespace

std::vector<ManifestMethod> PluginTasks::methods() {
  const json text{{"type", "string"}};
  const auto method = [](const char* called, const char* summary, json properties, json required) {
    ManifestMethod out;
    out.name = called;
    out.summary = summary;
    out.params = {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
    out.result = json::object();
    return out;
  };
  return {
      method("task.run", "For plugins: runs one of the plugin's own methods as a background task",
             {{"name", text},
              {"method", text},
              {"params", {{"type", "object"}}},
              {"restart", {{"enum", {"never", "on_failure", "always"}}}},
              {"deadline_ms", {{"type", "integer"}, {"minimum", 1}, {"maximum", kMaxDeadlineMs}}}},
             {"name", "method"}),
      method("task.stop", "For plugins: cancels a background task of the plugin's own", {{"name", text}}, {"name"})};
}

Result<std::string> PluginTasks::call(const CallRequest& request) {
  const auto plugin = plugin_of_(request.origin);
  if (!plugin)
    return fail(ErrorKind::permission_denied, request.method + " is for plugins; a client has no tasks of its own");
  return request.method == "task.run" ? run(request, *plugin) : stop(request, *plugin);
}

Result<PluginTasks::TaskRequest> PluginTasks::parse_request(const CallRequest& request,
                                                            const std::string& plugin) const {
  auto params = params_of(request);
  if (!params) return std::unexpected(params.error());
  Params& p = *params;
  TaskRequest out;
  out.name = p.string("name");
  out.method = p.string("method");
  out.params = dump_json(p.maybe_object("params").value_or(json::object()));
  const std::string restart = p.string_or("restart", "never");
  if (const auto deadline = p.maybe_integer("deadline_ms", 1, kMaxDeadlineMs))
    out.options.deadline = std::chrono::milliseconds(*deadline);
  p.require(is_word(out.name), "name must be one word of letters, digits, `_` and `-`, at most 64");
  p.require(restart == "never" || restart == "on_failure" || restart == "always",
            R"(restart must be "never", "on_failure" or "always")");
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  out.options.restart = restart == "always"       ? TaskRestart::permanent
                        : restart == "on_failure" ? TaskRestart::transient
                                                  : TaskRestart::temporary;
  const auto found = services_.find(out.method);
  if (!found) return std::unexpected(found.error());
  if (found->plugin->name != plugin)
    return fail(ErrorKind::permission_denied,
                out.method + " is no method of plugin " + plugin + ": a task runs one of its plugin's own");
  if (found->method->attach)
    return fail(ErrorKind::invalid_params, out.method + " is an attach stream, which never ends by itself");
  return out;
}

Result<std::string> PluginTasks::run(const CallRequest& request, const std::string& plugin) {
  auto wanted = parse_request(request, plugin);
  if (!wanted) return std::unexpected(wanted.error());
  const std::string name = task_name(plugin, wanted->name);
  TaskOptions options = wanted->options;
  options.parent = "plugin:" + plugin;
  // One that has given up is gone, and another one takes its place.
  if (auto scope = tasks_.open_scope(options.parent, {.may_exist = true, .restart = TaskRestart::temporary}); !scope)
    return std::unexpected(scope.error());
  auto task = tasks_.spawn(
      name, [this, plugin, wanted = std::move(*wanted)](TaskContext& context) { return work(context, plugin, wanted); },
      std::move(options));
  if (!task) return std::unexpected(task.error());
  return dump_json({{"name", name}});
}

Result<std::string> PluginTasks::stop(const CallRequest& request, const std::string& plugin) {
  const auto name = only_param(request, "name");
  if (!name) return std::unexpected(name.error());
  if (auto ok = tasks_.cancel(task_name(plugin, *name)); !ok) return std::unexpected(ok.error());
  return std::string("{}");
}

// Another instance that is wished for is no failure of the task, which is called again there.
Result<void> PluginTasks::work(TaskContext& context, const std::string& plugin, const TaskRequest& wanted) {
  while (true) {
    std::shared_ptr<Plugin> instance;
    auto end = work_once(context, plugin, wanted, instance);
    const bool replaced = !end && instance && instance->is_stopping() && !instance->is_dead();
    if (!replaced || context.cancelled() || wanted.options.restart == TaskRestart::temporary) return end;
  }
}

Result<void> PluginTasks::work_once(TaskContext& context, const std::string& plugin, const TaskRequest& wanted,
                                    std::shared_ptr<Plugin>& by) {
  LiveInstance& place = *services_.instance(plugin);
  auto [reply, answer] = oneshot::channel<Result<void>>();
  const auto sink = std::make_shared<TaskSink>(context, std::move(reply));
  struct Leave {
    TaskSink& sink;
    ~Leave() { sink.leave(); }
  };
  const Leave leave{*sink};
  CallRequest request;
  request.method = wanted.method;
  request.params = wanted.params;
  request.background = true;
  if (wanted.options.deadline) request.deadline = Deadline::in(*wanted.options.deadline, clock_.now());
  const PluginCallPtr call(new WithSink<PluginCall>(std::move(request), sink));
  bool opened = false;
  for (int i = 0; i < kMaxSwaps && !opened; ++i) {
    const auto instance = place.get();
    if (!instance) return std::unexpected(instance.error());
    by = *instance;
    const auto taken = by->open(call);
    opened = taken.has_value();
    const bool late = !taken && taken.error().kind == ErrorKind::unavailable;
    if (!taken && !(late && place.peek() != *instance)) return std::unexpected(taken.error());
  }
  if (!opened) return fail(ErrorKind::unavailable, "plugin " + plugin + " was replaced all the time");
  auto end = answer.recv({.until = {}, .token = context.token()});
  if (!end && end.error().kind == ErrorKind::cancelled) {
    // It is over when the plugin says so; the supervisor's grace bounds the wait.
    call->cancel();
    return answer.recv().value_or(std::unexpected(end.error()));
  }
  if (!end) return std::unexpected(std::move(end.error()));
  return std::move(*end);
}

}  // namespace gantry::host
