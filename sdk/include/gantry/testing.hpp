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

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin.hpp>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace gantry::testing {

enum class Time { manual, real };

struct Event {
  std::string topic;
  std::string epoch;
  std::uint64_t seq = 0;
  json payload;
  std::uint64_t answers = 0;  ///< how many calls the plugin had answered before it
};

namespace detail {
/// What the test side of one call has received.
struct Received {
  std::deque<std::string> items;
  std::vector<json> progress;
  bool items_ended = false;
  std::optional<Result<json>> result;
  std::uint32_t credit = 0;   // the plugin may send this many items
  std::uint64_t granted = 0;  // the test may send this many items
  bool cancelled = false;
};
}  // namespace detail

class TestHost;

/// A call opened as a stream. Cancel is not implied by destruction; the TestHost cancels nothing.
class TestStream {
 public:
  TestStream(TestHost& host, std::uint64_t id) : host_(&host), id_(id) {}
  /// The next item, waiting for it; empty when the call was answered.
  inline std::optional<json> next();
  /// The answer, waiting for it.
  inline Result<json> result();
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

class TestHost {
 public:
  /// `config`: members of the start configuration, as in gantry/abi.h. Throws std::runtime_error when it does not load.
  explicit TestHost(const std::string& file, json config = json::object(), Time time = Time::manual)
      : time_(time), config_(std::move(config)) {
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed
    if (library == nullptr) throw std::runtime_error(dlerror());
    entry_ = static_cast<const gantry_entry_t*>(dlsym(library, GANTRY_ENTRY_SYMBOL));
    if (entry_ == nullptr) throw std::runtime_error(file + " does not export gantry_entry");
    entry_->describe(&manifest_, [](void* out, gantry_bytes text) {
      static_cast<std::string*>(out)->assign(gantry::detail::to_view(text));
    });
    fill_host();
    serial_ = std::thread([this] { run(); });
    started_ = on_serial([this] {
      plugin_ = entry_->create(&host_);
      const std::string text = config_.dump();
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
    (void)TestStream(*this, id).result();
    destroy();
  }
  /// Destroys the plugin as it is.
  void destroy() {
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
  /// Waits until `condition` holds; it is asked again after each message from the plugin.
  template <class F>
  void wait(const char* what, F&& condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (true) {
      if (condition()) return;
      Lock lock(mutex_);
      const auto seen = activity_;
      while (activity_ == seen) {
        // Conditions may depend on what the plugin does without a message: look again now and then.
        if (!changed_.wait_until(mutex_, std::chrono::steady_clock::now() + std::chrono::milliseconds(20))) break;
      }
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error(std::string("waited in vain for ") + what);
    }
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
  /// From now on the bus takes no events (`overloaded`), or takes them again.
  void fill_bus(bool full) {
    Lock lock(mutex_);
    bus_full_ = full;
  }
  [[nodiscard]] std::string log() const {
    Lock lock(mutex_);
    return log_;
  }
  void describe_origin(std::uint64_t origin, json info) {
    Lock lock(mutex_);
    origins_[origin] = std::move(info);
  }

 private:
  friend class TestStream;
  struct Task {
    void (*fn)(void*) = nullptr;
    void* arg = nullptr;
  };
  struct Timer {
    TimePoint at;
    Task task;
  };

  [[nodiscard]] static TestHost& self(void* ctx) { return *static_cast<TestHost*>(ctx); }

  void fill_host() {
    host_.size = sizeof host_;
    host_.ctx = this;
    host_.send = [](void* ctx, const gantry_msg* msg) { return self(ctx).take(*msg); };
    host_.post = [](void* ctx, void (*fn)(void*), void* arg) {
      auto& h = self(ctx);
      {
        Lock lock(h.mutex_);
        h.queue_.push_back([fn, arg] { fn(arg); });
      }
      h.changed_.notify_all();
      return static_cast<std::int32_t>(GANTRY_OK);
    };
    host_.log = [](void* ctx, std::int32_t, gantry_bytes line) {
      Lock lock(self(ctx).mutex_);
      self(ctx).log_ += std::string(gantry::detail::to_view(line)) + "\n";
    };
    host_.cancelled = [](void* ctx, std::uint64_t id) {
      Lock lock(self(ctx).mutex_);
      const auto it = self(ctx).calls_.find(id);
      return it == self(ctx).calls_.end() || it->second.cancelled || it->second.result ? 1 : 0;
    };
    host_.extension = [](void*, const char* id) -> const void* {
      static const gantry_timers timers{
          sizeof(gantry_timers), 0,
          [](void* ctx) -> std::int64_t { return self(ctx).now().time_since_epoch().count(); },
          [](void* ctx, std::int64_t delay, void (*fn)(void*), void* arg) -> std::uint64_t {
            return self(ctx).add_timer(Duration(delay), Task{fn, arg});
          },
          [](void* ctx, std::uint64_t timer) -> std::int32_t {
            Lock lock(self(ctx).mutex_);
            return self(ctx).timers_.erase(timer) == 1 ? 1 : 0;
          }};
      static const gantry_origins origins{
          sizeof(gantry_origins), 0,
          [](void* ctx, std::uint64_t origin, void* out, void (*sink)(void*, gantry_bytes)) -> std::int32_t {
            std::string text;
            {
              Lock lock(self(ctx).mutex_);
              const auto it = self(ctx).origins_.find(origin);
              if (it == self(ctx).origins_.end()) return 0;
              text = it->second.dump();
            }
            sink(out, gantry::detail::to_bytes(text));
            return 1;
          }};
      const std::string_view name(id);
      if (name == GANTRY_TIMERS_EXT) return &timers;
      if (name == GANTRY_ORIGINS_EXT) return &origins;
      return nullptr;
    };
  }

  [[nodiscard]] TimePoint now() const {
    if (time_ == Time::real) return std::chrono::steady_clock::now();
    Lock lock(mutex_);
    return now_;
  }
  std::uint64_t add_timer(Duration delay, Task task) {
    const auto at = now() + delay;
    std::uint64_t id = 0;
    {
      Lock lock(mutex_);
      id = next_timer_++;
      timers_[id] = Timer{at, task};
    }
    changed_.notify_all();
    return id;
  }
  [[nodiscard]] std::map<std::uint64_t, Timer>::iterator first_timer() GANTRY_REQUIRES(mutex_) {
    auto first = timers_.begin();
    for (auto it = timers_.begin(); it != timers_.end(); ++it) {
      if (it->second.at < first->second.at) first = it;
    }
    return first;
  }

  std::int32_t take(const gantry_msg& msg) {
    const std::string payload(gantry::detail::to_view(msg.payload));
    Lock lock(mutex_);
    ++activity_;
    changed_.notify_all();
    if (msg.kind == GANTRY_EVENT) {
      if (bus_full_) return GANTRY_FULL;
      events_.push_back(Event{std::string(gantry::detail::to_view(msg.topic)),
                              std::string(gantry::detail::to_view(msg.epoch)), msg.id, json::parse(payload), answers_});
      return GANTRY_OK;
    }
    const auto it = calls_.find(msg.id);
    if (it == calls_.end()) return GANTRY_INVALID;
    auto& call = it->second;
    if (call.result) return GANTRY_CLOSED;
    switch (msg.kind) {
      case GANTRY_ITEM:
        if ((msg.flags & GANTRY_END) != 0) {
          call.items_ended = true;
          return GANTRY_OK;
        }
        if (call.credit == 0) return GANTRY_FULL;
        --call.credit;
        call.items.push_back(payload);
        return GANTRY_OK;
      case GANTRY_CREDIT:
        call.granted += msg.credit;
        return GANTRY_OK;
      case GANTRY_PROGRESS:
        call.progress.push_back(json::parse(payload));
        return GANTRY_OK;
      case GANTRY_RESPONSE: {
        const auto doc = json::parse(payload);
        ++answers_;
        if (msg.status == 0) {
          call.result.emplace(doc);
        } else {
          call.result.emplace(fail(static_cast<ErrorKind>(msg.status), doc.value("message", ""),
                                   doc.contains("data") ? doc["data"].dump() : ""));
        }
        return GANTRY_OK;
      }
      default:
        return GANTRY_INVALID;
    }
  }

  std::uint64_t send_call(const std::string& method, const json& params, std::uint16_t flags, std::uint32_t credit,
                          Duration budget, std::uint64_t origin) {
    const std::uint64_t id = next_id_++;
    {
      Lock lock(mutex_);
      calls_[id].credit = credit;
    }
    post([this, id, method, text = params.dump(), flags, credit, budget, origin] {
      auto msg = gantry::detail::make_msg(GANTRY_CALL, id);
      msg.topic = gantry::detail::to_bytes(method);
      msg.payload = gantry::detail::to_bytes(text);
      msg.flags = flags;
      msg.credit = credit;
      msg.budget_ns = budget.count();
      msg.origin = origin;
      (void)plugin_->deliver(plugin_->ctx, &msg);
    });
    return id;
  }
  void deliver(gantry_kind kind, std::uint64_t id, std::uint16_t flags, std::uint32_t credit, std::string payload) {
    post([this, kind, id, flags, credit, text = std::move(payload)] {
      auto msg = gantry::detail::make_msg(kind, id);
      msg.flags = flags;
      msg.credit = credit;
      msg.payload = gantry::detail::to_bytes(text);
      (void)plugin_->deliver(plugin_->ctx, &msg);
    });
  }

  void post(std::function<void()> task) {
    {
      Lock lock(mutex_);
      queue_.push_back(std::move(task));
    }
    changed_.notify_all();
  }
  template <class F>
  std::int32_t on_serial(F body) {
    std::atomic<bool> done{false};
    std::int32_t status = 0;
    post([&] {
      status = body();
      Lock lock(mutex_);
      done = true;
      changed_.notify_all();
    });
    Lock lock(mutex_);
    while (!done) changed_.wait(mutex_);
    return status;
  }

  void run() {
    while (true) {
      std::function<void()> task;
      {
        Lock lock(mutex_);
        while (queue_.empty() && !quit_) {
          if (time_ == Time::manual || timers_.empty()) {
            changed_.wait(mutex_);
            continue;
          }
          const auto first = first_timer();
          if (first->second.at <= std::chrono::steady_clock::now()) {
            queue_.push_back([t = first->second.task] { t.fn(t.arg); });
            timers_.erase(first);
          } else {
            (void)changed_.wait_until(mutex_, first->second.at);
          }
        }
        if (queue_.empty()) return;
        task = std::move(queue_.front());
        queue_.pop_front();
      }
      task();
    }
  }

  const Time time_;
  json config_;
  const gantry_entry_t* entry_ = nullptr;
  std::string manifest_;
  gantry_host host_{};
  gantry_plugin* plugin_ = nullptr;
  std::int32_t started_ = 0;
  bool destroyed_ = false;
  std::atomic<std::uint64_t> next_id_{1};

  mutable Mutex mutex_;
  CondVar changed_;
  std::uint64_t activity_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool quit_ GANTRY_GUARDED_BY(mutex_) = false;
  TimePoint now_ GANTRY_GUARDED_BY(mutex_){std::chrono::hours(1)};
  std::uint64_t next_timer_ GANTRY_GUARDED_BY(mutex_) = 1;
  std::map<std::uint64_t, Timer> timers_ GANTRY_GUARDED_BY(mutex_);
  std::deque<std::function<void()>> queue_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::uint64_t, detail::Received> calls_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::uint64_t, json> origins_ GANTRY_GUARDED_BY(mutex_);
  std::vector<Event> events_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t answers_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool bus_full_ GANTRY_GUARDED_BY(mutex_) = false;
  std::string log_ GANTRY_GUARDED_BY(mutex_);
  std::thread serial_;
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
