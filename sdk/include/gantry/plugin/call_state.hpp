// SPDX-License-Identifier: Apache-2.0
//
// The state behind a gantry::Call (gantry/plugin/call.hpp), and the table of one plugin's open
// calls.
#pragma once

#include <gantry/plugin/host.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gantry {

class Call;
using CancelSource = std::stop_source;
using CancelToken = std::stop_token;

namespace detail {

class CallTable;
class Executors;

struct CallState : std::enable_shared_from_this<CallState> {
  CallState(const Host& plugin_host, const gantry_msg& msg)
      : host(plugin_host),
        id(msg.id),
        origin(msg.origin),
        stream((msg.flags & GANTRY_STREAM) != 0),
        resumed((msg.flags & GANTRY_RESUMED) != 0),
        method(to_view(msg.topic)),
        params(to_view(msg.payload)),
        traceparent(to_view(msg.traceparent)),
        idempotency_key(to_view(msg.idempotency_key)) {}

  static constexpr std::size_t kOutboxItems = 256;
  static constexpr std::size_t kOutboxBytes = std::size_t{4} << 20;  ///< or one item that is larger

  Host host;
  std::uint64_t id = 0;
  std::uint64_t origin = 0;
  bool stream = false;
  bool resumed = false;
  Deadline deadline;
  std::string method;
  std::string params;
  std::string traceparent;
  std::string idempotency_key;
  Descriptors descriptors;  ///< that came with the call; the handler's

  Executors* executors = nullptr;  ///< of the plugin
  bool served = false;             ///< serial: by one of the executors

  std::atomic<bool> cancelled{false};
  std::atomic<bool> stopping{false};  ///< the plugin is stopping
  std::atomic<CallTable*> table{nullptr};
  bool entered = false;  ///< serial: the call stands in the table
  // The handler's thread, while it runs. When an exception destroys the Call on its way out, the
  // call is answered with the text of that exception.
  std::atomic<std::thread::id> handler_thread{};
  bool lost_to_exception = false;
  bool answered_by_handler = false;  ///< answered on the handler's thread, while the handler ran

  // Accessed serially only.
  std::move_only_function<void()> on_cancel;
  std::move_only_function<void()> on_credit;
  std::move_only_function<void(std::string_view)> on_item;
  std::move_only_function<void()> on_end;

  struct Answer {
    std::int32_t status;
    std::string payload;
  };

  Mutex mutex;
  std::list<std::string> outbox GANTRY_GUARDED_BY(mutex);  // most calls need none
  std::size_t outbox_bytes GANTRY_GUARDED_BY(mutex) = 0;
  std::optional<Answer> answer GANTRY_GUARDED_BY(mutex);
  std::atomic<bool> answered{false};  ///< of a stream: changed under mutex
  std::atomic<bool> attaches{false};  ///< descriptors go with the answer
  bool refused GANTRY_GUARDED_BY(mutex) = false;
  Descriptors attached GANTRY_GUARDED_BY(mutex);  ///< go with the answer
  CondVar room;                                   ///< signalled when the outbox has room, or will not have any more
  std::optional<CancelSource> cancel_source GANTRY_GUARDED_BY(mutex);

  // host.send is a leaf: it neither blocks nor calls back, so holding the mutex over it keeps items
  // in order. A refused text is left as it was.
  [[nodiscard]] Result<void> item(std::string&& text) {
    Lock lock(mutex);
    if (answered || answer) return fail(ErrorKind::unavailable, "the call is answered");
    if (!stream) return fail(ErrorKind::invalid_request, method + " was not opened as a stream");
    if (outbox.empty()) {
      switch (send_item(text)) {
        case GANTRY_OK:
          return {};
        case GANTRY_FULL:
          break;
        case GANTRY_CLOSED:
          return fail(ErrorKind::cancelled, "the caller is gone");
        default:
          return fail(ErrorKind::invalid_params,
                      "the host refused an item: it is malformed, or larger than a message may be");
      }
    }
    if (outbox_is_full(text.size())) {
      refused = true;
      return fail(ErrorKind::overloaded, "the caller gives no credit");
    }
    outbox_bytes += text.size();
    outbox.push_back(std::move(text));
    return {};
  }

  /// Sends an item now, or not at all: it never waits in the outbox.
  [[nodiscard]] Result<void> item_now(const std::string& text) {
    Lock lock(mutex);
    if (answered || answer) return fail(ErrorKind::unavailable, "the call is answered");
    if (!stream) return fail(ErrorKind::invalid_request, method + " was not opened as a stream");
    const std::int32_t sent = outbox.empty() ? send_item(text) : std::int32_t{GANTRY_FULL};
    if (sent == GANTRY_OK) return {};
    if (sent == GANTRY_CLOSED) return fail(ErrorKind::cancelled, "the caller is gone");
    if (sent != GANTRY_FULL) return fail(ErrorKind::invalid_params, "the host refused a malformed item");
    refused = true;
    return fail(ErrorKind::overloaded, "the caller gives no credit");
  }

