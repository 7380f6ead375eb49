// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing/ends.hpp: the test's ends of calls (gantry/testing.hpp): of those that it makes, and of those that its
// plugin makes.
//
// Thread rule: any thread. An end is a handle: copies are the same end, and none outlives its TestHost.
#pragma once

#include <gantry/testing/port.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gantry::testing {

/// What the ends of every call have: items from the plugin, and items to it.
class CallEnd {
 protected:
  using OpenCall = detail::OpenCall;
  /// Calls `body` with what is kept of the call.
  template <class F>
  auto look(F&& body) const {
    Lock lock(host_->mutex_);
    return body(host_->calls_.at(id_));
  }

  detail::HostPort* host_;
  std::uint64_t id_;

 public:
  CallEnd(detail::HostPort& host, std::uint64_t id) : host_(&host), id_(id) {}
  [[nodiscard]] std::uint64_t id() const { return id_; }

  /// The next item from the plugin, waiting for it; empty when none comes any more.
  std::optional<json> next() {
    std::optional<json> item;
    host_->wait("an item", [&] {
      return look([&](OpenCall& call) {
        if (call.items.empty()) return call.result.has_value() || call.items_ended || call.cancelled;
        item = json::parse(call.items.front());
        call.items.pop_front();
        return true;
      });
    });
    return item;
  }
  /// Items that have come and were not read.
  [[nodiscard]] std::size_t waiting() const {
    return look([](OpenCall& call) { return call.items.size(); });
  }
  /// Has the plugin said that it sends no more items?
  [[nodiscard]] bool ended() const {
    return look([](OpenCall& call) { return call.items_ended; });
  }
  /// Lets the plugin send so many more. An end that gives no credit stalls.
  void credit(std::uint32_t items) {
    look([&](OpenCall& call) { call.credit += items; });
    host_->deliver(GANTRY_CREDIT, id_, 0, items, "");
  }
  /// How many it may still send.
  [[nodiscard]] std::uint32_t credit_left() const {
    return look([](OpenCall& call) { return call.credit; });
  }
  /// Takes that back, unsaid: what the plugin sends next finds the end full (GANTRY_FULL).
  void fill() {
    look([](OpenCall& call) { call.credit = 0; });
  }
  /// Nobody listens any more: what the plugin says of this call is GANTRY_CLOSED from here on, and to it the call is
  /// cancelled when it asks, and hears nothing of it.
  void close() {
    look([](OpenCall& call) { call.closed = true; });
  }

  /// How many items the plugin takes.
  [[nodiscard]] std::uint64_t granted() const {
    return look([](OpenCall& call) { return call.granted; });
  }
  /// Sends an item to the plugin. False: it gives no credit.
  [[nodiscard]] bool try_send(const json& item) { return try_send_text(item.dump()); }
  /// The same of JSON as text, which is sent as it is.
  [[nodiscard]] bool try_send_text(const std::string& item) {
    const bool may = look([](OpenCall& call) {
      if (call.granted == 0) return false;
      --call.granted;
      return true;
    });
    if (may) host_->deliver(GANTRY_ITEM, id_, 0, 0, item);
    return may;
  }
  /// Sends an item to the plugin, waiting for its credit. Nothing is sent when the call is over before.
  void send(const json& item) { send_text(item.dump()); }
  void send_text(const std::string& item) {
    host_->wait("credit from the plugin", [&] {
      return try_send_text(item) || look([](OpenCall& call) { return call.result.has_value() || call.closed; });
    });
  }
  /// No more items come from here.
  void end() { host_->deliver(GANTRY_ITEM, id_, GANTRY_END, 0, ""); }

  /// Those that the plugin has sent along: with its answer, or with its call.
  [[nodiscard]] Descriptors take_descriptors() {
    return look([](OpenCall& call) { return std::exchange(call.descriptors, {}); });
  }
};

/// A call that the test has made. Letting it go does not cancel it.
class TestStream : public CallEnd {
 public:
  using CallEnd::CallEnd;
  /// The answer, waiting for it.
  Result<json> result() {
    std::optional<Result<json>> result;
    host_->wait("an answer", [&] {
      result = look([](OpenCall& call) { return call.result; });
      return result.has_value();
    });
    return *result;
  }
  [[nodiscard]] bool answered() const {
    return look([](OpenCall& call) { return call.result.has_value(); });
  }
  void cancel() {
    look([](OpenCall& call) { call.cancelled = true; });
    host_->deliver(GANTRY_CANCEL, id_, 0, 0, "");
  }
  [[nodiscard]] std::vector<json> progress() const {
    return look([](OpenCall& call) { return call.progress; });
  }
};

/// A call that the plugin has made, and that the test answers (TestHost::made).
class MadeCall : public CallEnd {
 public:
  using CallEnd::CallEnd;
  [[nodiscard]] std::string method() const {
    return look([](OpenCall& call) { return call.method; });
  }
  [[nodiscard]] json params() const {
    return look([](OpenCall& call) { return call.params; });
  }
  [[nodiscard]] bool is_stream() const {
    return look([](OpenCall& call) { return call.stream; });
  }
  /// The client that is called back, or 0.
  [[nodiscard]] std::uint64_t client() const {
    return look([](OpenCall& call) { return call.client; });
  }
  [[nodiscard]] std::string idempotency_key() const {
    return look([](OpenCall& call) { return call.idempotency_key; });
  }
  [[nodiscard]] std::string traceparent() const {
    return look([](OpenCall& call) { return call.traceparent; });
  }
  /// What its deadline left when it was made; negative: it has none.
  [[nodiscard]] Duration budget() const {
    return look([](OpenCall& call) { return Duration(call.budget_ns); });
  }
  /// Has the plugin lost interest? An answer is still owed.
  [[nodiscard]] bool cancelled() const {
    return look([](OpenCall& call) { return call.cancelled; });
  }
  /// Answers. Only the first answer counts.
  void answer(Result<CallAnswer> answer) { host_->answer_own(id_, std::move(answer)); }
  void answer(json value) { answer(Result<CallAnswer>(CallAnswer{std::move(value), {}})); }
  void progress(const json& how_far) { host_->deliver(GANTRY_PROGRESS, id_, 0, 0, how_far.dump()); }
};

}  // namespace gantry::testing
