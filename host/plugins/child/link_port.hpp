// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/child/link_port.hpp: the port of a plugin's instance in a process of its own:
// requests to the host go over the link, and the thread that reads the link hands in the answers.
//
// Thread rule: as PluginPort; learn(), forget(), answer(), answer_events(), arrived() and
// stream_is_given() by the thread that reads the link.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <gantry/mutex.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "host/plugins/child/link.hpp"
#include "host/plugins/port.hpp"

namespace gantry::host {

class LinkPort final : public PluginPort {
 public:
  void connect(std::shared_ptr<Link> link) { link_ = std::move(link); }

  void log(Level level, std::string_view line) override;
  [[nodiscard]] Result<void> publish(std::string topic, std::string epoch, std::uint64_t seq,
                                     std::string payload) override;
  [[nodiscard]] std::optional<std::string> describe(OriginId origin) override;
  [[nodiscard]] CallPtr call(CallRequest request, std::shared_ptr<CallSink> sink) override;
  void left() override {}
  void gave_stream(std::uint64_t id) override;
  void subscribe(const std::vector<std::string>& patterns, std::function<void()> wake) override;
  void unsubscribe() override;
  [[nodiscard]] Go begin_events(std::function<void()> again) override;
  void end_events() override;
  [[nodiscard]] std::optional<Event> take_event() override;
  void event_over(const Event& event, const std::string& failure, int tries) override;

  void learn(OriginId origin, std::string_view text);
  void forget(OriginId origin);
  /// Handles the host's message about a call that the plugin made.
  void answer(const gantry_msg& msg, Descriptors descriptors);
  void answer_events(bool go);
  /// The host sends no more of a stream that the plugin gave away.
  void stream_is_given(std::uint64_t id);
  /// Blocks until stream_is_given() was called for all such streams. A host that does not send it
  /// in time ends this process.
  void wait_until_given();
  /// Takes an event. The host never has more events out than it may.
  void arrived(Event event);

 private:
  std::shared_ptr<Link> link_;
  Mutex mutex_;
  std::unordered_map<OriginId, std::string> origins_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t next_call_ GANTRY_GUARDED_BY(mutex_) = GANTRY_OWN_CALL;
  std::unordered_map<std::uint64_t, std::shared_ptr<CallSink>> calls_ GANTRY_GUARDED_BY(mutex_);
  std::function<void()> wake_ GANTRY_GUARDED_BY(mutex_);
  std::function<void()> again_ GANTRY_GUARDED_BY(mutex_);
  bool may_process_ GANTRY_GUARDED_BY(mutex_) = false;
  std::deque<Event> events_ GANTRY_GUARDED_BY(mutex_);
  CondVar given_;
  std::set<std::uint64_t> giving_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
