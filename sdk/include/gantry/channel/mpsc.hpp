// SPDX-License-Identifier: Apache-2.0
//
// gantry/channel/mpsc.hpp: a channel from many senders to one receiver.
//
//   auto [tx, rx] = gantry::mpsc::channel<Command>(64);            // bounded
//   auto [tx, rx] = gantry::mpsc::unbounded_channel<Command>();    // for embedders; the host itself uses none
//
// Thread rule: Sender is copyable; each copy is used by one thread at a time, copies by any threads
//   at once. Receiver is move-only and used by one thread at a time. Each operation comes as try_x
//   (never waits), x (blocks the thread, until a time or a token if given) and async_x (`co_await`,
//   with gantry/coro.hpp).
// Order: first in, first out, over all senders in the order in which their values were accepted.
//   This order also holds for each sender, and for the values of one send_many.
// Full: try_send refuses with `overloaded`, send waits. Senders that wait are served in the order
//   of their arrival; while one waits, try_send refuses. A waiting sender's value enters the
//   channel in the same step that makes room for the value.
// Batches: send_many moves as many values as there is room for, recv_many as many as there are, in
//   one step with one wake-up.
// Cancelled, timed out: nothing was sent, or nothing was received. An operation that can complete
//   at once does so whatever the limits say; after that, the first event (completion, time-out or
//   cancel) decides the result.
// Closed: when the last Sender is gone or closed, the receiver drains what was accepted and then
//   sees the end. After Receiver::close() sends refuse with `unavailable`, senders that wait are
//   woken and refused, and what was accepted can still be received; when the Receiver is gone, what
//   it left is destroyed.
// Never: a value that was refused is moved from; a value that was accepted is lost, doubled or
//   overtaken while the receiver lives; a wake-up is lost; a value is moved or destroyed by two
//   threads at once; try_x waits longer than another sender needs for a few instructions.
// The move constructor of T must not throw. How it works, and why its memory orders suffice:
// docs/threads.md, model: tests/model/.
#pragma once

#include <gantry/detail/mpsc_core.hpp>
#include <span>
#include <utility>
#include <vector>

namespace gantry::mpsc {

/// The result of send_many: the first `accepted` values are in the channel, the others are
/// untouched.
struct SentMany {
  std::size_t accepted = 0;
  Result<void> status;  ///< an error when not all were accepted
};

namespace detail {

template <class T>
struct SendOne {
  SendOp<T> op;
  T* value;  ///< nullptr: `own` holds the value
  bool done = false;
  std::optional<T> own;

  SendOne(Core<T>* core, T& v) : op(core), value(&v) {}
  /// Tries at once, and stores the value only when that fails.
  SendOne(Core<T>* core, std::in_place_t, T&& v) : op(core), value(nullptr), done(op.poll(v)) {
    if (!done) own.emplace(std::move(v));
  }
  bool poll() { return done || op.poll(values().front()); }
  bool start(Waiter& waiter) { return op.start(values(), waiter); }
  bool cancel() { return op.cancel(); }
  Result<void> finish(WaitEnd end) { return op.finish(end); }

 private:
  std::span<T> values() { return {value != nullptr ? value : &*own, 1}; }
};

template <class T>
struct SendMany {
  SendOp<T> op;
  std::span<T> values;

  SendMany(Core<T>* core, std::span<T> all) : op(core), values(all) {}

  bool poll() { return op.poll(values); }
  bool start(Waiter& waiter) { return op.start(values, waiter); }
  bool cancel() { return op.cancel(); }
  SentMany finish(WaitEnd end) {
    auto status = op.finish(end);
    return {op.accepted(), std::move(status)};
  }
};

/// `R`: optional<T> (without limits: only the end of the channel can fail it) or Result<T>.
template <class T, class R>
struct RecvOne {
  RecvOp<T> op;

  bool poll() { return op.poll(); }
  bool start(Waiter& waiter) { return op.start(waiter); }
  bool cancel() { return op.cancel(); }
  R finish(WaitEnd end) {
    if constexpr (std::is_same_v<R, std::optional<T>>) {
      return op.take();
    } else {
      if (auto value = op.take()) return std::move(*value);
      return end == WaitEnd::complete ? closed() : wait_failed(end);
    }
  }
};

template <class T>
struct RecvMany {
  RecvOp<T> op;
  std::vector<T>* out;
  std::size_t max;

