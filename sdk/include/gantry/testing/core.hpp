// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing/core.hpp: what a plugin under test sees of its host (gantry/testing.hpp): a serial thread, timers, and
// everything it sends, kept.
//
// Thread rule: any thread; mutex_ guards all that changes, and is never held while the plugin is called.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin.hpp>
#include <map>
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

/// Answers a call that the plugin has made: once, from any thread.
using Reply = std::function<void(Result<CallAnswer>)>;
/// Stands for the host, or for another plugin's method. Runs serially with the plugin's handlers.
using OnCall = std::function<void(const json& params, Reply reply)>;

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

namespace detail {
class HostCore {
 public:
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

 protected:
  explicit HostCore(Time time) : time_(time) {}
  HostCore(const HostCore&) = delete;
  HostCore& operator=(const HostCore&) = delete;
  ~HostCore() = default;

  struct Task {
    void (*fn)(void*) = nullptr;
    void* arg = nullptr;
  };
  struct Timer {
    TimePoint at;
    Task task;
  };

  [[nodiscard]] static HostCore& self(void* ctx) { return *static_cast<HostCore*>(ctx); }

  void fill_host() {
    host_.size = sizeof host_;
    host_.ctx = static_cast<HostCore*>(this);
    host_.send = [](void* ctx, const gantry_msg* msg) { return self(ctx).take(*msg); };
    host_.post = [](void* ctx, void (*fn)(void*), void* arg) {
      auto& h = self(ctx);
      {
        Lock lock(h.mutex_);
        if (h.closed_) return static_cast<std::int32_t>(GANTRY_CLOSED);
        if (h.posts_refused_) return static_cast<std::int32_t>(GANTRY_FULL);
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
      static const gantry_descriptors descriptors{
          sizeof(gantry_descriptors), 0,
          // Whatever goes with a message of the plugin's is not looked at.
          [](void* ctx, const gantry_msg* msg, const std::int32_t*, std::uint32_t) { return self(ctx).take(*msg); },
          [](void* ctx, std::int32_t* fds, std::uint32_t max) -> std::uint32_t {
            Descriptors came = std::exchange(self(ctx).came_, {});
            std::uint32_t count = 0;
            for (auto& fd : came) {
              if (count < max) fds[count++] = fd.release();
            }
            return count;
          }};
      const std::string_view name(id);
      if (name == GANTRY_DESCRIPTORS_EXT) return &descriptors;
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
      if (closed_) return 0;
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

  /// A call that the plugin makes. What it says of it later (items, credit, a cancel) is not looked at.
  std::int32_t take_own(const gantry_msg& msg) {
    const std::string method(gantry::detail::to_view(msg.topic));
    Reply reply = [this, id = msg.id](Result<CallAnswer> answer) { deliver_answer(id, std::move(answer)); };
    auto task = [this, method, reply = std::move(reply), params = json::parse(gantry::detail::to_view(msg.payload))] {
      OnCall handler;
      {
        Lock lock(mutex_);
        if (const auto it = on_calls_.find(method); it != on_calls_.end()) handler = it->second;
      }
      if (handler) return handler(params, reply);
      reply(fail(ErrorKind::method_not_found, "this test answers no " + method + "; see on_call"));
    };
    {
      Lock lock(mutex_);
      if (closed_) return GANTRY_CLOSED;
      queue_.push_back(std::move(task));
    }
    changed_.notify_all();
    return GANTRY_OK;
  }
  void deliver_answer(std::uint64_t id, Result<CallAnswer> answer) {
    post([this, id, shared = std::make_shared<Result<CallAnswer>>(std::move(answer))] {
      {
        Lock lock(mutex_);
        if (closed_) return;
        ++activity_;
      }
      auto& got = *shared;
      auto msg = gantry::detail::make_msg(GANTRY_RESPONSE, id);
      if (!got) msg.status = static_cast<std::int32_t>(got.error().kind);
      const std::string text = got ? got->value.dump() : gantry::detail::error_payload(got.error());
      msg.payload = gantry::detail::to_bytes(text);
      if (got) came_ = std::move(got->descriptors);
      (void)plugin_->deliver(plugin_->ctx, &msg);
      came_.clear();
      changed_.notify_all();
    });
  }

  std::int32_t take(const gantry_msg& msg) {
    if ((msg.id & GANTRY_OWN_CALL) != 0 && msg.kind != GANTRY_EVENT)
      return msg.kind == GANTRY_CALL ? take_own(msg) : static_cast<std::int32_t>(GANTRY_OK);
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
  gantry_host host_{};
  gantry_plugin* plugin_ = nullptr;
  std::atomic<std::uint64_t> next_id_{1};

  mutable Mutex mutex_;
  CondVar changed_;
  std::uint64_t activity_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool quit_ GANTRY_GUARDED_BY(mutex_) = false;
  TimePoint now_ GANTRY_GUARDED_BY(mutex_){std::chrono::hours(1)};
  std::uint64_t next_timer_ GANTRY_GUARDED_BY(mutex_) = 1;
  std::map<std::uint64_t, Timer> timers_ GANTRY_GUARDED_BY(mutex_);
  std::deque<std::function<void()>> queue_ GANTRY_GUARDED_BY(mutex_);
  bool closed_ GANTRY_GUARDED_BY(mutex_) = false;  ///< what was taken runs before `destroy`, nothing is taken any more
  bool posts_refused_ GANTRY_GUARDED_BY(mutex_) = false;
  std::map<std::uint64_t, detail::Received> calls_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::uint64_t, json> origins_ GANTRY_GUARDED_BY(mutex_);
  std::vector<Event> events_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t answers_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool bus_full_ GANTRY_GUARDED_BY(mutex_) = false;
  std::string log_ GANTRY_GUARDED_BY(mutex_);
  Descriptors came_;  ///< serial: with the answer that is being delivered
  std::thread serial_;
  std::map<std::string, OnCall> on_calls_ GANTRY_GUARDED_BY(mutex_);  ///< goes first: what they hold may still reply
};
}  // namespace detail

}  // namespace gantry::testing