  /// Sends an item, and waits for room in the outbox.
  [[nodiscard]] Result<void> send(std::string text) {
    while (true) {
      if (cancelled.load(std::memory_order_relaxed)) return fail(ErrorKind::cancelled, "the call is cancelled");
      auto sent = item(std::move(text));
      if (sent || sent.error().kind != ErrorKind::overloaded) return sent;
      if (handler_thread.load(std::memory_order_relaxed) == std::this_thread::get_id())
        return fail(ErrorKind::internal, method + ": send() on the plugin's own thread would wait for itself");
      Lock lock(mutex);
      // NOLINTNEXTLINE(bugprone-use-after-move): what was refused is as it was
      while (outbox_is_full(text.size()) && !cancelled.load(std::memory_order_relaxed)) room.wait(mutex);
    }
  }

  [[nodiscard]] CancelToken cancel_token() {
    Lock lock(mutex);
    if (!cancel_source) {
      cancel_source.emplace();
      if (cancelled.load(std::memory_order_relaxed)) cancel_source->request_stop();
    }
    return cancel_source->get_token();
  }
  /// Marks the call as cancelled. Serial.
  void cancel() {
    std::optional<CancelSource> source;
    {
      Lock lock(mutex);
      cancelled.store(true, std::memory_order_relaxed);
      source = cancel_source;
    }
    room.notify_all();
    if (source) source->request_stop();
  }

  void finish(std::int32_t status, std::string payload) {
    if (!stream && !attaches.load(std::memory_order_relaxed)) {  // nothing goes before the answer, or with it
      if (!answered.exchange(true)) send_response(status, payload, {});
      return;
    }
    Lock lock(mutex);
    if (answered || answer) return;
    if (outbox.empty() || status != 0 || cancelled.load(std::memory_order_relaxed)) {
      outbox.clear();
      outbox_bytes = 0;
      send_answer(status, payload);
    } else {
      answer = Answer{status, std::move(payload)};
    }
  }

  /// While the plugin stops: gives the stream to the next instance. Returns the items that have
  /// waited for credit.
  [[nodiscard]] inline Result<std::vector<std::string>> give(const gantry_handover* handover);

  /// Removes the call from the table once it is answered: no message reaches it any more. Serial.
  inline void leave();
  void clear_callbacks() {
    on_cancel = nullptr;
    on_credit = nullptr;
    on_item = nullptr;
    on_end = nullptr;
  }

  /// The Call was dropped unanswered. A plugin that is stopping may do so: then the error is
  /// `plugin_died`.
  void finish_dropped() {
    if (answered.load()) return;
    const bool stops = stopping.load(std::memory_order_relaxed);
    finish(static_cast<std::int32_t>(stops ? ErrorKind::plugin_died : ErrorKind::internal),
           R"({"message":")" + method +
               (stops ? R"(: the plugin was stopped before it answered"})" : R"(: the plugin dropped the call"})"));
  }

  /// Sends items that wait. True: a sender that was refused may try again.
  [[nodiscard]] bool credit() {
    Lock lock(mutex);
    while (!outbox.empty()) {
      const auto status = send_item(outbox.front());
      if (status == GANTRY_FULL) break;
      outbox_bytes -= outbox.front().size();
      outbox.pop_front();
      if (status == GANTRY_CLOSED) outbox.clear();
    }
    if (outbox.empty()) outbox_bytes = 0;
    if (!outbox_is_full(0)) room.notify_all();
    if (!outbox.empty()) return false;
    if (answer) {
      send_answer(answer->status, answer->payload);
      answer.reset();
    }
    return std::exchange(refused, false);
  }

 private:
  [[nodiscard]] bool outbox_is_full(std::size_t more) const GANTRY_REQUIRES(mutex) {
    return outbox.size() >= kOutboxItems || (!outbox.empty() && outbox_bytes + more > kOutboxBytes);
  }
  [[nodiscard]] std::int32_t send_item(const std::string& text) GANTRY_REQUIRES(mutex) {
    auto msg = make_msg(GANTRY_ITEM, id);
    msg.payload = to_bytes(text);
    return host.raw()->send(host.raw()->ctx, &msg);
  }
  inline void send_answer(std::int32_t status, const std::string& payload) GANTRY_REQUIRES(mutex);
  inline void send_response(std::int32_t status, const std::string& payload, const Descriptors& with);
  inline void leave_soon();
};

