// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/stream_peer.hpp: the writing half of a connection on a Unix stream socket, to a
// client or to a plugin's process.
//
// A peer lives on its worker. Messages that any worker writes gather, and leave when that worker
// flushes, behind the work that it has queued already: so the answers to calls that were read
// together leave together. Other threads write into the Outbox, which sends at once, and post a
// request for attention (to watch the socket for room) to the peer's worker, at most one post of
// each kind at a time.
//
// Thread rule: the outbox, when() and after_write() from any thread; the rest on its worker, but
// for flushed().
// Full: beyond `max_outbound` the outbox refuses, full() is called, and the peer is closed.
#pragma once

#include <atomic>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstddef>
#include <gantry/detail/closed_in_forks.hpp>
#include <memory>

#include "host/runtime/outbox.hpp"
#include "host/runtime/worker.hpp"

namespace gantry::host {

class StreamPeer : public std::enable_shared_from_this<StreamPeer> {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;
  StreamPeer(const StreamPeer&) = delete;
  StreamPeer& operator=(const StreamPeer&) = delete;
  virtual ~StreamPeer() { close_socket(); }

  /// Worker. Tries once more to write the bytes that wait, then closes.
  virtual void close() = 0;

 protected:
  StreamPeer(Worker& worker, Socket socket, std::size_t max_outbound)
      : worker_(worker), socket_(std::move(socket)), fd_(socket_.native_handle()), outbox_(fd_, max_outbound) {
    gantry::detail::ClosedInForks::add(fd_);
  }

  /// On the worker: the socket took more of the bytes that waited.
  virtual void has_room() = 0;
  /// Some worker has flushed this peer.
  virtual void flushed() {}
  /// Called once: the other end does not read; the peer is about to be closed.
  virtual void full() = 0;

  // Any thread.
  [[nodiscard]] static Outbox::When when() {
    return Worker::current() != nullptr ? Outbox::When::later : Outbox::When::now;
  }
  void after_write(Outbox::State state);
  void close_socket();

  Worker& worker_;
  Socket socket_;
  const int fd_;
  Outbox outbox_;
  bool closed_ = false;

 private:
  void flush_later(Worker& worker);
  void wait_for_output();

  std::atomic<bool> own_flush_scheduled_{false};
  std::atomic<bool> other_flush_scheduled_{false};
  std::atomic<bool> output_scheduled_{false};
  std::atomic<bool> full_{false};
};

}  // namespace gantry::host
