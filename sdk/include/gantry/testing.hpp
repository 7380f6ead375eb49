// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing.hpp: runs a plugin in a test, without a host.
//
//   gantry::testing::TestHost host(path_to_so, {{"settings", {...}}});
//   auto result = host.call("echo.say", {{"a", 1}});
//   auto stream = host.open("ai.complete", params, 16);
//   while (auto item = stream.next()) ...
//
// The plugin gets a serial thread, credits are enforced as the host does, what it sends is kept, and timers run on a
// clock that stands still until the test moves it (`advance`), or on the real one (Time::real).
//
// Every channel between the two ends in the test, which may fill it, stall it, close it and look into it:
//   fill(lane)    the plugin is told GANTRY_FULL: `overloaded`
//   stall(lane)   what it sends is taken, and nothing becomes of it before open(lane)
//   close(lane)   the plugin is told GANTRY_CLOSED: `unavailable`
// of Lane::events (what it publishes), calls (that it makes), posts and timers; a call's own items have the same in
// CallEnd. pause() stalls the other direction: all that would run in the plugin waits until resume().
//
// Calls that the plugin makes are answered by on_call, or one by one: stall(Lane::calls), then made(METHOD).
//
// Thread rule: the test's functions may be called from any thread. Waits give up after 60 s and say so.
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
  /// `config`: members of the start configuration, as in gantry/abi.h. `handed_over`: by an instance before, as after a
  /// reload. `before_start` may set its ends up (on_call, stall, ...): a plugin may call others in its start.
  /// Throws std::runtime_error when it does not load.
  explicit TestHost(const std::string& file, const json& config = json::object(), Time time = Time::manual,
                    std::optional<std::string> handed_over = std::nullopt,
                    const std::function<void(TestHost&)>& before_start = {})
      : HostPort(time) {
    // Never closed. A name without a slash would be looked for in the system's folders.
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
    serial_ = std::thread([this] { run(); });
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

  /// What `start` returned: 0, or an error code.
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
  /// Starts a call and does not wait.
  [[nodiscard]] TestStream begin(const std::string& method, const json& params = json::object(),
                                 Duration budget = Duration(-1), std::uint64_t origin = 1) {
    return begin(method, params, CallWith{.budget = budget, .origin = origin});
  }
  [[nodiscard]] TestStream begin(const std::string& method, const json& params, CallWith with) {
    return TestStream(*this, send_call(method, params, std::move(with)));
  }
  /// Calls that were made to the plugin and have no answer.
  [[nodiscard]] std::size_t open_calls() const {
    Lock lock(mutex_);
    return static_cast<std::size_t>(std::count_if(calls_.begin(), calls_.end(), [](const auto& entry) {
      return (entry.first & GANTRY_OWN_CALL) == 0 && !entry.second.result && !entry.second.closed;
    }));
  }

  // ---- what else the plugin hears ---------------------------------------------------------------------------------

  /// An event that it has subscribed to.
  void publish(const std::string& topic, const json& payload, const std::string& epoch = "test",
               std::uint64_t seq = 1) {
    post([this, topic, text = payload.dump(), epoch, seq] {
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
  /// Sends STOP, waits for the answer, destroys the plugin.
  /// `next_comes`: as at a reload by handover, so that it may give something; else what it gives is refused.
  void stop(Duration budget = std::chrono::seconds(5), bool next_comes = true) {
    (void)begin_stop(budget, next_comes).result();
    destroy();
  }
  /// Sends STOP and returns when it has been delivered.
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
  /// The streams that it has given to the instance that comes next, by their ids: CallWith::resumes.
  [[nodiscard]] std::vector<std::uint64_t> given_streams() const {
    Lock lock(mutex_);
    return given_streams_;
  }
  /// What it has given to the instance that comes next, as at a reload by handover.
  [[nodiscard]] std::optional<std::string> given() const {
    Lock lock(mutex_);
    return given_;
  }
  /// Destroys the plugin as it is.
  void destroy() {
    resume();
    {
      Lock lock(mutex_);
      closed_ = true;
      for (auto& task : stalled_posts_) queue_.push_back(std::move(task));  // taken means run
      stalled_posts_.clear();
      timers_.clear();
    }
    on_serial([this] {
      plugin_->destroy(plugin_->ctx);
      plugin_ = nullptr;
      return 0;
    });
    destroyed_ = true;
    {
      Lock lock(mutex_);
      quit_ = true;
    }
    changed_.notify_all();
    serial_.join();
  }

  // ---- the ends of what it sends -----------------------------------------------------------------------------------

  void fill(Lane lane) { set_gate(lane, Gate::full); }
  void stall(Lane lane) { set_gate(lane, Gate::stalled); }
  void close(Lane lane) { set_gate(lane, Gate::closed); }
  /// What has stalled goes on.
  void open(Lane lane) {
    set_gate(lane, Gate::open);
    if (lane == Lane::calls) ask_for_held();
  }
  /// What is there and goes no further now: events and posts that have stalled, unanswered calls, timers that wait.
  [[nodiscard]] std::size_t waiting(Lane lane) const {
    Lock lock(mutex_);
    switch (lane) {
      case Lane::events:
        return stalled_events_.size();
      case Lane::posts:
        return stalled_posts_.size();
      case Lane::timers:
        return timers_.size();
      case Lane::calls:
        break;
    }
    return static_cast<std::size_t>(std::count_if(calls_.begin(), calls_.end(), [](const auto& entry) {
      return (entry.first & GANTRY_OWN_CALL) != 0 && !entry.second.result;
    }));
  }
  /// From now on nothing runs in the plugin: calls, items, events, posted tasks and timers wait, in order.
  void pause() {
    Lock lock(mutex_);
    paused_ = true;
  }
  void resume() {
    {
      Lock lock(mutex_);
      paused_ = false;
    }
    changed_.notify_all();
  }
  /// What waits to run in the plugin.
  [[nodiscard]] std::size_t mailbox() const {
    Lock lock(mutex_);
    return queue_.size();
  }

  /// From now on `handler` answers this method when the plugin calls it; what has none is `method_not_found`.
  void on_call(const std::string& method, OnCall handler) {
    Lock lock(mutex_);
    on_calls_.insert_or_assign(method, std::move(handler));
  }
  /// The first call of this method that the plugin has made and nobody has answered, waiting for it. Lane::calls is
  /// stalled; from here on the call is the test's to answer.
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

  /// Everything that it has sent, in order; the last 10,000 of it.
  [[nodiscard]] std::vector<Message> messages() const {
    Lock lock(mutex_);
    return {messages_.begin(), messages_.end()};
  }
  [[nodiscard]] std::vector<Event> events() const {
    Lock lock(mutex_);
    return events_;
  }
  /// The first event on `topic`, waiting for it.
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

  /// Moves the clock; timers that fall due run, in order, before it returns.
  void advance(Duration by) {
    TimePoint target;
    {
      Lock lock(mutex_);
      target = now_ + by;
    }
    while (true) {
      std::optional<Timer> due;
      {
        Lock lock(mutex_);
        due = take_timer(target);
        if (!due) {
          now_ = target;
          break;
        }
        now_ = std::max(now_, due->at);
      }
      on_serial([&] {
        due->task();
        return 0;
      });
    }
    settle();
  }
  /// Returns when everything posted so far has run.
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
