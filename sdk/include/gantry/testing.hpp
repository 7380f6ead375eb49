// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing.hpp: runs a plugin in a test, without a host.
//
//   gantry::testing::TestHost host(path_to_so, {{"settings", {...}}});
//   auto result = host.call("echo.say", {{"a", 1}});
//   auto stream = host.open("ai.complete", params, 16);
//   while (auto item = stream.next()) ...
//
// The plugin gets a serial thread, credits are enforced as by the host, everything that the plugin
// sends is kept, and timers run on a clock that stands still until the test moves it (`advance`),
// or on the real clock (Time::real).
//
// Every channel from the plugin ends in the test, which may fill, stall, close and inspect it:
//   fill(lane)    the plugin's messages are refused with GANTRY_FULL: `overloaded`
//   stall(lane)   the plugin's messages are taken, and have no effect before open(lane)
//   close(lane)   the plugin's messages are refused with GANTRY_CLOSED: `unavailable`
// The lanes are Lane::events (events that the plugin publishes), calls (calls that it makes), posts
// and timers; the items of a call have the same functions in CallEnd. pause() stalls the other
// direction: nothing runs in the plugin until resume().
//
// Calls that the plugin makes are answered by on_call, or one by one: stall(Lane::calls), then
// made(METHOD).
//
// Thread rule: the test's functions may be called from any thread. Waits give up after 20 s and say
// so.
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/testing/ends.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace gantry::testing {

class TestHost : public detail::HostPort {
 public:
  /// `config`: members of the start configuration, as in gantry/abi.h. `handed_over`: state from an
  /// instance before, as after a reload. `before_start` may prepare the lanes (on_call, stall,
  /// ...): a plugin may call others in its start. Throws std::runtime_error when the plugin does
  /// not load.
  explicit TestHost(const std::string& file, const json& config = json::object(), Time time = Time::manual,
                    std::optional<std::string> handed_over = std::nullopt,
                    const std::function<void(TestHost&)>& before_start = {})
      : HostPort(time) {
    // The library is never closed. dlopen would search the system's folders for a name without a
    // slash.
    void* library = dlopen(std::filesystem::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto* entry = static_cast<const gantry_entry_t*>(dlsym(library, GANTRY_ENTRY_SYMBOL));
    if (entry == nullptr) throw std::runtime_error(file + " does not export gantry_entry");
    entry->describe(&manifest_, [](void* out, gantry_bytes text) {
      static_cast<std::string*>(out)->assign(gantry::detail::to_view(text));
    });
    {
      Lock lock(mutex_);
      handed_over_ = std::move(handed_over);
    }
    fill_host();
    if (before_start) before_start(*this);
    serial_ = std::thread([this] { loop_.run(); });
    started_ = on_serial([this, entry, text = config.is_null() ? std::string("{}") : config.dump()] {
      plugin_ = entry->create(&host_);
      return plugin_->start(plugin_->ctx, gantry::detail::to_bytes(text));
    });
  }
  TestHost(const TestHost&) = delete;
  TestHost& operator=(const TestHost&) = delete;
  ~TestHost() {
    if (!destroyed_) destroy();
  }

  /// The result of `start`: 0, or an error code.
  [[nodiscard]] std::int32_t started() const { return started_; }
  [[nodiscard]] json manifest() const { return json::parse(manifest_); }

  // ---- calls to the plugin ---------------------------------------------------------------------------------------

  [[nodiscard]] Result<json> call(const std::string& method, const json& params = json::object(),
                                  Duration budget = Duration(-1), std::uint64_t origin = 1) {
    return begin(method, params, budget, origin).result();
  }
  [[nodiscard]] TestStream open(const std::string& method, const json& params, std::uint32_t credit,
                                Duration budget = Duration(-1), std::uint64_t origin = 1) {
    return begin(method, params, CallWith{.credit = credit, .budget = budget, .origin = origin});
  }
  /// Starts a call and does not wait for its answer.
  [[nodiscard]] TestStream begin(const std::string& method, const json& params = json::object(),
                                 Duration budget = Duration(-1), std::uint64_t origin = 1) {
    return begin(method, params, CallWith{.budget = budget, .origin = origin});
  }
  [[nodiscard]] TestStream begin(const std::string& method, const json& params, CallWith with) {
    return TestStream(*this, send_call(method, params, std::move(with)));
  }
  /// The number of calls to the plugin that have no answer.
  [[nodiscard]] std::size_t open_calls() const {
    Lock lock(mutex_);
    return static_cast<std::size_t>(std::count_if(calls_.begin(), calls_.end(), [](const auto& entry) {
      return (entry.first & GANTRY_OWN_CALL) == 0 && !entry.second.result && !entry.second.closed;
    }));
  }

  // ---- other messages to the plugin -------------------------------------------------------------------------------

  /// Delivers an event that the plugin has subscribed to.
  void publish(const std::string& topic, const json& payload, const std::string& epoch = "test",
               std::uint64_t seq = 1) {
    loop_.post([this, topic, text = payload.dump(), epoch, seq] {
      auto msg = gantry::detail::make_msg(GANTRY_EVENT, seq);
      msg.topic = gantry::detail::to_bytes(topic);
      msg.epoch = gantry::detail::to_bytes(epoch);
      msg.payload = gantry::detail::to_bytes(text);
      (void)hand(msg);
    });
  }
  void gone(std::uint64_t origin) {
    on_serial([this, origin] {
      auto msg = gantry::detail::make_msg(GANTRY_GONE, 0);
      msg.origin = origin;
      return hand(msg);
    });
  }
  void reconfigure(const json& config) {
    on_serial([this, text = config.dump()] {
      auto msg = gantry::detail::make_msg(GANTRY_EVENT, 0);
      msg.topic = gantry::detail::to_bytes("host.plugin.config");
      msg.payload = gantry::detail::to_bytes(text);
      return hand(msg);
    });
  }
  /// Sends STOP, waits for the answer, destroys the plugin. `next_comes`: as at a reload by
  /// handover, so that the plugin may give state; else the host refuses what it gives.
  void stop(Duration budget = std::chrono::seconds(5), bool next_comes = true) {
    (void)begin_stop(budget, next_comes).result();
    destroy();
  }
  /// Sends STOP and returns when STOP has been delivered.
  [[nodiscard]] TestStream begin_stop(Duration budget = std::chrono::seconds(5), bool next_comes = true) {
    const auto id = next_id_++;
    {
      Lock lock(mutex_);
      calls_[id];
      stopping_ = true;
      next_comes_ = next_comes;
    }
    on_serial([this, id, budget] {
      auto msg = gantry::detail::make_msg(GANTRY_STOP, id);
      msg.budget_ns = budget.count();
      return hand(msg);
    });
    return TestStream(*this, id);
  }
  /// The ids of the streams that the plugin has given to the next instance: see CallWith::resumes.
  [[nodiscard]] std::vector<std::uint64_t> given_streams() const {
    Lock lock(mutex_);
    return given_streams_;
  }
  /// The state that the plugin has given to the next instance, as at a reload by handover.
  [[nodiscard]] std::optional<std::string> given() const {
    Lock lock(mutex_);
    return given_;
  }
  /// Destroys the plugin without STOP.
  void destroy() {
    resume();
    {
      Lock lock(mutex_);
      closed_ = true;
      release_posts();  // a post that was taken has to run
      loop_.clear_timers();
    }
    on_serial([this] {
      plugin_->destroy(plugin_->ctx);
      plugin_ = nullptr;
      return 0;
    });
    destroyed_ = true;
    (void)loop_.quit();
    serial_.join();
  }

  // ---- the lanes of the plugin -------------------------------------------------------------------------------------

  void fill(Lane lane) { set_gate(lane, Gate::full); }
  void stall(Lane lane) { set_gate(lane, Gate::stalled); }
  void close(Lane lane) { set_gate(lane, Gate::closed); }
  /// Lets stalled messages go on.
  void open(Lane lane) {
    set_gate(lane, Gate::open);
    if (lane == Lane::calls) ask_for_held();
  }
  /// The number of messages that go no further now: events and posts that have stalled, unanswered
  /// calls, timers that wait.
  [[nodiscard]] std::size_t waiting(Lane lane) const {
    Lock lock(mutex_);
    switch (lane) {
      case Lane::events:
        return stalled_events_.size();
      case Lane::posts:
        return stalled_posts_.size();
      case Lane::timers:
        return loop_.timers();
      case Lane::calls:
        break;
    }
    return static_cast<std::size_t>(std::count_if(calls_.begin(), calls_.end(), [](const auto& entry) {
      return (entry.first & GANTRY_OWN_CALL) != 0 && !entry.second.result;
    }));
  }
  /// From now on nothing runs in the plugin: calls, items, events, posted tasks and timers wait, in
  /// order.
  void pause() { loop_.pause(true); }
  void resume() { loop_.pause(false); }
  /// The number of tasks that wait to run in the plugin.
  [[nodiscard]] std::size_t mailbox() const { return loop_.size(); }

  /// From now on `handler` answers this method when the plugin calls it; other methods are
  /// `method_not_found`.
  void on_call(const std::string& method, OnCall handler) {
    Lock lock(mutex_);
    on_calls_.insert_or_assign(method, std::move(handler));
  }
  /// Waits for a call of this method that the plugin has made and nobody has answered. Lane::calls
  /// must be stalled; from here on the test answers the call.
  [[nodiscard]] MadeCall made(const std::string& method) {
    std::uint64_t id = 0;
    wait(method.c_str(), [&] {
      Lock lock(mutex_);
      const auto it = std::find_if(calls_.begin(), calls_.end(), [&](const auto& entry) {
        return entry.second.held && entry.second.method == method;
      });
      if (it == calls_.end()) return false;
      it->second.held = false;
      id = it->first;
      return true;
    });
    return MadeCall(*this, id);
  }

  /// The last 10,000 messages that the plugin has sent, in order.
  [[nodiscard]] std::vector<Message> messages() const {
    Lock lock(mutex_);
    return {messages_.begin(), messages_.end()};
  }
  [[nodiscard]] std::vector<Event> events() const {
    Lock lock(mutex_);
    return events_;
  }
  /// Waits for the first event on `topic`.
  [[nodiscard]] Event event(const std::string& topic) {
    Event found;
    wait(topic.c_str(), [&] {
      for (auto& e : events()) {
        if (e.topic == topic) {
          found = e;
          return true;
        }
      }
      return false;
    });
    return found;
  }
  [[nodiscard]] std::string log() const {
    Lock lock(mutex_);
    return log_;
  }
  void describe_origin(std::uint64_t origin, json info) {
    Lock lock(mutex_);
    origins_[origin] = std::move(info);
  }

  // ---- time -------------------------------------------------------------------------------------

  /// Moves the clock; timers that fall due run, in order, before this returns.
  void advance(Duration by) {
    const TimePoint target = loop_.now() + by;
    while (const auto due = loop_.advance(target)) {
      on_serial([&] {
        (*due)();
        return 0;
      });
    }
    settle();
  }
  /// Returns when everything that was posted so far has run.
  void settle() {
    on_serial([] { return 0; });
  }
  [[nodiscard]] std::size_t pending_timers() const { return waiting(Lane::timers); }

 private:
  std::string manifest_;
  std::int32_t started_ = 0;
  bool destroyed_ = false;
};

}  // namespace gantry::testing
