// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing/core.hpp: the surroundings of a plugin under test (gantry/testing.hpp): the loop of
// its serial thread, the gates of its lanes, and the records that the test reads.
//
// Thread rule: any thread; mutex_ guards all state that changes, and is never held while the plugin
// is called.
// Bounds: the last kMaxMessages messages are kept; the test bounds everything else.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/detail/serial_loop.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin.hpp>
#include <gantry/testing/records.hpp>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace gantry::testing::detail {

class HostCore {
 public:
  /// Waits until `condition` holds; the condition is checked again after each message from the
  /// plugin.
  template <class F>
  void wait(const char* what, F&& condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (true) {
      if (condition()) return;
      Lock lock(mutex_);
      const auto seen = activity_;
      while (activity_ == seen) {
        // Conditions may depend on the plugin's actions without a message: check again now and
        // then.
        if (!changed_.wait_until(mutex_, std::chrono::steady_clock::now() + std::chrono::milliseconds(20))) break;
      }
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error(std::string("waited in vain for ") + what);
    }
  }

 protected:
  static constexpr std::size_t kMaxMessages = 10'000;

  using Loop = gantry::detail::SerialLoop;
  explicit HostCore(Time time) : loop_(time == Time::real ? Loop::Time::real : Loop::Time::manual) {}
  HostCore(const HostCore&) = delete;
  HostCore& operator=(const HostCore&) = delete;
  ~HostCore() = default;

  using Task = Loop::Task;
  enum class Gate : std::uint8_t { open, full, stalled, closed };

  [[nodiscard]] Gate& gate(Lane lane) GANTRY_REQUIRES(mutex_) { return gates_[static_cast<std::size_t>(lane)]; }
  void set_gate(Lane lane, Gate to) {
    {
      Lock lock(mutex_);
      gate(lane) = to;
      if (to != Gate::stalled && lane == Lane::posts) release_posts();
      if (lane == Lane::timers) loop_.hold_timers(to == Gate::stalled);
      if (to != Gate::stalled && lane == Lane::events) {
        for (auto& event : stalled_events_) events_.push_back(std::move(event));
        stalled_events_.clear();
      }
      ++activity_;
    }
    changed_.notify_all();
  }
  void release_posts() GANTRY_REQUIRES(mutex_) {
    for (auto& task : stalled_posts_) loop_.post(std::move(task));
    stalled_posts_.clear();
  }
  /// The result of `send` or `post` where the lane takes nothing; empty: it takes messages.
  [[nodiscard]] std::optional<std::int32_t> refusal(Lane lane) GANTRY_REQUIRES(mutex_) {
    if (closed_ || gate(lane) == Gate::closed) return GANTRY_CLOSED;
    if (gate(lane) == Gate::full) return GANTRY_FULL;
    return std::nullopt;
  }

  /// Hands a message to the plugin, with descriptors, unless the plugin is gone. Serial.
  std::int32_t hand(const gantry_msg& msg, Descriptors descriptors = {}) {
    if (plugin_ == nullptr) return GANTRY_CLOSED;
    came_ = std::move(descriptors);
    const std::int32_t status = plugin_->deliver(plugin_->ctx, &msg);
    came_.clear();
    return status;
  }
  void deliver(gantry_kind kind, std::uint64_t id, std::uint16_t flags, std::uint32_t credit, std::string payload) {
    loop_.post([this, kind, id, flags, credit, text = std::move(payload)] {
      auto msg = gantry::detail::make_msg(kind, id);
      msg.flags = flags;
      msg.credit = credit;
      msg.payload = gantry::detail::to_bytes(text);
      (void)hand(msg);
    });
  }

  template <class F>
  std::int32_t on_serial(F body) {
    std::atomic<bool> done{false};
    std::int32_t status = 0;
    if (loop_.is_paused()) throw std::runtime_error("the plugin is paused: resume() it first");
    loop_.post([&] {
      status = body();
      Lock lock(mutex_);
      done = true;
      changed_.notify_all();
    });
    Lock lock(mutex_);
    while (!done) changed_.wait(mutex_);
    return status;
  }

  Loop loop_;
  gantry_host host_{};
  gantry_plugin* plugin_ = nullptr;
  std::atomic<std::uint64_t> next_id_{1};

  mutable Mutex mutex_;
  CondVar changed_;
  std::uint64_t activity_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool closed_ GANTRY_GUARDED_BY(mutex_) = false;  ///< posts that were taken run before `destroy`; no more are taken
  std::array<Gate, 4> gates_ GANTRY_GUARDED_BY(mutex_){};
  std::deque<Task> stalled_posts_ GANTRY_GUARDED_BY(mutex_);
  std::deque<Event> stalled_events_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::uint64_t, OpenCall> calls_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::uint64_t, json> origins_ GANTRY_GUARDED_BY(mutex_);
  std::vector<Event> events_ GANTRY_GUARDED_BY(mutex_);
  std::deque<Message> messages_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t answers_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::string log_ GANTRY_GUARDED_BY(mutex_);
  std::optional<std::string> handed_over_ GANTRY_GUARDED_BY(mutex_);  ///< to the plugin
  std::optional<std::string> given_ GANTRY_GUARDED_BY(mutex_);        ///< by it
  std::vector<std::uint64_t> given_streams_ GANTRY_GUARDED_BY(mutex_);
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  bool next_comes_ GANTRY_GUARDED_BY(mutex_) = true;  ///< another instance comes after this one
  Descriptors came_;                                  ///< serial: descriptors of the message that is being delivered
  std::thread serial_;
  std::map<std::string, OnCall> on_calls_ GANTRY_GUARDED_BY(mutex_);  ///< destroyed first: the handlers may still reply
};

}  // namespace gantry::testing::detail
