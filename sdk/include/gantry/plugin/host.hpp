// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/host.hpp: the host as a plugin sees it.
//
// Thread rule: Host is a small copyable handle; every function may be called from any thread until
//   the plugin's object is destroyed. None blocks, none calls back into the plugin before it
//   returns.
#pragma once

#include <gantry/abi.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <gantry/channel/oneshot.hpp>
#include <gantry/deadline.hpp>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin/message.hpp>
#include <gantry/plugin/outgoing.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gantry {

enum class Level : std::int32_t {
  trace = GANTRY_TRACE,
  debug = GANTRY_DEBUG,
  info = GANTRY_INFO,
  warn = GANTRY_WARN,
  error = GANTRY_ERROR,
};

/// The innermost of these folders that is this path or contains it; empty: none does.
[[nodiscard]] inline std::string folder_around(const std::vector<std::string>& folders, std::string_view path) {
  std::string best;
  for (const auto& folder : folders) {
    const bool holds = path.starts_with(folder) &&
                       (path.size() == folder.size() || folder.ends_with('/') || path[folder.size()] == '/');
    if (holds && folder.size() > best.size()) best = folder;
  }
  return best;
}

/// The configuration that a plugin is started with, and receives again when it changes.
struct PluginConfig {
  std::string name;                     ///< the plugin's name in the configuration
  std::string state_dir;                ///< a folder of its own, created, 0700
  std::vector<std::string> workspaces;  ///< absolute folders, canonical
  json async = json::object();          ///< the [async] table
  json settings = json::object();       ///< the table that the manifest names, merged with [plugins.NAME.settings]
  /// Within start: the bytes that the instance before has given (Stopping::give).
  std::optional<std::string> handed_over{};
  /// For workspaces whose project has settings of its own in force: those settings; all other
  /// workspaces have `settings`.
  std::map<std::string, json, std::less<>> workspace_settings{};
  /// Workspaces whose projects the user trusts: the plugin must run no code of another workspace's
  /// project.
  std::vector<std::string> trusted_workspaces{};
  /// The plugin's library, where the user has it: the host runs a copy, whose path dladdr() gives.
  /// Empty: an older host.
  std::string library{};
  /// The largest answer or item that the host takes from the plugin, in bytes. 0: an older host.
  std::size_t max_message_bytes = 0;

  /// The settings that hold for the file or folder at `path`.
  [[nodiscard]] const json& settings_at(std::string_view path) const {
    const auto own = workspace_settings.find(folder_around(workspaces, path));
    return own == workspace_settings.end() ? settings : own->second;
  }
  [[nodiscard]] bool is_trusted(std::string_view path) const {
    const auto& all = trusted_workspaces;
    return std::find(all.begin(), all.end(), folder_around(workspaces, path)) != all.end();
  }
};

/// The caller: `{client, version, workspace}` of host.hello, as far as they were given.
struct OriginInfo {
  std::string client;
  std::string version;
  std::string workspace;
};

namespace detail {

using PostedTask = std::move_only_function<void()>;

inline void run_task(void* arg) {
  const std::unique_ptr<PostedTask> task(static_cast<PostedTask*>(arg));
  (*task)();
}

}  // namespace detail

/// A timer that was started. Dropping the id does not stop the timer.
struct TimerId {
  std::uint64_t value = 0;
  void* node = nullptr;
};

namespace detail {

/// Owns the closures of timers that have not run, so that closures that never run are destroyed
/// with the plugin.
class TimerRegistry {
 public:
  struct Node {
    TimerRegistry* registry;
    PostedTask run;
  };
  [[nodiscard]] Node* add(PostedTask task) {
    auto node = std::make_unique<Node>(Node{this, std::move(task)});
    Node* key = node.get();
    Lock lock(mutex_);
    nodes_.emplace(key, std::move(node));
    return key;
  }
  [[nodiscard]] std::unique_ptr<Node> take(Node* key) {
    Lock lock(mutex_);
    const auto it = nodes_.find(key);
    if (it == nodes_.end()) return nullptr;
    auto node = std::move(it->second);
    nodes_.erase(it);
    return node;
  }
  /// The plugin is being destroyed: no timer runs any more. A closure may own an owner of this object.
  void clear() {
    std::unordered_map<Node*, std::unique_ptr<Node>> nodes;
    Lock lock(mutex_);
    nodes.swap(nodes_);
  }

