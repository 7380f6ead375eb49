// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin.hpp: write a plugin in a dozen lines.
//
//   struct Echo {
//     explicit Echo(gantry::Host) {}
//     gantry::Result<gantry::json> say(gantry::Call& call) { return call.params(); }
//     static void define(gantry::Definition<Echo>& d) {
//       d.id("echo").version("1.0.0").service("echo").method("echo.say", &Echo::say);
//     }
//   };
//   GANTRY_PLUGIN(Echo)
//
// The class may also have any of these members, all called serially with the handlers:
//   Result<void> start(const PluginConfig&)       before the first call; may block. A failure: the plugin is `failed`
//   void reconfigure(const PluginConfig&)         the configuration in force has changed, or a workspace was added
//                                                 Both may take a second argument, const Settings&: a described struct
//                                                 that [plugins.NAME.settings] is checked against and read into
//   void event(std::string_view topic, const json& payload)
//   void gone(std::uint64_t origin)               a client or plugin that made calls has left
//   void stop(Stopping)                           finish or cancel open work; the host waits for Stopping to die
// and its destructor joins the threads that it started. An exception that leaves a handler answers
// the call with `internal`.
//
// Thread rule: serial, see gantry/abi.h. Includes no Asio.
#pragma once

#include <gantry/abi.h>

#include <exception>
#include <gantry/plugin/call.hpp>
#include <gantry/plugin/definition.hpp>
#include <gantry/plugin/executors.hpp>
#include <gantry/plugin/host.hpp>
#include <gantry/plugin/members.hpp>
#include <gantry/plugin/task.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace gantry {

namespace detail {
/// The destructor answers GANTRY_STOP.
struct StopReply {
  Host host;
  std::uint64_t id;

  StopReply(Host to, std::uint64_t stop) : host(std::move(to)), id(stop) {}
  StopReply(const StopReply&) = delete;
  StopReply& operator=(const StopReply&) = delete;
  ~StopReply() {
    auto msg = make_msg(GANTRY_RESPONSE, id);
    msg.payload = to_bytes("null");
    (void)host.raw()->send(host.raw()->ctx, &msg);
  }
};
}  // namespace detail

/// The plugin has stopped when this object is destroyed. Move it to where the last work ends.
class Stopping {
 public:
  Stopping(std::shared_ptr<detail::StopReply> reply, Deadline deadline)
      : reply_(std::move(reply)), deadline_(deadline) {}
  Stopping(Stopping&&) noexcept = default;
  Stopping& operator=(Stopping&&) = delete;
  ~Stopping() = default;
  /// When the host's time for the stop ends.
  [[nodiscard]] Deadline deadline() const { return deadline_; }
  /// Keeps `state` for the instance that comes next, when the plugin is reloaded by handover: that
  /// instance finds these bytes in its start's PluginConfig::handed_over. The last call counts.
  /// `unavailable`: no instance comes next. `too_large`: the bytes are over the host's limit for a
  /// message.
  Result<void> give(std::string_view state) const {
    const auto* const handover = extension();
    const std::int32_t given = handover != nullptr ? handover->give(reply_->host.raw()->ctx, detail::to_bytes(state))
                                                   : std::int32_t{GANTRY_CLOSED};
    if (given == GANTRY_FULL) return fail(ErrorKind::too_large, "what is given is larger than a message may be");
    if (given != GANTRY_OK) return fail(ErrorKind::unavailable, "no instance comes after this one");
    return {};
  }
  /// Gives an open stream to the next instance as well: there the method is called again, with
  /// Call::resumed(), and whatever the caller sends meanwhile follows. Returns the items that still
  /// wait for the caller's credit: the next instance has to send them. `unavailable`: no instance
  /// comes next, or the call is no open stream; then this instance still has to answer the call.
  Result<std::vector<std::string>> give(Call& call) const { return detail::state_of(call)->give(extension()); }

 private:
  [[nodiscard]] const gantry_handover* extension() const {
    const auto* const host = reply_->host.raw();
    return static_cast<const gantry_handover*>(host->extension(host->ctx, GANTRY_HANDOVER_EXT));
  }
  std::shared_ptr<detail::StopReply> reply_;  // also held by the calls that the executors serve
  Deadline deadline_;
};

