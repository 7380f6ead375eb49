// SPDX-License-Identifier: Apache-2.0
//
// gantry/channel/oneshot.hpp: one value, once, from one sender to one receiver.
//
//   auto [reply, answer] = gantry::oneshot::channel<Answer>();
//
// Thread rule: each end is move-only and used by one thread at a time; the two ends on any two
//   threads. send() never waits. Receiving comes as try_recv (never waits), recv (waits with the
//   thread, until a time or a token if given) and async_recv (`co_await`, with gantry/coro.hpp).
// Closed: a Sender that dies without sending closes the channel: the receiver sees the end. A
//   Receiver that dies makes send() refuse with `unavailable`; what was sent and not received is
//   destroyed by the end that goes last.
// Cancelled, timed out: nothing was received, and the receiver may wait again; a value that is
//   there counts first.
// Never: a value is delivered twice; a value that was accepted is lost while the receiver lives; a
//   wake-up is lost.
// How it works, and why its memory orders suffice: docs/threads.md, model: tests/model/.
#pragma once

#include <gantry/detail/completion.hpp>
#include <gantry/detail/pool.hpp>
#include <gantry/result.hpp>
#include <gantry/waiting.hpp>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace gantry::oneshot {

namespace detail {

using gantry::detail::SmallPool;

[[nodiscard]] inline std::unexpected<Error> closed() { return fail(ErrorKind::unavailable, "closed"); }

template <class T>
class Slot {
  static_assert(std::is_nothrow_move_constructible_v<T>, "a move that throws would leave the receiver without an end");
  static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__, "slots are not over-aligned");

 public:
  Slot() = default;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  static void* operator new(std::size_t size) { return SmallPool::allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { SmallPool::free(memory, size); }

  /// The sender's last access. False: nobody will receive the value.
  bool send(T&& value) {
    value_.emplace(std::move(value));
    return finish();
  }
  /// The sender's last access, when it sends no value.
  bool finish() {
    const bool wanted = completion.finish();
    if (!wanted) delete this;
    return wanted;
  }
  /// Only after completion.done().
  [[nodiscard]] std::optional<T> take() {
    std::optional<T> value(std::move(value_));
    value_.reset();
    return value;
  }
  void drop_receiver() {
    if (completion.leave()) delete this;
  }

  gantry::detail::Completion completion;

 private:
  ~Slot() = default;
  std::optional<T> value_;
};

template <class T, class R>
struct RecvOp {
  Slot<T>* slot;

  bool poll() { return slot == nullptr || slot->completion.done(); }
  bool start(Waiter& waiter) { return slot->completion.enter(waiter); }
  bool cancel() { return slot->completion.withdraw(); }
  R finish(WaitEnd end) {
    const bool done = slot != nullptr && slot->completion.done();
    if (slot != nullptr && !done) slot->completion.reset();
    if constexpr (std::is_same_v<R, std::optional<T>>) {
      return done ? slot->take() : std::nullopt;
    } else {
      if (done) {
        if (auto value = slot->take()) return std::move(*value);
        end = WaitEnd::complete;
      }
      return end == WaitEnd::complete ? closed() : wait_failed(end);
    }
  }
};

}  // namespace detail

template <class T>
class Sender {
 public:
  Sender(Sender&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  Sender& operator=(Sender&& other) noexcept {
    if (this != &other) {
      close();
      slot_ = std::exchange(other.slot_, nullptr);
    }
    return *this;
  }
  ~Sender() { close(); }

  /// Uses up this end; never waits. `unavailable`: the receiver is gone, or a value was sent
  /// already; the value is destroyed.
  Result<void> send(T value) {
    auto* const slot = std::exchange(slot_, nullptr);
    if (slot == nullptr || !slot->send(std::move(value))) return detail::closed();
    return {};
  }
  /// True: nobody will receive a value. False may be out of date: another thread may have dropped
  /// the receiver since.
  [[nodiscard]] bool closed() const { return slot_ == nullptr || slot_->completion.gone(); }

 private:
  template <class U>
  friend struct Channel;
  explicit Sender(detail::Slot<T>* slot) : slot_(slot) {}
  void close() {
    if (auto* const slot = std::exchange(slot_, nullptr)) (void)slot->finish();
  }
  detail::Slot<T>* slot_;
};

template <class T>
class Receiver {
 public:
  Receiver(Receiver&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  Receiver& operator=(Receiver&& other) noexcept {
    if (this != &other) {
      if (slot_ != nullptr) slot_->drop_receiver();
      slot_ = std::exchange(other.slot_, nullptr);
    }
    return *this;
  }
  ~Receiver() {
    if (slot_ != nullptr) slot_->drop_receiver();
  }

  /// Never waits. Empty: no value now, or never; done() tells which.
  [[nodiscard]] std::optional<T> try_recv() { return done() && slot_ != nullptr ? slot_->take() : std::nullopt; }
  /// True: the sender has sent a value or is gone.
  [[nodiscard]] bool done() const { return slot_ == nullptr || slot_->completion.done(); }

  /// Waits. Empty: the sender is gone without a value, or the value was received already.
  [[nodiscard]] std::optional<T> recv() { return block(detail::RecvOp<T, std::optional<T>>{slot_}); }
  /// Waits. `unavailable`: as empty above; `timeout`, `cancelled`: nothing was received so far.
  [[nodiscard]] Result<T> recv(const WaitLimits& limits) { return block(detail::RecvOp<T, Result<T>>{slot_}, limits); }
  [[nodiscard]] Result<T> recv_for(Duration time) { return recv({.until = time_after(time), .token = {}}); }
  /// For operations that are built upon this one (gantry/waiting.hpp).
  [[nodiscard]] detail::RecvOp<T, Result<T>> operation() { return {slot_}; }
  /// The awaited result is std::optional<T>, as from recv().
  [[nodiscard]] auto async_recv() { return Await<detail::RecvOp<T, std::optional<T>>>(CancelToken(), slot_); }
  /// The awaited result is Result<T>, as from recv(limits).
  [[nodiscard]] auto async_recv(CancelToken token) {
    return Await<detail::RecvOp<T, Result<T>>>(std::move(token), slot_);
  }

 private:
  template <class U>
  friend struct Channel;
  explicit Receiver(detail::Slot<T>* slot) : slot_(slot) {}
  detail::Slot<T>* slot_;
};

template <class T>
struct Channel {
  Sender<T> reply;
  Receiver<T> answer;

  [[nodiscard]] static Channel make() {
    auto* const slot = new detail::Slot<T>;
    return Channel{Sender<T>(slot), Receiver<T>(slot)};
  }
};

template <class T>
[[nodiscard]] Channel<T> channel() {
  return Channel<T>::make();
}

}  // namespace gantry::oneshot