 private:
  Mutex mutex_;
  std::unordered_map<Node*, std::unique_ptr<Node>> nodes_ GANTRY_GUARDED_BY(mutex_);
};

inline void run_timer(void* arg) {
  auto* key = static_cast<TimerRegistry::Node*>(arg);
  if (const auto node = key->registry->take(key)) node->run();
}

}  // namespace detail

class Host {
 public:
  explicit Host(const gantry_host* host)
      : host_(host),
        timers_(static_cast<const gantry_timers*>(host->extension(host->ctx, GANTRY_TIMERS_EXT))),
        origins_(static_cast<const gantry_origins*>(host->extension(host->ctx, GANTRY_ORIGINS_EXT))),
        descriptors_(static_cast<const gantry_descriptors*>(host->extension(host->ctx, GANTRY_DESCRIPTORS_EXT))) {}

  void log(Level level, std::string_view line) const {
    host_->log(host_->ctx, static_cast<std::int32_t>(level), detail::to_bytes(line));
  }

  /// Publishes an event on the host's bus. `overloaded`: the bus is full; `invalid_params`: the
  /// manifest does not list the topic.
  Result<void> publish(std::string_view topic, const json& payload) const { return publish(topic, {}, 0, payload); }

  /// Publishes an event of the plugin's own log: `seq` grows by one with each event of `epoch`.
  Result<void> publish(std::string_view topic, std::string_view epoch, std::uint64_t seq, const json& payload) const {
    return publish_raw(topic, epoch, seq, dump_json(payload));
  }
  /// As publish(), with the payload's JSON text.
  Result<void> publish_raw(std::string_view topic, std::string_view epoch, std::uint64_t seq,
                           std::string_view text) const {
    auto msg = detail::make_msg(GANTRY_EVENT, seq);
    msg.topic = detail::to_bytes(topic);
    msg.epoch = detail::to_bytes(epoch);
    msg.payload = detail::to_bytes(text);
    const std::int32_t status = host_->send(host_->ctx, &msg);
    if (status != GANTRY_INVALID) return sent(status, topic);
    return fail(ErrorKind::invalid_params,
                "the host refused an event on " + std::string(topic) +
                    ": its manifest does not list the topic, nothing grants it, or it is over 1 MiB");
  }

  /// Declares which log is the plugin's own, and the log's newest event, before the plugin
  /// publishes the log's events: from then on no other plugin can publish under this epoch, and a
  /// client that has seen all events of the log can resume. A host that does not know this message
  /// ignores it. For a plugin whose manifest lists topics of a log.
  void claim_log(std::string_view epoch, std::uint64_t head) const {
    auto msg = detail::make_msg(GANTRY_EVENT, head);
    msg.epoch = detail::to_bytes(epoch);
    msg.payload = detail::to_bytes("null");
    (void)host_->send(host_->ctx, &msg);
  }

  /// Calls a service, or a client. `done` runs serially, once. `overloaded`: too many calls are
  /// open; `unavailable`: the plugin is stopping; `invalid_params`: the message was refused.
  Result<OutgoingCall> call(std::string_view method, const json& params, CallOptions options, OnAnswer done) const {
    const auto call = shared_->outgoing.add(host_, std::move(options), std::move(done));
    const CallOptions& o = call->options;
    const std::string text = dump_json(params);
    auto msg = detail::make_msg(GANTRY_CALL, call->id);
    if (o.stream_credit) msg.flags = GANTRY_STREAM;
    msg.credit = o.stream_credit.value_or(0);
    if (const auto remaining = o.deadline.remaining(now()))
      msg.budget_ns = std::max<std::int64_t>(remaining->count(), 0);
    msg.origin = o.client;
    msg.topic = detail::to_bytes(method);
    msg.payload = detail::to_bytes(text);
    msg.traceparent = detail::to_bytes(o.traceparent);
    msg.idempotency_key = detail::to_bytes(o.idempotency_key);
    const OutgoingCall handle(host_, call->id);
    if (auto ok = sent(detail::send_msg(host_, descriptors_, msg, o.descriptors), method); !ok) {
      (void)shared_->outgoing.take(handle.id());
      return std::unexpected(ok.error());
    }
    return handle;
  }
  /// As call(), for a thread of the plugin's own, which waits: `host.ask("greeter.greet",
  /// {...}).recv()`. A handler or callback must not wait so: the answer is delivered serially,
  /// after it returns.
  [[nodiscard]] oneshot::Receiver<Result<CallAnswer>> ask(std::string_view method, const json& params,
                                                          CallOptions options = {}) const {
    auto [reply, answer] = oneshot::channel<Result<CallAnswer>>();
    auto shared = std::make_shared<oneshot::Sender<Result<CallAnswer>>>(std::move(reply));
    auto made = call(method, params, std::move(options),
                     [shared](Result<CallAnswer> got) { (void)shared->send(std::move(got)); });
    if (!made) (void)shared->send(std::unexpected(made.error()));
    return std::move(answer);
  }