/// The calls of one plugin that are open.
class CallTable {
 public:
  CallTable() = default;
  CallTable(const CallTable&) = delete;
  CallTable& operator=(const CallTable&) = delete;
  // Callbacks that own the owner of their call would keep each other alive, so they are cleared.
  inline ~CallTable();
  /// Serial; after the call's handler has returned.
  void add(std::shared_ptr<CallState> call) {
    call->entered = true;
    Lock lock(mutex_);
    calls_.emplace(call->id, std::move(call));
  }
  [[nodiscard]] std::shared_ptr<CallState> find(std::uint64_t id) const {
    Lock lock(mutex_);
    const auto it = calls_.find(id);
    return it == calls_.end() ? nullptr : it->second;
  }
  /// For a call that is answered while the host takes no more posts: the next message that comes in
  /// removes it.
  void leave_later(std::shared_ptr<CallState> call) {
    Lock lock(mutex_);
    leaving_.push_back(std::move(call));
    any_leaving_.store(true, std::memory_order_relaxed);
  }
  /// Removes the calls of leave_later(). Serial.
  void let_leave() {
    if (!any_leaving_.load(std::memory_order_relaxed)) return;
    std::vector<std::shared_ptr<CallState>> leaving;
    {
      Lock lock(mutex_);
      leaving.swap(leaving_);
      any_leaving_.store(false, std::memory_order_relaxed);
    }
    for (const auto& call : leaving) call->leave();
  }
  /// The plugin stops: cancels the calls that the executors serve; other open calls may still be answered.
  /// Serial.
  void stop() { cancel(true); }
  /// The plugin is destroyed: threads that wait for a caller's credit give up. Serial.
  void end() { cancel(false); }
  void remove(std::uint64_t id) {
    std::shared_ptr<CallState> last;
    Lock lock(mutex_);
    const auto it = calls_.find(id);
    if (it == calls_.end()) return;
    last = std::move(it->second);
    calls_.erase(it);
  }

 private:
  void cancel(bool only_served) {
    std::vector<std::shared_ptr<CallState>> calls;
    {
      Lock lock(mutex_);
      for (const auto& [id, call] : calls_) {
        call->stopping.store(true, std::memory_order_relaxed);
        if (call->served || !only_served) calls.push_back(call);
      }
    }
    for (const auto& call : calls) call->cancel();
  }

  mutable Mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<CallState>> calls_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<CallState>> leaving_ GANTRY_GUARDED_BY(mutex_);  ///< of calls_
  std::atomic<bool> any_leaving_{false};
};

inline CallTable::~CallTable() {
  std::unordered_map<std::uint64_t, std::shared_ptr<CallState>> calls;
  {
    Lock lock(mutex_);
    calls.swap(calls_);
  }
  for (auto& [id, call] : calls) call->table = nullptr;
  for (auto& [id, call] : calls) call->clear_callbacks();  // which may destroy other calls
}

inline void CallState::send_answer(std::int32_t status, const std::string& payload) {
  if (answered.exchange(true)) return;
  if (status != 0) attached.clear();
  send_response(status, payload, std::exchange(attached, {}));
}

inline void CallState::send_response(std::int32_t status, const std::string& payload, const Descriptors& with) {
  auto msg = make_msg(GANTRY_RESPONSE, id);
  msg.status = status;
  msg.payload = to_bytes(payload);
  (void)send_msg(host.raw(), host.descriptors(), msg, with);
  leave_soon();
}

// The callbacks may own the owner of this call: they are destroyed serially, and not inside one of
// their own.
inline void CallState::leave_soon() {
  if (handler_thread.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    answered_by_handler = true;  // the call leaves when the handler has returned
  } else {
    if (host.post([self = shared_from_this()] { self->leave(); })) return;
    if (auto* const owner = table.load()) owner->leave_later(shared_from_this());
  }
}

inline Result<std::vector<std::string>> CallState::give(const gantry_handover* handover) {
  std::vector<std::string> unsent;
  {
    Lock lock(mutex);
    if (answered || answer) return fail(ErrorKind::unavailable, method + " is answered");
    const std::int32_t given =
        handover != nullptr ? handover->give_stream(host.raw()->ctx, id) : std::int32_t{GANTRY_CLOSED};
    if (given != GANTRY_OK)
      return fail(ErrorKind::unavailable, method + ": no instance comes after this one, or it is no open stream");
    answered = true;
    unsent.assign(std::make_move_iterator(outbox.begin()), std::make_move_iterator(outbox.end()));
    outbox.clear();
    outbox_bytes = 0;
    leave_soon();
  }
  room.notify_all();
  return unsent;
}

inline void CallState::leave() {
  clear_callbacks();
  auto* const owner = table.exchange(nullptr);
  if (owner != nullptr && entered) owner->remove(id);
}

[[nodiscard]] std::shared_ptr<CallState> state_of(const Call& call);

}  // namespace detail

}  // namespace gantry
