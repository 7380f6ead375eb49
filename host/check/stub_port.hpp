// SPDX-License-Identifier: Apache-2.0
//
// host/check/stub_port.hpp: the surroundings of a plugin that runs alone: its calls are not
// answered, it receives no events, and the events that it publishes are kept.
//
// Thread rule: any thread.
// Bounds: kMaxEvents events are kept.
#pragma once

#include <algorithm>
#include <gantry/mutex.hpp>
#include <string>
#include <utility>
#include <vector>

#include "host/check/case_report.hpp"
#include "host/plugins/port.hpp"

namespace gantry::host::check {

class StubPort final : public PluginPort {
 public:
  static constexpr std::size_t kMaxEvents = 10'000;

  explicit StubPort(CaseReport& report) : report_(report) {}

  void log(Level /*level*/, std::string_view line) override { report_.log(line); }
  [[nodiscard]] Result<void> publish(std::string topic, std::string /*epoch*/, std::uint64_t /*seq*/,
                                     std::string /*payload*/) override {
    const Lock lock(mutex_);
    if (!topic.empty() && topics_.size() < kMaxEvents) topics_.push_back(std::move(topic));
    return {};
  }
  [[nodiscard]] std::optional<std::string> describe(OriginId /*origin*/) override {
    return R"({"client":"gantry plugin check","version":"1","workspace":""})";
  }
  [[nodiscard]] CallPtr call(CallRequest /*request*/, std::shared_ptr<CallSink> sink) override {
    sink->answered(
        fail(ErrorKind::unavailable, "gantry plugin check runs the plugin alone; there is no other service"));
    return CallPtr(new NoCall);
  }
  void left() override {}
  void subscribe(const std::vector<std::string>& /*patterns*/, std::function<void()> /*wake*/) override {}
  void unsubscribe() override {}
  [[nodiscard]] Go begin_events(std::function<void()> /*again*/) override { return Go::now; }
  void end_events() override {}
  [[nodiscard]] std::optional<Event> take_event() override { return std::nullopt; }
  void event_over(const Event& /*event*/, const std::string& /*failure*/, int /*tries*/) override {}

  /// The topics of the published events, in order.
  [[nodiscard]] std::vector<std::string> published() const {
    const Lock lock(mutex_);
    return topics_;
  }

 private:
  CaseReport& report_;
  mutable Mutex mutex_{"stub port"};
  std::vector<std::string> topics_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host::check