  bool poll() { return max == 0 || op.poll(); }
  bool start(Waiter& waiter) { return op.start(waiter); }
  bool cancel() { return op.cancel(); }
  std::size_t finish(WaitEnd /*end*/) { return op.take_many(*out, max); }
};

}  // namespace detail

template <class T>
class Sender {
 public:
  Sender(const Sender& other) : core_(other.core_) {
    if (core_ != nullptr) core_->add_sender();
  }
  Sender(Sender&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  Sender& operator=(Sender other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~Sender() { close(); }

  /// `overloaded`: full. `unavailable`: closed. On failure `value` is untouched.
  [[nodiscard]] Result<void> try_send(T&& value) {
    if (core_ == nullptr) return detail::closed();
    switch (core_->put_one(value)) {
      case detail::Put::done:
        return {};
      case detail::Put::closed:
        return detail::closed();
      default:
        return detail::full();
    }
  }
  [[nodiscard]] Result<void> try_send(const T& value) { return try_send(T(value)); }
  /// Accepts the first values that there is room for. `overloaded`: there is room for none.
  [[nodiscard]] SentMany try_send_many(std::span<T> values) {
    if (core_ == nullptr) return {0, detail::closed()};
    const auto put = core_->try_put(values);
    if (put.state == detail::Put::done) return {put.count, {}};
    if (put.state == detail::Put::closed) return {0, detail::closed()};
    return {put.count, detail::full()};
  }

  /// Waits while the channel is full. `unavailable`, `timeout`, `cancelled`: `value` is untouched.
  [[nodiscard]] Result<void> send(T&& value, const WaitLimits& limits = {}) {
    if (core_ != nullptr && core_->put_one(value) == detail::Put::done) [[likely]]
      return {};
    return send_slowly(value, limits);
  }
  [[nodiscard]] Result<void> send(const T& value, const WaitLimits& limits = {}) { return send(T(value), limits); }
  [[nodiscard]] Result<void> send_for(T&& value, Duration time) {
    return send(std::move(value), {.until = time_after(time), .token = {}});
  }
  [[nodiscard]] SentMany send_many(std::span<T> values, const WaitLimits& limits = {}) {
    if (core_ == nullptr) return {0, detail::closed()};
    return block(detail::SendMany<T>(core_, values), limits);
  }

  /// The awaited result is Result<void>. Sends at once if there is room; else the value moves into
  /// the awaiting frame, and waits when it is awaited. A refused value is destroyed.
  [[nodiscard]] auto async_send(T value, CancelToken token = {}) {
    return Await<detail::SendOne<T>>(std::move(token), core_, std::in_place, std::move(value));
  }
  /// The awaited result is SentMany. `values` must stay until the await is complete.
  [[nodiscard]] auto async_send_many(std::span<T> values, CancelToken token = {}) {
    return Await<detail::SendMany<T>>(std::move(token), core_, values);
  }

  /// True: the receiver takes no more. False may be out of date: another thread may have closed the
  /// channel since.
  [[nodiscard]] bool closed() const { return core_ == nullptr || core_->receiver_closed(); }
  /// This sender sends no more. When it was the last one, the receiver drains and then sees the
  /// end.
  void close() {
    if (auto* const core = std::exchange(core_, nullptr)) core->drop_sender();
  }

 private:
  template <class U>
  friend struct Channel;
  explicit Sender(detail::Core<T>* core) : core_(core) {}
  [[gnu::noinline]] Result<void> send_slowly(T& value, const WaitLimits& limits) {
    if (core_ == nullptr) return detail::closed();
    return block(detail::SendOne<T>(core_, value), limits);
  }
  detail::Core<T>* core_;
};

template <class T>
class Receiver {
 public:
  Receiver(Receiver&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  Receiver& operator=(Receiver&& other) noexcept {
    Receiver(std::move(other)).swap(*this);
    return *this;
  }
  ~Receiver() {
    if (core_ != nullptr) core_->drop_receiver();
  }

  /// Never waits. Empty: there is no value now; drained() says whether there ever will be one.
  [[nodiscard]] std::optional<T> try_recv() { return core_ == nullptr ? std::nullopt : core_->take(); }
  /// Appends up to `max` values that are there now; returns how many. Never waits.
  std::size_t try_recv_many(std::vector<T>& out, std::size_t max) {
    return core_ == nullptr ? 0 : core_->take_many(out, max);
  }

  /// Waits. Empty: the channel is closed and drained.
  [[nodiscard]] std::optional<T> recv() {
    std::optional<T> value = try_recv();
    if (!value) [[unlikely]]
      value = recv_slowly();
    return value;
  }
  /// Waits. `unavailable`: the channel is closed and drained; `timeout`, `cancelled`: nothing was
  /// received.
  [[nodiscard]] Result<T> recv(const WaitLimits& limits) {
    if (core_ == nullptr) return detail::closed();
    return block(detail::RecvOne<T, Result<T>>{detail::RecvOp<T>(core_)}, limits);
  }
  [[nodiscard]] Result<T> recv_for(Duration time) { return recv({.until = time_after(time), .token = {}}); }
  /// Waits until there is a value, then appends up to `max` values; returns how many. 0: the
  /// channel is closed and drained, or the limits ended the wait.
  std::size_t recv_many(std::vector<T>& out, std::size_t max, const WaitLimits& limits = {}) {
    if (core_ == nullptr || max == 0) return 0;
    return block(detail::RecvMany<T>{detail::RecvOp<T>(core_), &out, max}, limits);
  }

  /// The awaited result is std::optional<T>, as from recv().
  [[nodiscard]] auto async_recv() {
    return Await<detail::RecvOne<T, std::optional<T>>>(CancelToken(), detail::RecvOp<T>(core_));
  }
  /// The awaited result is Result<T>, as from recv(limits).
  [[nodiscard]] auto async_recv(CancelToken token) {
    return Await<detail::RecvOne<T, Result<T>>>(std::move(token), detail::RecvOp<T>(core_));
  }
  /// The awaited result is std::size_t, as from recv_many. `out` must stay until the await is
  /// complete.
  [[nodiscard]] auto async_recv_many(std::vector<T>& out, std::size_t max, CancelToken token = {}) {
    return Await<detail::RecvMany<T>>(std::move(token), detail::RecvOp<T>(core_), &out, max);
  }

  /// For an event loop of the caller's own. True: there is a value, or the end, now. False: there
  /// is none; the sender that brings one, or that ends the channel, wakes `waiter` once. `waiter`
  /// may be entered again before that, and must stay until it was woken or the Receiver is gone.
  [[nodiscard]] bool ready_or_wake(Waiter& waiter) {
    return core_ == nullptr || detail::RecvOp<T>(core_).start(waiter);
  }

  /// True: every sender is gone or refused, and no value is left.
  [[nodiscard]] bool drained() const { return core_ == nullptr || core_->drained(); }
  /// The number of values that are there now. Any thread: never fewer than there were when it was
  /// called, unless some were taken since.
  [[nodiscard]] std::size_t size() const { return core_ == nullptr ? 0 : core_->size(); }
  /// Refuses further sends and the sends that wait. Values that were accepted can still be
  /// received.
  void close() {
    if (core_ != nullptr) core_->close_receiver();
  }

 private:
  template <class U>
  friend struct Channel;
  explicit Receiver(detail::Core<T>* core) : core_(core) {}
  [[gnu::noinline]] std::optional<T> recv_slowly() {
    if (core_ == nullptr) return std::nullopt;
    return block(detail::RecvOne<T, std::optional<T>>{detail::RecvOp<T>(core_)});
  }
  void swap(Receiver& other) noexcept { std::swap(core_, other.core_); }
  detail::Core<T>* core_;
};

template <class T>
struct Channel {
  Sender<T> tx;
  Receiver<T> rx;

  /// `capacity` 0: unbounded.
  [[nodiscard]] static Channel make(std::size_t capacity) {
    auto* const core = new detail::Core<T>(capacity);
    return Channel{Sender<T>(core), Receiver<T>(core)};
  }
};

/// A channel that holds at most `capacity` values (at least 1).
template <class T>
[[nodiscard]] Channel<T> channel(std::size_t capacity) {
  return Channel<T>::make(capacity == 0 ? 1 : capacity);
}

/// A channel that only memory limits. For embedders with a bound of their own.
template <class T>
[[nodiscard]] Channel<T> unbounded_channel() {
  return Channel<T>::make(0);
}

}  // namespace gantry::mpsc
