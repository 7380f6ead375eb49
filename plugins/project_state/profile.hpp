// SPDX-License-Identifier: Apache-2.0
//
// profile.hpp: what the store's threads do and for how long, while somebody wants to know, as a trace in Chrome's
// format (docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU), which Perfetto and
// chrome://tracing show.
//
//   const Span span(profile, Profile::Thread::writer, "COMMIT");   // until it ends
//
// Thread rule: any thread.
// Bounds: kMaxBytes of text; what comes then is counted.
// Cost: one load of an atomic where nobody wants to know.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::state {

class Profile {
 public:
  enum class Thread : std::uint8_t { writer = 1, reader, checks, backups };
  using Clock = std::chrono::steady_clock;

  static constexpr std::size_t kMaxBytes = std::size_t{8} << 20;

  [[nodiscard]] bool is_on() const { return on_.load(std::memory_order_relaxed); }
  /// False: it is on already.
  [[nodiscard]] bool begin(std::size_t most = kMaxBytes);
  /// Of all since begin(): the text of {traceEvents, displayTimeUnit, dropped}.
  [[nodiscard]] std::string end();

  /// `args`: the members of a JSON object; empty: none.
  void add(Thread thread, std::string_view name, Clock::time_point from, Clock::time_point to, const std::string& args);
  /// A time that belongs to no thread, and may overlap with others of its kind.
  void add_wait(std::string_view name, Clock::time_point from, Clock::time_point to);

 private:
  void write(std::string_view event) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::string micros(Clock::time_point at) const GANTRY_REQUIRES(mutex_);

  std::atomic<bool> on_ = false;
  Mutex mutex_{"state profile"};
  Clock::time_point begin_ GANTRY_GUARDED_BY(mutex_);
  std::string events_ GANTRY_GUARDED_BY(mutex_);
  std::size_t most_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t waits_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t dropped_ GANTRY_GUARDED_BY(mutex_) = 0;
};

/// From its beginning to its end, on one thread. `name` outlives it.
class Span {
 public:
  Span(Profile& profile, Profile::Thread thread, std::string_view name)
      : profile_(profile.is_on() ? &profile : nullptr), thread_(thread), name_(name) {
    if (profile_ != nullptr) from_ = Profile::Clock::now();
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;
  ~Span() {
    if (profile_ != nullptr) profile_->add(thread_, name_, from_, Profile::Clock::now(), args_);
  }
  /// A number that the trace shows with it.
  void note(std::string_view name, std::uint64_t value) {
    if (profile_ == nullptr) return;
    args_.append(args_.empty() ? "\"" : ",\"").append(name).append("\":").append(std::to_string(value));
  }

 private:
  Profile* const profile_;  ///< nullptr: nobody wants to know
  const Profile::Thread thread_;
  const std::string_view name_;
  Profile::Clock::time_point from_;
  std::string args_;
};

}  // namespace gantry::state
