// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/call.hpp: a call that a plugin has received, which has to be answered exactly once.
//
// Thread rule: a Call is move-only and used by one thread at a time, any thread; `cancelled` may be
//   called from any thread while the Call lives. The on_* callbacks run serially with the plugin's
//   handlers and are destroyed there once the call is answered.
// Never: a call goes unanswered. A Call that dies unanswered answers `internal`.
// Streams: items wait in the Call's outbox while the caller has given no credit, or does not read
//   the bytes that it was sent. The outbox holds kOutboxItems items of kOutboxBytes together, or
//   one larger item; a full outbox refuses with `overloaded`, and on_credit is called when there is
//   room again. The answer waits behind the items.
#pragma once

#include <gantry/plugin/call_state.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/json.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>

namespace gantry {

class Call {
 public:
  explicit Call(std::shared_ptr<detail::CallState> state, bool owner = true)
      : state_(std::move(state)), owner_(owner) {}
  Call(Call&&) noexcept = default;
  Call& operator=(Call&& other) noexcept {
    if (this != &other) {
      drop();
      state_ = std::move(other.state_);
      owner_ = other.owner_;
    }
    return *this;
  }
  ~Call() { drop(); }

  [[nodiscard]] const std::string& method() const { return state_->method; }
  /// The params as they came: the text of one JSON object, or empty.
  [[nodiscard]] const std::string& raw_params() const { return state_->params; }
  /// The params as a document; parsed anew each time.
  [[nodiscard]] json params() const {
    auto doc = parse_json(state_->params.empty() ? std::string_view("{}") : std::string_view(state_->params));
    return doc ? std::move(*doc) : json::object();
  }
  [[nodiscard]] std::uint64_t id() const { return state_->id; }
  [[nodiscard]] std::uint64_t origin() const { return state_->origin; }
  /// True: the call was opened as a stream, so item() may be used.
  [[nodiscard]] bool is_stream() const { return state_->stream; }
  /// True: the call was opened with the instance before, which has given it to this one
  /// (Stopping::give): id(), params and origin are those of the original call.
  [[nodiscard]] bool resumed() const { return state_->resumed; }
  [[nodiscard]] Deadline deadline() const { return state_->deadline; }
  [[nodiscard]] const std::string& idempotency_key() const { return state_->idempotency_key; }
  [[nodiscard]] const std::string& traceparent() const { return state_->traceparent; }
  /// True: nobody waits for the answer any more. Known at once, also to a handler that has not
  /// returned.
  [[nodiscard]] bool cancelled() const {
    return state_->cancelled.load(std::memory_order_relaxed) ||
           state_->host.raw()->cancelled(state_->host.raw()->ctx, state_->id) == 1;
  }
  /// A token for operations that wait: it is cancelled when the plugin is told of the cancel, so
  /// not inside a handler.
  [[nodiscard]] CancelToken cancel_token() const { return state_->cancel_token(); }

  /// Takes the descriptors that came with the call; a second time there are none.
  [[nodiscard]] Descriptors take_descriptors() { return std::exchange(state_->descriptors, {}); }
  /// Duplicates of these descriptors go with the answer, unless that is an error.
  void attach(Descriptors descriptors) {
    Lock lock(state_->mutex);
    state_->attaches.store(true, std::memory_order_relaxed);
    state_->attached = std::move(descriptors);
  }
  /// Options for calls that this call leads to: its deadline and its trace.
  [[nodiscard]] CallOptions onward() const {
    CallOptions options;
    options.deadline = state_->deadline;
    options.traceparent = state_->traceparent;
    return options;
  }
  /// Options for a question back to the client that called: the same, and that client as the
  /// callee.
  [[nodiscard]] CallOptions back() const {
    CallOptions options = onward();
    options.client = state_->origin;
    return options;
  }

  /// Answers the call. Only the first answer counts.
  void reply(const json& result) { reply_raw(dump_json(result)); }
  template <class R>
    requires(std::is_convertible_v<R, Result<json>> && !std::is_convertible_v<R, json>)  // a list in braces is json
  void reply(const R& answer) {
    const Result<json>& result = answer;
    result ? reply(*result) : reply_error(result.error());
  }
  /// `result` is the text of one JSON value; the host refuses anything else and answers `internal`.
  void reply_raw(std::string result) { state_->finish(0, std::move(result)); }
  void reply_error(const Error& error) {
    state_->finish(static_cast<std::int32_t>(error.kind), detail::error_payload(error));
  }

  /// Sends one item of the stream: now, or when the caller gives credit. `overloaded`: the outbox
  /// is full, and on_credit will be called when there is room; `cancelled`: the caller is gone;
  /// `unavailable`: the call is answered; `invalid_request`: the call is no stream;
  /// `invalid_params`: the host refused the item.
  Result<void> item(const json& value) { return state_->item(dump_json(value)); }
  Result<void> item_raw(std::string value) { return state_->item(std::move(value)); }
  /// As item_raw(), for a caller that tries again: a refused value is left as it was.
  Result<void> try_item_raw(std::string& value) { return state_->item(std::move(value)); }
  /// Sends one item only if the caller can take it now: the item never waits in the outbox.
  /// `overloaded`: the caller cannot, and on_credit will be called; other errors as item().
  Result<void> item_now(const std::string& value) { return state_->item_now(value); }
  /// Sends an item, and waits for room while the outbox is full: must not be called on the plugin's
  /// strand. `cancelled`: the call is cancelled; other errors as item().
  Result<void> send_raw(std::string value) { return state_->send(std::move(value)); }

  /// Reports progress to the caller. `percentage` 0 to 100, or negative: unknown.
  void progress(std::string_view message, double percentage = -1) {
    json payload{{"message", message}};
    if (percentage >= 0) payload["percentage"] = percentage;
    const std::string text = dump_json(payload);
    auto msg = detail::make_msg(GANTRY_PROGRESS, state_->id);
    msg.payload = detail::to_bytes(text);
    (void)state_->host.raw()->send(state_->host.raw()->ctx, &msg);
  }

  /// Lets the caller send `items` more items of its own stream.
  void grant(std::uint32_t items) {
    auto msg = detail::make_msg(GANTRY_CREDIT, state_->id);
    msg.credit = items;
    (void)state_->host.raw()->send(state_->host.raw()->ctx, &msg);
  }

  /// Callbacks are set inside a handler or another serial callback, before that returns.
  void on_cancel(std::move_only_function<void()> fn) { state_->on_cancel = std::move(fn); }
  void on_credit(std::move_only_function<void()> fn) { state_->on_credit = std::move(fn); }
  void on_item(std::move_only_function<void(std::string_view)> fn) { state_->on_item = std::move(fn); }
  void on_end(std::move_only_function<void()> fn) { state_->on_end = std::move(fn); }

 private:
  friend std::shared_ptr<detail::CallState> detail::state_of(const Call& call);

  void drop() {
    if (!state_ || !owner_) return;
    if (std::uncaught_exceptions() > 0 &&
        state_->handler_thread.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
      state_->lost_to_exception = true;
    } else {
      state_->finish_dropped();
    }
    state_.reset();
  }
  std::shared_ptr<detail::CallState> state_;
  bool owner_ = true;  ///< else another object owes the answer
};

namespace detail {
inline std::shared_ptr<CallState> state_of(const Call& call) { return call.state_; }
}  // namespace detail

}  // namespace gantry
