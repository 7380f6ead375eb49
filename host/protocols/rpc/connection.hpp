// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/connection.hpp: the socket of a client: cuts the incoming bytes into messages
// for the session, and writes the session's messages.
//
// StreamPeer does the writing. Other requests from other threads (events to deliver, the end of the
// last call) are posted to the worker, at most one post of each kind at a time.
//
// Thread rule: start(), close() and the socket's callbacks on its worker; write(),
// schedule_events(), writable() and call_ended() from any thread.
// Full: while kBusyBytes wait for a client that does not read, the connection does not read from
// it, and sends no events nor items of streams; beyond max_outbound_bytes the connection is closed.
// An unfinished large message is skipped with `overloaded` while the unfinished messages of all
// connections hold too much.
#pragma once

#include <atomic>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include <gantry/framing.hpp>
#include "host/observe/log.hpp"
#include "host/protocols/rpc/session.hpp"
#include "host/runtime/stream_peer.hpp"

namespace gantry::host {

/// The bytes of unfinished messages on all connections. Any thread.
struct UnfinishedBytes {
  explicit UnfinishedBytes(std::size_t limit) : most(limit) {}
  const std::size_t most;
  std::atomic<std::size_t> held{0};
};

struct ConnectionLimits {
  std::size_t max_message_bytes;
  std::size_t max_outbound_bytes;
  std::shared_ptr<UnfinishedBytes> unfinished;
};

class Connection final : public SessionWire, public StreamPeer {
 public:
  /// Called on the worker, once.
  using Ended = std::function<void(const std::shared_ptr<Connection>&)>;

  Connection(Worker& worker, Socket socket, const ConnectionLimits& limits, Log& log, Ended ended);

  void start(SessionDeps& deps, RpcWorker& worker);
  [[nodiscard]] OriginId origin() const { return session_->origin(); }

  void write(std::initializer_list<std::string_view> parts) override;
  void schedule_events() override;
  [[nodiscard]] bool writable() const override;
  void call_ended() override;

  void close() override;

 private:
  void wait_for_input();
  template <class F>
  auto or_close(F&& body);
  void read();
  /// False: the client has closed its side.
  [[nodiscard]] bool read_some();
  /// False: the connection is closed.
  [[nodiscard]] bool take_messages();
  void weigh_unfinished();
  void end_of_input();
  void end_if_done();
  void has_room() override;
  void flushed() override { call_ended(); }
  void full() override;
  void deliver_events();
  [[nodiscard]] std::shared_ptr<Connection> self() { return std::static_pointer_cast<Connection>(shared_from_this()); }

  const ConnectionLimits limits_;
  Log& log_;
  const Ended ended_;
  FrameDecoder decoder_;
  std::shared_ptr<RpcSession> session_;
  std::atomic<Framing> framing_{Framing::lines};
  std::atomic<bool> events_scheduled_{false};
  std::atomic<bool> half_closed_{false};
  bool waiting_for_input_ = false;
  bool paused_ = false;
  std::size_t unfinished_ = 0;  ///< the share of this connection in the bytes of all
};

}  // namespace gantry::host
