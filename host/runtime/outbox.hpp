// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/outbox.hpp: the bytes that a connection has yet to write.
//
// On a worker messages gather until that worker flushes (When::later); any other thread writes at
// once. Bytes that the socket does not take stay here, in order, until the connection's worker sees
// it writable.
//
// Thread rule: any thread; never blocks.
// Full: put() refuses beyond `max_bytes`, or kMaxDescriptors unsent descriptors; the owner then
// closes the connection.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <gantry/descriptor.hpp>
#include <gantry/framing.hpp>
#include <gantry/mutex.hpp>
#include <initializer_list>
#include <string>
#include <string_view>

namespace gantry::host {

class Outbox {
 public:
  /// The number of bytes that gather at most before they are written.
  static constexpr std::size_t kCorkedBytes = 256 * 1024;

  /// The kernel's limit for one write.
  static constexpr std::size_t kMaxDescriptors = 253;

  /// `gathered`: the caller must see that flush() is called soon. `waiting`: flush() must be called
  /// when the socket is writable.
  enum class State { empty, gathered, waiting, broken, full };
  enum class When { now, later };

  Outbox(int socket, std::size_t max_bytes) : socket_(socket), max_bytes_(max_bytes) {}

  /// Frames and queues the message that consists of these parts. Writes it, unless the outbox is
  /// corked or `when` is `later`.
  [[nodiscard]] State put(Framing framing, std::initializer_list<std::string_view> parts, When when) {
    std::size_t size = 0;
    for (const auto part : parts) size += part.size();
    return put(size, [&](std::string& out) { append_frame(out, framing, parts); }, when);
  }
  [[nodiscard]] State put(Framing framing, std::string_view message, When when) {
    return put(framing, {message}, when);
  }
  /// As above, for the bytes that `append` adds to a string, about `size` of them. The descriptors
  /// leave with the first byte that waits, so before the end of the message or with it.
  template <class F>
  [[nodiscard]] State put(std::size_t size, F&& append, When when, Descriptors descriptors = {}) {
    Lock lock(mutex_);
    if (broken_) return State::broken;
    if (!fits(size, descriptors.size())) {
      if (const State state = write(); state == State::broken) return state;
      if (!fits(size, descriptors.size())) return State::full;
    }
    append(pending_);
    for (auto& descriptor : descriptors) descriptors_.push_back(std::move(descriptor));
    const bool full = pending_.size() - sent_ >= kCorkedBytes;
    if (full || (!corked_ && when == When::now)) return write();
    count_waiting();
    return corked_ ? State::empty : State::gathered;
  }
  /// While corked, messages gather; uncork() writes them in one go.
  void cork() {
    Lock lock(mutex_);
    corked_ = true;
  }
  [[nodiscard]] State uncork() {
    Lock lock(mutex_);
    corked_ = false;
    return write();
  }
  [[nodiscard]] State flush() {
    Lock lock(mutex_);
    return write();
  }
  /// The number of bytes that wait: queued, and not yet sent. Bytes that another thread is about to write do not count:
  /// who waits for room because of them would wait for ever, since nobody tells that they have left.
  [[nodiscard]] std::size_t size() const { return waiting_.load(std::memory_order_acquire); }
  /// The socket is about to be closed: nothing is written any more.
  void close() {
    Lock lock(mutex_);
    broken_ = true;
    std::string().swap(pending_);
    descriptors_.clear();
    sent_ = 0;
    count_waiting();
  }

 private:
  [[nodiscard]] bool fits(std::size_t size, std::size_t descriptors) const GANTRY_REQUIRES(mutex_) {
    return pending_.size() - sent_ + size <= max_bytes_ && descriptors_.size() + descriptors <= kMaxDescriptors;
  }
  [[nodiscard]] State write() GANTRY_REQUIRES(mutex_) {
    const State state = send_all();
    count_waiting();
    return state;
  }
  [[nodiscard]] State send_all() GANTRY_REQUIRES(mutex_) {
    if (broken_) return State::broken;
    while (sent_ < pending_.size()) {
      const ssize_t wrote = descriptors_.empty() ? ::send(socket_, pending_.data() + sent_, pending_.size() - sent_,
                                                          MSG_DONTWAIT | MSG_NOSIGNAL)
                                                 : send_with_descriptors();
      if (wrote < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return State::waiting;
        broken_ = true;
        return State::broken;
      }
      sent_ += static_cast<std::size_t>(wrote);
      descriptors_.clear();
      compact();
    }
    return State::empty;
  }
  void count_waiting() GANTRY_REQUIRES(mutex_) { waiting_.store(pending_.size() - sent_, std::memory_order_release); }
  [[nodiscard]] ssize_t send_with_descriptors() GANTRY_REQUIRES(mutex_) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
    std::array<int, kMaxDescriptors> fds{};
    for (std::size_t i = 0; i < descriptors_.size(); ++i) fds[i] = descriptors_[i].get();
    iovec bytes{pending_.data() + sent_, pending_.size() - sent_};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors_.size() * sizeof(int));
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(descriptors_.size() * sizeof(int));
    std::memcpy(CMSG_DATA(head), fds.data(), descriptors_.size() * sizeof(int));
    return ::sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  void compact() GANTRY_REQUIRES(mutex_) {
    constexpr std::size_t kKeep = 64 * 1024;
    if (sent_ == pending_.size()) {
      pending_.clear();
      sent_ = 0;
      if (pending_.capacity() > kKeep) std::string().swap(pending_);
    } else if (sent_ > kKeep && sent_ > pending_.size() / 2) {
      pending_.erase(0, sent_);
      sent_ = 0;
    }
  }

  const int socket_;
  const std::size_t max_bytes_;
  mutable Mutex mutex_;
  std::string pending_ GANTRY_GUARDED_BY(mutex_);
  Descriptors descriptors_ GANTRY_GUARDED_BY(mutex_);  ///< not yet sent
  std::size_t sent_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::atomic<std::size_t> waiting_{0};  ///< changed under mutex_, as the last act before the lock is let go
  bool corked_ GANTRY_GUARDED_BY(mutex_) = false;
  bool broken_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
