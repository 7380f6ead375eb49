// SPDX-License-Identifier: Apache-2.0
//
// gantry/channel/mpsc.hpp: a bounded channel from many senders to one receiver.
//
//   auto [tx, rx] = gantry::mpsc::channel<Command>(64);
//
// Thread rule: Sender is copyable and each copy may be used from any thread; Receiver is move-only and used by
//   one thread at a time.
// Order: first in, first out, over all senders in the order in which their sends succeeded.
// Full: try_send refuses with `overloaded`, send waits; waiting senders are served in the order of their arrival.
// Closed: when the last Sender is gone or closed, recv drains what was accepted and then returns empty. When the
//   Receiver is gone or closed, sends refuse with `unavailable` and what lies in the channel is destroyed.
// Never: a value that was refused is moved from; a value that was accepted is lost while the receiver lives.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace gantry::mpsc {

namespace detail {

template <class T>
struct State {
  explicit State(std::size_t capacity) : capacity(capacity == 0 ? 1 : capacity) {}

  const std::size_t capacity;
  Mutex mutex;
  CondVar readable;
  CondVar writable;
  std::deque<T> queue GANTRY_GUARDED_BY(mutex);
  std::size_t senders GANTRY_GUARDED_BY(mutex) = 0;
  bool receiver_gone GANTRY_GUARDED_BY(mutex) = false;
  // Waiting senders take a number; the one whose number is served may fill the free place.
  std::uint64_t next_ticket GANTRY_GUARDED_BY(mutex) = 0;
  std::uint64_t serving GANTRY_GUARDED_BY(mutex) = 0;
};

[[nodiscard]] inline std::unexpected<Error> full() { return fail(ErrorKind::overloaded, "full"); }
[[nodiscard]] inline std::unexpected<Error> closed() { return fail(ErrorKind::unavailable, "closed"); }

}  // namespace detail

template <class T>
class Sender {
 public:
  explicit Sender(std::shared_ptr<detail::State<T>> state) : state_(std::move(state)) { join(); }
  Sender(const Sender& other) : state_(other.state_) { join(); }
  Sender(Sender&& other) noexcept : state_(std::move(other.state_)) {}
  Sender& operator=(Sender other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Sender() { close(); }

  /// Never waits. On failure `value` is untouched.
  [[nodiscard]] Result<void> try_send(T&& value) {
    if (!state_) return detail::closed();
    {
      Lock lock(state_->mutex);
      if (state_->receiver_gone) return detail::closed();
      // Those who wait came first.
      if (state_->queue.size() >= state_->capacity || state_->serving != state_->next_ticket) return detail::full();
      state_->queue.push_back(std::move(value));
    }
    state_->readable.notify_one();
    return {};
  }
  [[nodiscard]] Result<void> try_send(const T& value) { return try_send(T(value)); }

  /// Waits while the channel is full. On failure (`unavailable`) `value` is untouched.
  [[nodiscard]] Result<void> send(T value) {
    if (!state_) return detail::closed();
    auto& s = *state_;
    {
      Lock lock(s.mutex);
      const std::uint64_t ticket = s.next_ticket++;
      while (!s.receiver_gone && (s.serving != ticket || s.queue.size() >= s.capacity)) s.writable.wait(s.mutex);
      // When the receiver is gone nobody is served any more; order no longer matters.
      if (s.receiver_gone) return detail::closed();
      ++s.serving;
      s.queue.push_back(std::move(value));
    }
    s.readable.notify_one();
    s.writable.notify_all();
    return {};
  }

  /// This sender sends no more. When it was the last one, the receiver drains and then sees the end.
  void close() {
    if (!state_) return;
    auto state = std::move(state_);
    state_.reset();
    bool last = false;
    {
      Lock lock(state->mutex);
      last = --state->senders == 0;
    }
    if (last) state->readable.notify_all();
  }

 private:
  void join() {
    if (!state_) return;
    Lock lock(state_->mutex);
    ++state_->senders;
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

  /// Empty when there is nothing now; ask `drained()` whether there ever will be.
  [[nodiscard]] std::optional<T> try_recv() {
    if (!state_) return std::nullopt;
    std::optional<T> value;
    {
      Lock lock(state_->mutex);
      value = take();
    }
    if (value) state_->writable.notify_all();
    return value;
  }

  /// Waits. Empty: closed and drained.
  [[nodiscard]] std::optional<T> recv() {
    if (!state_) return std::nullopt;
    std::optional<T> value;
    {
      Lock lock(state_->mutex);
      while (state_->queue.empty() && state_->senders != 0) state_->readable.wait(state_->mutex);
      value = take();
    }
    if (value) state_->writable.notify_all();
    return value;
  }

  /// Waits at most `time`. Empty: nothing came, or closed and drained.
  [[nodiscard]] std::optional<T> recv_for(std::chrono::nanoseconds time) {
    if (!state_) return std::nullopt;
    const auto until = std::chrono::steady_clock::now() + time;
    std::optional<T> value;
    {
      Lock lock(state_->mutex);
      while (state_->queue.empty() && state_->senders != 0) {
        if (!state_->readable.wait_until(state_->mutex, until)) break;
      }
      value = take();
    }
    if (value) state_->writable.notify_all();
    return value;
  }

  /// Every sender is gone and nothing is left.
  [[nodiscard]] bool drained() const {
    if (!state_) return true;
    Lock lock(state_->mutex);
    return state_->queue.empty() && state_->senders == 0;
  }

  /// Refuses further sends, wakes waiting senders and destroys what is left, outside the lock.
  void close() {
    if (!state_) return;
    auto state = std::move(state_);
    state_.reset();
    std::deque<T> left;
    {
      Lock lock(state->mutex);
      state->receiver_gone = true;
      left.swap(state->queue);
    }
    state->writable.notify_all();
  }

 private:
  [[nodiscard]] std::optional<T> take() GANTRY_REQUIRES(state_->mutex) {
    if (state_->queue.empty()) return std::nullopt;
    std::optional<T> value(std::move(state_->queue.front()));
    state_->queue.pop_front();
    return value;
  }
  std::shared_ptr<detail::State<T>> state_;
};

template <class T>
struct Channel {
  Sender<T> tx;
  Receiver<T> rx;
};

/// A channel that holds at most `capacity` values (at least 1).
template <class T>
[[nodiscard]] Channel<T> channel(std::size_t capacity) {
  auto state = std::make_shared<detail::State<T>>(capacity);
  return Channel<T>{Sender<T>(state), Receiver<T>(state)};
}

}  // namespace gantry::mpsc
