// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing.hpp: runs a plugin in a test, without a host.
//
//   gantry::testing::TestHost host(path_to_so, {{"settings", {...}}});
//   auto result = host.call("echo.say", {{"a", 1}});
//   auto stream = host.open("ai.complete", params, 16);
//   while (auto item = stream.next()) ...
//
// The plugin gets a serial thread, credits are enforced as the host does, events and log lines are kept, and timers run
// on a clock that stands still until the test moves it (`advance`), or on the real one (Time::real).
//
// Thread rule: the test's functions may be called from any thread. Waits give up after 20 s and say so.
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/testing/core.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace gantry::testing {

class TestHost;

/// A call opened as a stream. Cancel is not implied by destruction; the TestHost cancels nothing.
class TestStream {
 public:
  TestStream(TestHost& host, std::uint64_t id) : host_(&host), id_(id) {}
  /// The next item, waiting for it; empty when the call was answered.
  inline std::optional<json> next();
  /// The answer, waiting for it.
  inline Result<json> result();
  [[nodiscard]] inline bool answered() const;
  inline void credit(std::uint32_t items);
  /// Sends an item to the plugin, waiting for its credit.
  inline void send(const json& item);
  inline void end();
  inline void cancel();
  [[nodiscard]] inline std::vector<json> progress();
  [[nodiscard]] std::uint64_t id() const { return id_; }

 private:
  TestHost* host_;
  std::uint64_t id_;
};

class TestHost : public detail::HostCore {
 public:
  /// `config`: members of the start configuration, as in gantry/abi.h. Throws std::runtime_error when it does not load.
  explicit TestHost(const std::string& file, const json& config = json::object(), Time time = Time::manual)
      : HostCore(time) {
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto* entry = static_cast<const gantry_entry_t*>(dlsym(library, GANTRY_ENTRY_SYMBOL));
    if (entry == nullptr) throw std::runtime_error(file + " does not export gantry_entry");
    entry->describe(&manifest_, [](void* out, gantry_bytes text) {
      static_cast<std::string*>(out)->assign(gantry::detail::to_view(text));
    });
    fill_host();
    serial_ = std::thread([this] { run(); });
    started_ = on_serial([this, entry, text = config.dump()] {
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

  [[nodiscard]] Result<json> call(const std::string& method, const json& params = json::object(),
                                  Duration budget = Duration(-1), std::uint64_t origin = 1) {
    return TestStream(*this, send_call(method, params, 0, 0, budget, origin)).result();
  }
  [[nodiscard]] TestStream open(const std::string& method, const json& params, std::uint32_t credit,
                                Duration budget = Duration(-1), std::uint64_t origin = 1) {
    return TestStream(*this, send_call(method, params, GANTRY_STREAM, credit, budget, origin));
  }
  /// Starts a call and does not wait.
  [[nodiscard]] TestStream begin(const std::string& method, const json& params = json::object(),
                                 Duration budget = Duration(-1), std::uint64_t origin = 1) {
    return TestStream(*this, send_call(method, params, 0, 0, budget, origin));
  }

  void gone(std::uint64_t origin) {
    on_serial([this, origin] {
      auto msg = gantry::detail::make_msg(GANTRY_GONE, 0);
      msg.origin = origin;
      return plugin_->deliver(plugin_->ctx, &msg);
    });
  }
  void reconfigure(const json& config) {
    on_serial([this, text = config.dump()] {
      auto msg = gantry::detail::make_msg(GANTRY_EVENT, 0);
      msg.topic = gantry::detail::to_bytes("host.plugin.config");
      msg.payload = gantry::detail::to_bytes(text);
      return plugin_->deliver(plugin_->ctx, &msg);
    });
  }
  /// Sends STOP, waits for the answer, destroys the plugin.
  void stop(Duration budget = std::chrono::seconds(5)) {
    (void)begin_stop(budget).result();
    destroy();
  }
  /// Sends STOP and returns when it has been delivered.
  [[nodiscard]] TestStream begin_stop(Duration budget = std::chrono::seconds(5)) {
    const auto id = next_id_++;
    {
      Lock lock(mutex_);
      calls_[id];
    }
    on_serial([this, id, budget] {
      auto msg = gantry::detail::make_msg(GANTRY_STOP, id);
      msg.budget_ns = budget.count();
      return plugin_->deliver(plugin_->ctx, &msg);
    });
    return TestStream(*this, id);
  }
  /// Destroys the plugin as it is.
  void destroy() {
    {
      Lock lock(mutex_);
      closed_ = true;
      timers_.clear();
    }
    on_serial([this] {
      plugin_->destroy(plugin_->ctx);
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

  /// Moves the clock; timers that fall due run, in order, before it returns.
  void advance(Duration by) {
    TimePoint target;
    {
      Lock lock(mutex_);
      target = now_ + by;
    }
    while (true) {
      std::optional<Task> due;
      {
        Lock lock(mutex_);
        const auto first = first_timer();
        if (first == timers_.end() || first->second.at > target) {
          now_ = target;
          break;
        }
        now_ = std::max(now_, first->second.at);
        due = first->second.task;
        timers_.erase(first);
      }
      on_serial([&] {
        due->fn(due->arg);
        return 0;
      });
    }
    settle();
  }
  /// Returns when everything posted so far has run.
  void settle() {
    on_serial([] { return 0; });
  }
  [[nodiscard]] std::size_t pending_timers() const {
    Lock lock(mutex_);
    return timers_.size();
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
  /// From now on the host takes no posted tasks, or takes them again.
  void refuse_posts(bool refuse) {
    Lock lock(mutex_);
    posts_refused_ = refuse;
  }
  /// From now on the bus takes no events (`overloaded`), or takes them again.
  void fill_bus(bool full) {
    Lock lock(mutex_);
    bus_full_ = full;
  }
  [[nodiscard]] std::string log() const {
    Lock lock(mutex_);
    return log_;
  }
  /// From now on `handler` answers this method when the plugin calls it; what has none is `method_not_found`.
  void on_call(const std::string& method, OnCall handler) {
    Lock lock(mutex_);
    on_calls_.insert_or_assign(method, std::move(handler));
  }
  void describe_origin(std::uint64_t origin, json info) {
    Lock lock(mutex_);
    origins_[origin] = std::move(info);
  }

 private:
  friend class TestStream;

  std::string manifest_;
  std::int32_t started_ = 0;
  bool destroyed_ = false;
};

inline std::optional<json> TestStream::next() {
  std::optional<json> item;
  host_->wait("an item", [&] {
    Lock lock(host_->mutex_);
    auto& call = host_->calls_.at(id_);
    if (!call.items.empty()) {
      item = json::parse(call.items.front());
      call.items.pop_front();
      return true;
    }
    return call.result.has_value();
  });
  return item;
}
inline Result<json> TestStream::result() {
  std::optional<Result<json>> result;
  host_->wait("an answer", [&] {
    Lock lock(host_->mutex_);
    result = host_->calls_.at(id_).result;
    return result.has_value();
  });
  return *result;
}
inline bool TestStream::answered() const {
  Lock lock(host_->mutex_);
  return host_->calls_.at(id_).result.has_value();
}
inline void TestStream::credit(std::uint32_t items) {
  {
    Lock lock(host_->mutex_);
    host_->calls_.at(id_).credit += items;
  }
  host_->deliver(GANTRY_CREDIT, id_, 0, items, "");
}
inline void TestStream::send(const json& item) {
  host_->wait("credit from the plugin", [&] {
    Lock lock(host_->mutex_);
    auto& call = host_->calls_.at(id_);
    if (call.result) return true;
    if (call.granted == 0) return false;
    --call.granted;
    return true;
  });
  host_->deliver(GANTRY_ITEM, id_, 0, 0, item.dump());
}
inline void TestStream::end() { host_->deliver(GANTRY_ITEM, id_, GANTRY_END, 0, ""); }
inline void TestStream::cancel() {
  {
    Lock lock(host_->mutex_);
    host_->calls_.at(id_).cancelled = true;
  }
  host_->deliver(GANTRY_CANCEL, id_, 0, 0, "");
}
inline std::vector<json> TestStream::progress() {
  Lock lock(host_->mutex_);
  return host_->calls_.at(id_).progress;
}

}  // namespace gantry::testing
