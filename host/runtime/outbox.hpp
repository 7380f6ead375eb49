// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/outbox.hpp: what a connection has yet to write.
//
// On a worker what is written gathers until that worker flushes (When::later); any other thread writes at once. What
// the socket does not take stays here, in order, until the connection's worker sees it writable.
//
// Thread rule: any thread; never blocks.
// Full: put() refuses beyond `max_bytes`; the connection is then closed by its owner.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <gantry/framing.hpp>
#include <gantry/mutex.hpp>
#include <string>
#include <string_view>

namespace gantry::host {

class Outbox {
 public:
  /// So much gathers at most while it is corked, or there is time.
  static constexpr std::size_t kCorkedBytes = 256 * 1024;

  /// `gathered`: somebody must call flush() soon. `waiting`: somebody must when the socket is writable.
  enum class State { empty, gathered, waiting, broken, full };
  enum class When { now, later };

  Outbox(int socket, std::size_t max_bytes) : socket_(socket), max_bytes_(max_bytes) {}

  /// Frames and queues `message`, and writes, unless it is corked or there is time.
  [[nodiscard]] State put(Framing framing, std::string_view message, When when) {
    return put(message.size(), [&](std::string& out) { append_frame(out, framing, message); }, when);
  }
  /// The same of what `append` adds to a string: about `size` bytes.
  template <class F>
  [[nodiscard]] State put(std::size_t size, F&& append, When when) {
    Lock lock(mutex_);
    if (broken_) return State::broken;
    if (pending_.size() - sent_ + size > max_bytes_) {
      if (const State state = write(); state == State::broken) return state;
      if (pending_.size() - sent_ + size > max_bytes_) return State::full;
    }
    append(pending_);
    if (pending_.size() - sent_ >= kCorkedBytes) return write();
    if (corked_) return State::empty;
    return when == When::later ? State::gathered : write();
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
  [[nodiscard]] std::size_t size() const {
    Lock lock(mutex_);
    return pending_.size() - sent_;
  }
  /// The socket is about to be closed: nothing is written any more.
  void close() {
    Lock lock(mutex_);
    broken_ = true;
    std::string().swap(pending_);
    sent_ = 0;
  }

 private:
  [[nodiscard]] State write() GANTRY_REQUIRES(mutex_) {
    if (broken_) return State::broken;
    while (sent_ < pending_.size()) {
      const ssize_t wrote =
          ::send(socket_, pending_.data() + sent_, pending_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (wrote < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return State::waiting;
        broken_ = true;
        return State::broken;
      }
      sent_ += static_cast<std::size_t>(wrote);
      compact();
    }
    return State::empty;
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
  std::size_t sent_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool corked_ GANTRY_GUARDED_BY(mutex_) = false;
  bool broken_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
