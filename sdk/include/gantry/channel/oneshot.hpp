// SPDX-License-Identifier: Apache-2.0
//
// gantry/channel/oneshot.hpp: one value, once, from one sender to one receiver.
//
//   auto [reply, answer] = gantry::oneshot::channel<Answer>();
//
// Thread rule: each end is move-only and used by one thread at a time; the two ends on any two threads.
// Closed: a Sender that dies without sending closes the channel: the receiver sees empty. A Receiver that dies
//   makes `send` refuse with `unavailable`.
// Never: a value is delivered twice; a value that was accepted is lost while the receiver lives.
#pragma once

#include <chrono>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace gantry::oneshot {

namespace detail {
template <class T>
struct State {
  Mutex mutex;
  CondVar changed;
  std::optional<T> value GANTRY_GUARDED_BY(mutex);
  bool sender_gone GANTRY_GUARDED_BY(mutex) = false;
  bool receiver_gone GANTRY_GUARDED_BY(mutex) = false;
};
}  // namespace detail

template <class T>
class Sender {
 public:
  explicit Sender(std::shared_ptr<detail::State<T>> state) : state_(std::move(state)) {}
  Sender(Sender&&) noexcept = default;
  Sender& operator=(Sender&& other) noexcept {
    if (this != &other) {
      close();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  ~Sender() { close(); }

  /// Uses up this end. Refused with `unavailable` when the receiver is gone, or a value was sent already.
  [[nodiscard]] Result<void> send(T value) {
    if (!state_) return fail(ErrorKind::unavailable, "closed");
    auto state = std::move(state_);
    state_.reset();
    {
      Lock lock(state->mutex);
      if (state->receiver_gone) return fail(ErrorKind::unavailable, "closed");
      state->value.emplace(std::move(value));
      state->sender_gone = true;
    }
    state->changed.notify_all();
    return {};
  }

 private:
  void close() {
    if (!state_) return;
    {
      Lock lock(state_->mutex);
      state_->sender_gone = true;
    }
    state_->changed.notify_all();
    state_.reset();
  }
  std::shared_ptr<detail::State<T>> state_;
};

template <class T>
class Receiver {
 public:
  explicit Receiver(std::shared_ptr<detail::State<T>> state) : state_(std::move(state)) {}
  Receiver(Receiver&&) noexcept = default;
  Receiver& operator=(Receiver&& other) noexcept {
    if (this != &other) {
      close();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  ~Receiver() { close(); }

  /// Waits. Empty: the sender is gone without a value.
  [[nodiscard]] std::optional<T> recv() {
    if (!state_) return std::nullopt;
    Lock lock(state_->mutex);
    while (!state_->value && !state_->sender_gone) state_->changed.wait(state_->mutex);
    return take();
  }

  /// Waits at most `time`: `unavailable` when the sender is gone without a value, `timeout` when the time is up (the
  /// receiver may wait again).
  [[nodiscard]] Result<T> recv_for(std::chrono::nanoseconds time) {
    if (!state_) return fail(ErrorKind::unavailable, "closed");
    const auto until = std::chrono::steady_clock::now() + time;
    Lock lock(state_->mutex);
    while (!state_->value && !state_->sender_gone) {
      if (!state_->changed.wait_until(state_->mutex, until)) break;
    }
    if (state_->value) return std::move(*take());
    if (state_->sender_gone) return fail(ErrorKind::unavailable, "closed");
    return fail(ErrorKind::timeout, "timeout");
  }

  /// Does not wait. Empty: nothing yet, or never.
  [[nodiscard]] std::optional<T> try_recv() {
    if (!state_) return std::nullopt;
    Lock lock(state_->mutex);
    return take();
  }

 private:
  [[nodiscard]] std::optional<T> take() GANTRY_REQUIRES(state_->mutex) {
    std::optional<T> value(std::move(state_->value));
    state_->value.reset();
    return value;
  }
  void close() {
    if (!state_) return;
    std::optional<T> left;
    {
      Lock lock(state_->mutex);
      state_->receiver_gone = true;
      left.swap(state_->value);
    }
    state_.reset();
  }
  std::shared_ptr<detail::State<T>> state_;
};

template <class T>
struct Channel {
  Sender<T> reply;
  Receiver<T> answer;
};

template <class T>
[[nodiscard]] Channel<T> channel() {
  auto state = std::make_shared<detail::State<T>>();
  return Channel<T>{Sender<T>(state), Receiver<T>(state)};
}

}  // namespace gantry::oneshot
