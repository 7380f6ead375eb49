// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/connection.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "host/runtime/json_text.hpp"

namespace gantry::host {

namespace {
constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kReadsATurn = 8;
// Above this much unwritten output no events are taken from subscriptions and nothing is read.
constexpr std::size_t kBusyBytes = 256 * 1024;
// What every connection may hold of a message that has not come to its end.
constexpr std::size_t kSmallMessage = 256 * 1024;
}  // namespace

Connection::Connection(Worker& worker, Socket socket, const ConnectionLimits& limits, Log& log, Ended ended)
    : StreamPeer(worker, std::move(socket), limits.max_outbound_bytes),
      limits_(limits),
      log_(log),
      ended_(std::move(ended)),
      decoder_(limits.max_message_bytes) {}

void Connection::start(SessionDeps& deps, RpcWorker& worker) {
  session_ = std::make_shared<RpcSession>(deps, self(), worker);
  wait_for_input();
}

void Connection::write(std::initializer_list<std::string_view> parts) {
  const Framing framing = framing_.load(std::memory_order_relaxed);
  const auto has_newline = [](std::string_view part) { return part.find('\n') != std::string_view::npos; };
  if (framing == Framing::lines && std::ranges::any_of(parts, has_newline)) {
    std::string text;
    for (const auto part : parts) text += part;
    after_write(outbox_.put(framing, minify_json(text), when()));
  } else {
    after_write(outbox_.put(framing, parts, when()));
  }
}

void Connection::schedule_events() {
  if (events_scheduled_.exchange(true)) return;
  worker_.post([self = self()] {
    self->events_scheduled_ = false;
    self->deliver_events();
  });
}

bool Connection::writable() const { return outbox_.size() < kBusyBytes; }

void Connection::call_ended() {
  if (!half_closed_.load(std::memory_order_relaxed)) return;
  worker_.post([self = self()] { self->end_if_done(); });
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  (void)outbox_.flush();
  outbox_.close();
  limits_.unfinished->held -= std::exchange(unfinished_, 0);
  close_socket();
  session_->closed();
  ended_(self());
}

void Connection::wait_for_input() {
  if (closed_ || half_closed_ || waiting_for_input_) return;
  waiting_for_input_ = true;
  socket_.async_wait(Socket::wait_read, [self = self()](const boost::system::error_code& failed) {
    self->waiting_for_input_ = false;
    if (failed || self->closed_) return;
    self->read();
  });
}

// An exception is a bug of the host; this connection does not survive it, the others do.
template <class F>
auto Connection::or_close(F&& body) {
  try {
    return body();
  } catch (...) {
    close();
    throw;
  }
}

// What is written meanwhile on this worker is gathered, and leaves when the worker comes to it.
void Connection::read() {
  const bool alive = or_close([this] { return read_some(); });
  if (closed_) return;
  decoder_.release();
  weigh_unfinished();
  if (!alive) {
    end_of_input();
  } else if (writable()) {
    wait_for_input();
  } else {
    paused_ = true;  // who does not read is not read from
  }
}

bool Connection::read_some() {
  for (std::size_t turn = 0; turn < kReadsATurn; ++turn) {
    const ssize_t got = ::recv(fd_, decoder_.prepare(kReadBytes), kReadBytes, MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    if (got == 0) return false;
    decoder_.commit(static_cast<std::size_t>(got));
    if (!take_messages()) return true;
    if (static_cast<std::size_t>(got) < kReadBytes || !writable()) return true;
  }
  return true;
}

bool Connection::take_messages() {
  while (!closed_) {
    std::string_view message;
    const auto status = decoder_.next(message);
    framing_.store(decoder_.framing() == Framing::unknown ? Framing::lines : decoder_.framing(),
                   std::memory_order_relaxed);
    switch (status) {
      case FrameDecoder::Status::need_more:
        return true;
      case FrameDecoder::Status::message:
        session_->receive(message);
        break;
      case FrameDecoder::Status::too_large:
        session_->refuse(Error{ErrorKind::too_large,
                               "a message is larger than max_message_bytes (" +
                                   std::to_string(limits_.max_message_bytes) + " bytes); it was skipped",
                               {}});
        break;
      case FrameDecoder::Status::broken:
        session_->refuse(Error{ErrorKind::parse_error, decoder_.error() + "; the connection is closed", {}});
        close();
        return false;
    }
  }
  return false;
}

// Who begins large messages on many connections and ends none would else make the host hold all of them. The client is
// told and may send its message again; the connection lives on.
void Connection::weigh_unfinished() {
  auto& all = *limits_.unfinished;
  const auto weigh = [&] {
    const std::size_t now = decoder_.allocated() > kSmallMessage ? decoder_.allocated() : 0;
    const std::size_t before = std::exchange(unfinished_, now);
    return all.held += now - before;
  };
  const std::size_t before = unfinished_;
  if (weigh() <= all.most || unfinished_ <= before || !decoder_.abandon()) return;
  decoder_.release();
  (void)weigh();
  session_->refuse(Error{ErrorKind::overloaded,
                         "unfinished messages of the host's clients hold " + std::to_string(all.most) +
                             " bytes already; this one was skipped: send it again",
                         R"({"retry_after_ms":1000})"});
}

// The client may still want its answers (`printf ... | nc -U`): it is served until the last one, unless it is gone.
void Connection::end_of_input() {
  pollfd state{fd_, 0, 0};
  (void)::poll(&state, 1, 0);
  if ((state.revents & (POLLHUP | POLLERR)) != 0) {
    close();
    return;
  }
  half_closed_ = true;
  end_if_done();
  if (closed_) return;
  socket_.async_wait(Socket::wait_error, [self = self()](const boost::system::error_code& failed) {
    if (!failed) self->close();
  });
}

void Connection::end_if_done() {
  if (!closed_ && half_closed_ && session_->calls_in_flight() == 0 && outbox_.size() == 0) close();
}

void Connection::full() {
  log_.write(Level::warn, "rpc", "a client does not read: its outbox is full, the connection is closed");
}

void Connection::has_room() {
  if (!writable()) return;
  deliver_events();
  if (closed_) return;
  session_->has_room();
  if (std::exchange(paused_, false)) read();
  end_if_done();
}

void Connection::deliver_events() {
  if (closed_) return;
  outbox_.cork();
  const bool more = or_close([this] { return session_->deliver_events(); });
  const auto state = outbox_.uncork();
  after_write(state);
  // Nobody will say that there is room again when the socket has taken it all.
  if (more && state == Outbox::State::empty) schedule_events();
}

}  // namespace gantry::host