namespace detail {

[[nodiscard]] inline Result<PluginConfig> parse_plugin_config(std::string_view text) {
  auto doc = parse_json(text);
  if (!doc) return std::unexpected(doc.error());
  if (!doc->is_object()) return fail(ErrorKind::invalid_params, "the plugin configuration is no object");
  PluginConfig config;
  config.name = doc->value("name", "");
  config.state_dir = doc->value("state_dir", "");
  config.library = doc->value("library", "");
  config.max_message_bytes = doc->value("max_message_bytes", std::size_t{0});
  if (const auto it = doc->find("workspaces"); it != doc->end() && it->is_array()) {
    for (const auto& entry : *it) config.workspaces.push_back(entry.get<std::string>());
  }
  config.async = doc->value("async", json::object());
  config.settings = doc->value("settings", json::object());
  if (const auto it = doc->find("workspace_settings"); it != doc->end() && it->is_object()) {
    for (const auto& [workspace, settings] : it->items()) config.workspace_settings[workspace] = settings;
  }
  if (const auto it = doc->find("trusted_workspaces"); it != doc->end() && it->is_array()) {
    for (const auto& entry : *it) config.trusted_workspaces.push_back(entry.get<std::string>());
  }
  return config;
}

/// The type of the settings parameter of T::start; void: there is none.
template <class F>
struct SettingsOf {
  using type = void;
};
template <class T, class R, class S, bool N>
struct SettingsOf<R (T::*)(const PluginConfig&, const S&) noexcept(N)> {
  using type = S;
};
template <class T>
[[nodiscard]] constexpr auto start_of() {
  if constexpr (requires { &T::start; }) {
    return &T::start;
  } else {
    return nullptr;
  }
}

/// The C side of one plugin object. Every function that the host calls is noexcept: only a status
/// crosses the boundary.
template <class T>
class Instance {
 public:
  using Settings = typename SettingsOf<decltype(start_of<T>())>::type;
  static constexpr bool kTakesSettings = !std::is_void_v<Settings>;

  [[nodiscard]] static const Definition<T>& definition() {
    // Never destroyed: a thread may still be inside the plugin when the process ends.
    static const auto* const built = [] {
      auto kept = std::make_unique<Definition<T>>();  // define may throw, and is then tried again
      Definition<T>& d = *kept;
      T::define(d);
      if constexpr (kTakesSettings) {
        if (!d.has_settings()) d.template settings<Settings>();
      }
      return kept.release();
    }();
    return *built;
  }

  static gantry_plugin* create(const gantry_host* host) noexcept {
    try {
      return &(new Instance(host))->abi_;
    } catch (...) {
      return nullptr;
    }
  }

  static void describe(void* sink_ctx, void (*sink)(void*, gantry_bytes)) noexcept {
    try {
      const std::string manifest = definition().manifest();
      sink(sink_ctx, to_bytes(manifest));
    } catch (...) {
      sink(sink_ctx, gantry_bytes{nullptr, 0});
    }
  }

 private:
  explicit Instance(const gantry_host* host) : host_(host), executors_(host_) {
    check_members<T, Settings>();
    abi_.size = sizeof abi_;
    abi_.ctx = this;
    abi_.start = [](void* ctx, gantry_bytes config) noexcept -> std::int32_t {
      auto* self = static_cast<Instance*>(ctx);
      return self->guarded("start", [&] { return self->start(to_view(config)); });
    };
    abi_.deliver = [](void* ctx, const gantry_msg* msg) noexcept -> std::int32_t {
      auto* self = static_cast<Instance*>(ctx);
      return self->guarded("deliver", [&] { return self->deliver(*msg); });
    };
    abi_.destroy = [](void* ctx) noexcept { delete static_cast<Instance*>(ctx); };
  }
  ~Instance() {
    calls_.end();
    host_.outgoing().clear();  // what the executors wait for ends
    executors_.join();
    host_.timers().clear();
    impl_.reset();
    host_.outgoing().clear();
    host_.timers().clear();  // what the plugin's object has started in its destructor
  }

  template <class F>
  std::int32_t guarded(const char* where, F&& body) noexcept {
    try {
      return body();
    } catch (const std::exception& e) {
      host_.log(Level::error, std::string("exception in ") + where + ": " + e.what());
    } catch (...) {
      host_.log(Level::error, std::string("exception in ") + where);
    }
    return static_cast<std::int32_t>(ErrorKind::internal);
  }

  [[nodiscard]] std::optional<std::string> handed_over() const {
    const auto* const host = host_.raw();
    const auto* const handover = static_cast<const gantry_handover*>(host->extension(host->ctx, GANTRY_HANDOVER_EXT));
    std::optional<std::string> out;
    if (handover != nullptr) {
      (void)handover->take(host->ctx, &out, [](void* to, gantry_bytes state) {
        static_cast<std::optional<std::string>*>(to)->emplace(to_view(state));
      });
    }
    return out;
  }

  std::int32_t start(std::string_view text) {
    auto config = parse_plugin_config(text);
    if (!config) {
      host_.log(Level::error, config.error().message);
      return static_cast<std::int32_t>(config.error().kind);
    }
    config->handed_over = handed_over();
    impl_ = std::make_unique<T>(host_);
    Result<void> started;
    if constexpr (kTakesSettings) {
      const auto settings = from_json<Settings>(config->settings, "settings");
      started = settings ? impl_->start(*config, *settings) : std::unexpected(settings.error());
    } else if constexpr (requires { impl_->start(*config); }) {
      started = impl_->start(*config);
    }
    if (!started) {
      host_.log(Level::error, started.error().message);
      return static_cast<std::int32_t>(started.error().kind);
    }
    return 0;
  }

