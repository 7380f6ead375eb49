// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/outgoing.hpp: the calls that a plugin makes: to services, and back to its callers.
//
//   host.call("greeter.greet", {{"name", "Ada"}}, {}, [](gantry::Result<gantry::CallAnswer> answer) { ... });
//
// Thread rule: calls may be made and steered from any thread; callbacks run serially with the
//   plugin's handlers. So a handler must not wait for the answer; a thread of the plugin's own may
//   (Host::ask).
// Bounds: 1024 open calls (`overloaded`).
// Never: the callback for the answer does not run, unless the plugin ends first.
#pragma once

#include <gantry/abi.h>

#include <cstdint>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/descriptor.hpp>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin/message.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace gantry {

/// The result of a call that succeeded.
struct CallAnswer {
  json value;
  Descriptors descriptors;
};

struct CallOptions {
  Deadline deadline;  ///< none: the host's default deadline
  std::string traceparent;
  std::string idempotency_key;
  std::uint64_t client = 0;  ///< call back this client (Call::origin) instead of a service
  Descriptors descriptors;   ///< duplicates of these go with the call
  /// Set: the call is opened as a stream, and this many items may come at first. The callbacks then
  /// run serially.
  std::optional<std::uint32_t> stream_credit;
  std::move_only_function<void(json item)> on_item;
  std::move_only_function<void()> on_end;                       ///< the other side sends no more items
  std::move_only_function<void(std::uint32_t more)> on_credit;  ///< this many more items may be sent
  std::move_only_function<void(const json&)> on_progress;
};

using OnAnswer = std::move_only_function<void(Result<CallAnswer>)>;

namespace detail {

struct Outgoing {
  const gantry_host* host;
  std::uint64_t id;
  CallOptions options;  ///< its callbacks: serial
  OnAnswer done;        ///< serial
};

/// The open calls that one plugin makes.
class OutgoingTable {
 public:
  [[nodiscard]] std::shared_ptr<Outgoing> add(const gantry_host* host, CallOptions options, OnAnswer done) {
    Lock lock(mutex_);
    auto call =
        std::make_shared<Outgoing>(Outgoing{host, GANTRY_OWN_CALL | next_++, std::move(options), std::move(done)});
    calls_.emplace(call->id, call);
    return call;
  }
  [[nodiscard]] std::shared_ptr<Outgoing> take(std::uint64_t id) {
    Lock lock(mutex_);
    const auto it = calls_.find(id);
    if (it == calls_.end()) return nullptr;
    auto call = std::move(it->second);
    calls_.erase(it);
    return call;
  }
  /// Handles the host's message about one of these calls. Serial.
  void deliver(const gantry_msg& msg, Descriptors descriptors) {
    const auto call = msg.kind == GANTRY_RESPONSE ? take(msg.id) : find(msg.id);
    if (!call) return;
    auto& options = call->options;
    switch (msg.kind) {
      case GANTRY_RESPONSE: {
        if (!call->done) return;
        if (msg.status != 0) {
          call->done(std::unexpected(parse_error(msg.status, to_view(msg.payload), "the host")));
        } else if (auto value = parse_json(to_view(msg.payload))) {
          call->done(CallAnswer{std::move(*value), std::move(descriptors)});
        } else {
          call->done(std::unexpected(value.error()));
        }
        return;
      }
      case GANTRY_ITEM:
        if ((msg.flags & GANTRY_END) != 0) {
          if (options.on_end) options.on_end();
        } else if (options.on_item) {
          if (auto item = parse_json(to_view(msg.payload))) options.on_item(std::move(*item));
        }
        return;
      case GANTRY_CREDIT:
        if (options.on_credit) options.on_credit(msg.credit);
        return;
      case GANTRY_PROGRESS:
        if (!options.on_progress) return;
        if (const auto progress = parse_json(to_view(msg.payload))) options.on_progress(*progress);
        return;
      default:
        return;
    }
  }
  /// The plugin ends. Callbacks that own the owner of this table would keep each other alive, so
  /// they are destroyed.
  void clear() {
    std::unordered_map<std::uint64_t, std::shared_ptr<Outgoing>> calls;
    {
      Lock lock(mutex_);
      calls.swap(calls_);
    }
  }

 private:
  [[nodiscard]] std::shared_ptr<Outgoing> find(std::uint64_t id) const {
    Lock lock(mutex_);
    const auto it = calls_.find(id);
    return it == calls_.end() ? nullptr : it->second;
  }

  mutable Mutex mutex_;
  std::uint64_t next_ GANTRY_GUARDED_BY(mutex_) = 1;
  std::unordered_map<std::uint64_t, std::shared_ptr<Outgoing>> calls_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace detail

/// Steers a call that the plugin has made. Dropping it does not cancel the call.
class OutgoingCall {
 public:
  OutgoingCall(const gantry_host* host, std::uint64_t id) : host_(host), id_(id) {}
  [[nodiscard]] std::uint64_t id() const { return id_; }

  /// Cancels the call. Its answer is `cancelled`, unless an answer is on its way already.
  void cancel() const {
    const auto msg = detail::make_msg(GANTRY_CANCEL, id_);
    (void)host_->send(host_->ctx, &msg);
  }
  /// Sends one item of the plugin's own stream. `overloaded`: no credit; on_credit is called when
  /// there is some. `unavailable`: the call is over.
  Result<void> item(const json& value) const {
    const std::string text = dump_json(value);
    auto msg = detail::make_msg(GANTRY_ITEM, id_);
    msg.payload = detail::to_bytes(text);
    switch (host_->send(host_->ctx, &msg)) {
      case GANTRY_OK:
        return {};
      case GANTRY_FULL:
        return fail(ErrorKind::overloaded, "the callee gives no credit");
      case GANTRY_CLOSED:
        return fail(ErrorKind::unavailable, "the call is over");
      default:
        return fail(ErrorKind::invalid_params,
                    "the host refused an item: it is malformed, or larger than a message may be");
    }
  }
  /// Ends the plugin's own stream.
  void end() const {
    auto msg = detail::make_msg(GANTRY_ITEM, id_);
    msg.flags = GANTRY_END;
    (void)host_->send(host_->ctx, &msg);
  }
  /// Lets the callee send `items` more items.
  void grant(std::uint32_t items) const {
    auto msg = detail::make_msg(GANTRY_CREDIT, id_);
    msg.credit = items;
    (void)host_->send(host_->ctx, &msg);
  }

 private:
  const gantry_host* host_;
  std::uint64_t id_;
};

}  // namespace gantry
