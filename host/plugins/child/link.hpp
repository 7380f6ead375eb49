// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/child/link.hpp: one end of the socket between the host and a plugin's process.
//
// Thread rule: send(), close_soon() and waiting() from any thread; start() once. Messages that come
// in are passed on on the link's worker, one at a time; so is the end, once, after which nothing is
// passed on.
// Full: send() refuses beyond kMaxOutbound bytes, and the link ends.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "host/plugins/child/wire.hpp"
#include "host/runtime/stream_peer.hpp"

namespace gantry::host {

class Link final : public StreamPeer {
 public:
  static constexpr std::size_t kMaxOutbound = std::size_t{64} << 20;
  using Receive = std::function<void(const gantry_msg&, Descriptors)>;
  /// `why`: "the other end has closed it", or what was wrong with the bytes that came.
  using Ended = std::function<void(const std::string& why)>;

  /// `fd`: a connected Unix stream socket, owned by the link from here on.
  Link(Worker& worker, int fd, std::size_t max_payload, Receive receive, Ended ended);

  void start();
  /// False: the link has ended, or is full.
  bool send(const gantry_msg& msg, Descriptors descriptors = {});
  /// The number of bytes that wait to be written.
  [[nodiscard]] std::size_t waiting() const { return outbox_.size(); }
  /// Blocks until all bytes are written; must not be called on a worker. False: `until` has passed,
  /// or the link has ended.
  bool write_out(std::chrono::steady_clock::time_point until);
  /// Tries once more to write the bytes that wait, then closes.
  void close_soon();
  /// Worker. No process writes at the other end any more, though it may be open still: bytes that
  /// have come are passed on, then the link ends.
  void finish(const std::string& why);
  void close() override { end("it was closed"); }

 private:
  void has_room() override {}
  void full() override {}
  void wait_for_input();
  void read();
  /// Returns the result of recv(); descriptors that came are kept for their frames.
  [[nodiscard]] ssize_t receive_bytes(char* into, std::size_t size);
  [[nodiscard]] bool receive_frames();
  /// Reads frames once from the socket. False: the socket is empty now, or the link has ended.
  [[nodiscard]] bool read_once();
  void end(const std::string& why);
  [[nodiscard]] std::shared_ptr<Link> self() { return std::static_pointer_cast<Link>(shared_from_this()); }

  Receive receive_;
  Ended ended_;
  wire::Decoder decoder_;
  std::deque<Descriptor> arrived_;  ///< descriptors whose frames have not come yet
};

}  // namespace gantry::host