  std::int32_t deliver(const gantry_msg& msg) {
    calls_.let_leave();
    executors_.turn();
    if ((msg.id & GANTRY_OWN_CALL) != 0 && msg.kind != GANTRY_EVENT) {
      host_.outgoing().deliver(msg, host_.take_descriptors());
      return 0;
    }
    switch (msg.kind) {
      case GANTRY_CALL:
        return call(msg);
      case GANTRY_ITEM: {
        const auto state = calls_.find(msg.id);
        if (!state) return 0;
        if ((msg.flags & GANTRY_END) != 0) {
          if (state->on_end) state->on_end();
        } else if (state->on_item) {
          state->on_item(to_view(msg.payload));
        }
        return 0;
      }
      case GANTRY_CREDIT:
        if (const auto state = calls_.find(msg.id); state && state->credit() && state->on_credit) state->on_credit();
        return 0;
      case GANTRY_CANCEL:
        if (const auto state = calls_.find(msg.id)) {
          state->cancel();
          if (state->on_cancel) state->on_cancel();
          (void)state->credit();  // no credit comes any more: waiting items are dropped, and the answer leaves
        }
        return 0;
      case GANTRY_EVENT:
        return event(msg);
      case GANTRY_GONE:
        if constexpr (requires { impl_->gone(msg.origin); }) {
          if (impl_) impl_->gone(msg.origin);
        }
        return 0;
      case GANTRY_STOP: {
        auto reply = std::make_shared<StopReply>(host_, msg.id);
        Stopping stopping(reply, Deadline::in(Duration(msg.budget_ns), host_.now()));
        executors_.stop(std::move(reply));
        calls_.stop();
        if constexpr (requires { impl_->stop(std::move(stopping)); }) {
          if (impl_) impl_->stop(std::move(stopping));
        }
        return 0;
      }
      default:
        return GANTRY_INVALID;
    }
  }

  std::int32_t call(const gantry_msg& msg) {
    auto state = std::make_shared<CallState>(host_, msg);
    state->executors = &executors_;
    if (msg.budget_ns >= 0) state->deadline = Deadline::in(Duration(msg.budget_ns), host_.now());
    state->descriptors = host_.take_descriptors();
    state->table.store(&calls_, std::memory_order_relaxed);
    state->handler_thread.store(std::this_thread::get_id(), std::memory_order_relaxed);
    serve(state);
    state->handler_thread.store(std::thread::id(), std::memory_order_relaxed);
    // Messages for the call come in later turns: the table must know the call only now.
    if (state->answered_by_handler) {
      state->leave();
    } else {
      calls_.add(state);
    }
    return 0;
  }

  void serve(const std::shared_ptr<CallState>& state) {
    Call call(state);
    const auto* handler = definition().find(state->method);
    if (handler == nullptr)
      return call.reply_error(Error{ErrorKind::method_not_found, "no such method: " + state->method, {}});
    if (!impl_) return call.reply_error(Error{ErrorKind::unavailable, "the plugin has not started", {}});
    std::optional<std::string> thrown;
    try {
      (*handler)(*impl_, std::move(call));
    } catch (const std::exception& e) {
      thrown = e.what();
    } catch (...) {
      thrown = "an exception of unknown type";
    }
    if (thrown) {
      state->finish(static_cast<std::int32_t>(ErrorKind::internal),
                    error_payload(Error{ErrorKind::internal, state->method + " failed: " + *thrown, {}}));
    } else if (state->lost_to_exception) {
      state->finish_dropped();
    }
  }

  std::int32_t event(const gantry_msg& msg) {
    if (!impl_) return 0;
    const auto topic = to_view(msg.topic);
    if (topic == "host.plugin.config") {
      if (const auto config = parse_plugin_config(to_view(msg.payload))) reconfigure(*config);
      return 0;
    }
    if constexpr (requires(const json& p) { impl_->event(topic, p); }) {
      if (const auto payload = parse_json(to_view(msg.payload))) impl_->event(topic, *payload);
    }
    return 0;
  }

  void reconfigure(const PluginConfig& config) {
    if constexpr (kTakesSettings) {
      if constexpr (requires(const Settings& s) { impl_->reconfigure(config, s); }) {
        if (const auto settings = from_json<Settings>(config.settings, "settings")) {
          impl_->reconfigure(config, *settings);
        } else {
          host_.log(Level::error, "the settings before stay in force: " + settings.error().message);
        }
      }
    } else if constexpr (requires { impl_->reconfigure(config); }) {
      impl_->reconfigure(config);
    }
  }

  gantry_plugin abi_{};
  Host host_;
  CallTable calls_;
  Executors executors_;
  std::unique_ptr<T> impl_;  // first to go: its threads may still use the rest
};

}  // namespace detail

}  // namespace gantry

#define GANTRY_PLUGIN(Class)                                                     \
  extern "C" __attribute__((visibility("default")))                              \
  const gantry_entry_t gantry_entry = {GANTRY_MAGIC,                             \
                                       GANTRY_ABI_MAJOR,                         \
                                       GANTRY_ABI_MINOR,                         \
                                       sizeof(gantry_entry_t),                   \
                                       0,                                        \
                                       &gantry::detail::Instance<Class>::create, \
                                       &gantry::detail::Instance<Class>::describe};
