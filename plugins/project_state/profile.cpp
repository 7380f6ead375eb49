// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/profile.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace gantry::state {

namespace {

[[nodiscard]] std::string name_of_thread(Profile::Thread thread, const char* name) {
  return R"({"name":"thread_name","ph":"M","pid":)" + std::to_string(::getpid()) + R"(,"tid":)" +
         std::to_string(static_cast<int>(thread)) + R"(,"args":{"name":")" + name + R"("}})";
}

/// Of a time in nanoseconds: microseconds, with three decimals.
[[nodiscard]] std::string as_micros(std::chrono::nanoseconds time) {
  const auto ns = std::max<std::int64_t>(time.count(), 0);
  std::string decimals = std::to_string(1000 + ns % 1000);
  decimals.front() = '.';
  return std::to_string(ns / 1000) + decimals;
}

}  // namespace

bool Profile::begin(std::size_t most) {
  const Lock lock(mutex_);
  if (on_.load(std::memory_order_relaxed)) return false;
  begin_ = Clock::now();
  most_ = std::min(most, kMaxBytes);
  waits_ = dropped_ = 0;
  events_.clear();
  write(name_of_thread(Thread::writer, "writer"));
  write(name_of_thread(Thread::reader, "reader"));
  write(name_of_thread(Thread::checks, "checks"));
  write(name_of_thread(Thread::backups, "backups"));
  on_.store(true, std::memory_order_relaxed);
  return true;
}

std::string Profile::end() {
  const Lock lock(mutex_);
  on_.store(false, std::memory_order_relaxed);
  return R"({"displayTimeUnit":"ms","dropped":)" + std::to_string(dropped_) + R"(,"traceEvents":[)" +
         std::exchange(events_, {}) + "]}";
}

void Profile::write(std::string_view event) {
  if (events_.size() + event.size() > most_) {
    ++dropped_;
    return;
  }
  if (!events_.empty()) events_ += ",\n";
  events_ += event;
}

std::string Profile::micros(Clock::time_point at) const { return as_micros(at - begin_); }

void Profile::add(Thread thread, std::string_view name, Clock::time_point from, Clock::time_point to,
                  const std::string& args) {
  const Lock lock(mutex_);
  if (!on_.load(std::memory_order_relaxed)) return;
  std::string event = R"({"name":")" + std::string(name) + R"(","cat":"state","ph":"X","pid":)" +
                      std::to_string(::getpid()) + R"(,"tid":)" + std::to_string(static_cast<int>(thread)) +
                      R"(,"ts":)" + micros(from) + R"(,"dur":)" + as_micros(to - std::max(from, begin_));
  if (!args.empty()) event += R"(,"args":{)" + args + "}";
  write(event + "}");
}

void Profile::add_wait(std::string_view name, Clock::time_point from, Clock::time_point to) {
  const Lock lock(mutex_);
  if (!on_.load(std::memory_order_relaxed)) return;
  const std::string common = R"({"name":")" + std::string(name) + R"(","cat":"wait","id":)" + std::to_string(++waits_) +
                             R"(,"pid":)" + std::to_string(::getpid()) + R"(,"tid":)" +
                             std::to_string(static_cast<int>(Thread::writer));
  write(common + R"(,"ph":"b","ts":)" + micros(from) + "},\n" + common + R"(,"ph":"e","ts":)" + micros(to) + "}");
}

}  // namespace gantry::state