  /// Runs `task` serially with the plugin's handlers, after tasks that were posted before. It must
  /// not throw. False: the plugin is stopping.
  bool post(std::move_only_function<void()> task) const {
    auto owned = std::make_unique<detail::PostedTask>(guarded(std::move(task)));
    if (host_->post(host_->ctx, &detail::run_task, owned.get()) != GANTRY_OK) return false;
    (void)owned.release();
    return true;
  }

  /// The time on the host's clock.
  [[nodiscard]] TimePoint now() const {
    if (timers_ == nullptr) return std::chrono::steady_clock::now();
    return TimePoint(Duration(timers_->now(host_->ctx)));
  }

  /// Runs `task` serially, once, `delay` from now. Empty: the plugin has too many timers, or the
  /// host offers none.
  [[nodiscard]] std::optional<TimerId> after(Duration delay, std::move_only_function<void()> task) const {
    if (timers_ == nullptr) return std::nullopt;
    auto* node = shared_->timers.add(guarded(std::move(task)));
    const std::uint64_t id = timers_->start(host_->ctx, delay.count(), &detail::run_timer, node);
    if (id == 0) {
      (void)shared_->timers.take(node);
      return std::nullopt;
    }
    return TimerId{id, node};
  }

  /// True: the task will not run, and is destroyed. False: it has run, or is about to.
  bool cancel(TimerId id) const {
    if (timers_ == nullptr || id.value == 0 || timers_->cancel(host_->ctx, id.value) != 1) return false;
    (void)shared_->timers.take(static_cast<detail::TimerRegistry::Node*>(id.node));
    return true;
  }

  [[nodiscard]] std::optional<OriginInfo> origin(std::uint64_t id) const {
    if (origins_ == nullptr) return std::nullopt;
    std::string text;
    const int known = origins_->describe(host_->ctx, id, &text, [](void* out, gantry_bytes bytes) {
      static_cast<std::string*>(out)->assign(detail::to_view(bytes));
    });
    if (known != 1) return std::nullopt;
    const auto doc = parse_json(text);
    if (!doc || !doc->is_object()) return std::nullopt;
    return OriginInfo{doc->value("client", ""), doc->value("version", ""), doc->value("workspace", "")};
  }

  /// The descriptors that came with the message that is being delivered.
  [[nodiscard]] Descriptors take_descriptors() const { return detail::take_descriptors(host_, descriptors_); }
  [[nodiscard]] const gantry_descriptors* descriptors() const { return descriptors_; }
  [[nodiscard]] detail::OutgoingTable& outgoing() const { return shared_->outgoing; }
  [[nodiscard]] detail::TimerRegistry& timers() const { return shared_->timers; }
  /// The C interface, for extensions that this class does not wrap.
  [[nodiscard]] const gantry_host* raw() const { return host_; }

  [[nodiscard]] static Result<void> sent(std::int32_t status, std::string_view what) {
    switch (status) {
      case GANTRY_OK:
        return {};
      case GANTRY_FULL:
        return fail(ErrorKind::overloaded, "the host does not take more now: " + std::string(what));
      case GANTRY_CLOSED:
        return fail(ErrorKind::unavailable, "it is over: " + std::string(what));
      default:
        return fail(ErrorKind::invalid_params, "the host refused a malformed message: " + std::string(what));
    }
  }

 private:
  // An exception must not leave a task, which is called from C: it becomes a log line.
  [[nodiscard]] detail::PostedTask guarded(detail::PostedTask task) const {
    return [host = host_, run = std::move(task)]() mutable {
      std::string what;
      try {
        run();
        return;
      } catch (const std::exception& e) {
        what = std::string("exception in a posted task: ") + e.what();
      } catch (...) {
        what = "exception in a posted task";
      }
      host->log(host->ctx, GANTRY_ERROR, detail::to_bytes(what));
    };
  }

  const gantry_host* host_;
  const gantry_timers* timers_;
  const gantry_origins* origins_;
  const gantry_descriptors* descriptors_;
  struct Shared {
    detail::OutgoingTable outgoing;
    detail::TimerRegistry timers;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace gantry
