// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/stream_peer.hpp"

namespace gantry::host {

void StreamPeer::close_socket() {
  if (!socket_.is_open()) return;
  gantry::detail::ClosedInForks::remove(fd_);
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void StreamPeer::after_write(Outbox::State state) {
  switch (state) {
    case Outbox::State::empty:
      return;
    case Outbox::State::gathered:
      flush_later(*Worker::current());
      return;
    case Outbox::State::waiting:
      if (output_scheduled_.exchange(true)) return;
      worker_.post([self = shared_from_this()] { self->wait_for_output(); });
      return;
    case Outbox::State::full:
      if (!full_.exchange(true)) full();
      [[fallthrough]];
    case Outbox::State::broken:
      worker_.post([self = shared_from_this()] { self->close(); });
  }
}

// Its own worker does not wait for another's: that one may be in a turn that takes its time.
void StreamPeer::flush_later(Worker& worker) {
  std::atomic<bool>& scheduled = &worker == &worker_ ? own_flush_scheduled_ : other_flush_scheduled_;
  if (scheduled.exchange(true)) return;
  worker.post([self = shared_from_this(), &scheduled] {
    scheduled = false;
    self->after_write(self->outbox_.flush());
    self->flushed();
  });
}

void StreamPeer::wait_for_output() {
  if (closed_) return;
  socket_.async_wait(Socket::wait_write, [self = shared_from_this()](const boost::system::error_code& failed) {
    self->output_scheduled_ = false;
    if (failed || self->closed_) return;
    self->after_write(self->outbox_.flush());
    self->has_room();
  });
}

}  // namespace gantry::host
