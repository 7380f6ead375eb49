// SPDX-License-Identifier: Apache-2.0
//
// host/doors/rpc/connection.hpp: a client's socket: what it sends is cut into messages for its session, what the
// session writes goes out.
//
// A Connection lives on its worker. What a worker writes, this one or another, is gathered and leaves when that worker
// comes to flush it, behind what it has queued already: so the answers to calls that were read together leave together.
// What arrives from other threads is a write into its Outbox, which the outbox does itself, and a wish for attention
// (events to deliver, the socket to be watched for room, the end of the last call), which is posted to the worker, at
// most one post of each kind at a time.
//
// Thread rule: start(), close() and what the socket says on its worker; write(), schedule_events(), writable() and
// call_ended() from any thread.
// Full: who does not read is not read from, and gets no events, while kBusyBytes wait; beyond max_outbound_bytes the
// connection is closed.
#pragma once

#include <atomic>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include <gantry/framing.hpp>
#include "host/doors/rpc/outbox.hpp"
#include "host/doors/rpc/session.hpp"
#include "host/observe/log.hpp"
#include "host/runtime/worker.hpp"

namespace gantry::host {

struct ConnectionLimits {
  std::size_t max_message_bytes;
  std::size_t max_outbound_bytes;
};

class Connection final : public SessionWire, public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;
  /// Called on its worker, once.
  using Ended = std::function<void(const std::shared_ptr<Connection>&)>;

  Connection(Worker& worker, Socket socket, ConnectionLimits limits, Log& log, Ended ended);

  void start(SessionDeps& deps, EnvelopeParser& parser);
  [[nodiscard]] OriginId origin() const { return session_->origin(); }

  void write(std::string text) override;
  void schedule_events() override;
  [[nodiscard]] bool writable() const override;
  void call_ended() override;

  /// What is still unwritten is tried once more.
  void close();

 private:
  void wait_for_input();
  template <class F>
  auto or_close(F&& body);
  void read();
  /// False: the client has closed its side.
  [[nodiscard]] bool read_some();
  /// False: the connection is closed.
  [[nodiscard]] bool take_messages();
  void end_of_input();
  void end_if_done();
  /// Any thread.
  void after_write(Outbox::State state);
  void flush_later(Worker& worker);
  void wait_for_output();
  void deliver_events();

  Worker& worker_;
  Socket socket_;
  const int fd_;
  const ConnectionLimits limits_;
  Log& log_;
  const Ended ended_;
  FrameDecoder decoder_;
  Outbox outbox_;
  std::shared_ptr<RpcSession> session_;
  std::atomic<Framing> framing_{Framing::lines};
  std::atomic<bool> events_scheduled_{false};
  std::atomic<bool> own_flush_scheduled_{false};
  std::atomic<bool> other_flush_scheduled_{false};
  std::atomic<bool> output_scheduled_{false};
  std::atomic<bool> half_closed_{false};
  std::atomic<bool> full_{false};
  bool waiting_for_input_ = false;
  bool paused_ = false;
  bool closed_ = false;
};

}  // namespace gantry::host
