// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/child/wire.hpp: messages of gantry/abi.h as bytes, between the host and a plugin's
// process. Both ends are the same program on the same machine, so numbers cross in the machine's
// own byte order.
//
// Thread rule: values; a Decoder is used by one thread at a time.
// Descriptors travel beside the bytes, in the order of the frames that count them.
// Bounds: a frame of more than the Decoder's `max_frame` bytes, or one whose parts do not add up,
// breaks the stream.
#pragma once

#include <gantry/abi.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::host::wire {

/// Message kinds besides those of enum gantry_kind.
enum Kind : std::uint16_t {
  kStart = 0x8001,  ///< to the child. payload: what it is to load, and its configuration; status 1: epoch has what the
                    ///< instance before has given
  kStarted,         ///< status: 0, or the error's kind; payload: why not
  kStop,            ///< to the child. budget_ns; status 1: another instance comes next
  kGiveStream,      ///< id: a stream that the plugin gives away. From here on the host keeps messages for it,
  kGaveStream,      ///< to the child: and confirms this, behind the last message
  kUndelivered,     ///< id, payload: an item of such a stream that the plugin had not received; END: nor the end
  kStopped,         ///< status 1: all calls into the plugin have returned; credit 1: payload is the state that it gives
  kLog,             ///< status: enum gantry_level; payload: one line
  kEventOver,       ///< status: number of tries; payload: why the handler never took the event, or empty
  kEventsAsk,       ///< the plugin has events, and wants a turn
  kEventsGo,        ///< to the child: it may process events, until it sends
  kEventsOver,      ///< this message
  kEventsRetry,     ///< to the child: it may ask again
  kPing,            ///< to the child: answer with any message
  kPong,
  kHung,    ///< payload: the delivery that the plugin does not return from, and for how long
  kNoRoom,  ///< to the child. id: the caller of this stream does not read: its items are to wait
  kRoom,    ///< to the child. id: they need not any more
  kOrigin,  ///< to the child. origin; payload: the text of `gantry.origins/1` for it
};

[[nodiscard]] inline gantry_msg make(Kind kind) {
  gantry_msg msg{};
  msg.size = sizeof msg;
  msg.kind = kind;
  return msg;
}

/// The number of bytes that append() adds.
[[nodiscard]] std::size_t size_of(const gantry_msg& msg);
void append(std::string& out, const gantry_msg& msg, std::size_t descriptors);

/// A message, and the number of descriptors that belong to it.
struct Frame {
  gantry_msg msg;
  std::uint32_t descriptors;
};

class Decoder {
 public:
  explicit Decoder(std::size_t max_frame) : max_frame_(max_frame) {}

  /// Returns room for at least `size` bytes, which the caller fills before it calls commit().
  /// Invalidates messages.
  [[nodiscard]] char* prepare(std::size_t size);
  void commit(std::size_t size) { end_ += size; }
  /// The next message, which points into the buffer; empty: it is not complete yet, or the stream
  /// is broken.
  [[nodiscard]] std::optional<Frame> next();
  [[nodiscard]] bool broken() const { return broken_; }
  /// Frees a large buffer when it is empty.
  void release();

 private:
  const std::size_t max_frame_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool broken_ = false;
};

}  // namespace gantry::host::wire
