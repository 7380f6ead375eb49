// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/child/wire.hpp: messages of gantry/abi.h as bytes, between the host and a plugin's
// process. Both ends are the same program on the same machine, so numbers cross as they lie in
// memory.
//
// Thread rule: values; a Decoder is used by one thread at a time.
// Descriptors travel beside the bytes, in the order of the frames that count them.
// Bounds: a frame of more than the Decoder's `max_frame` bytes, or one whose parts do not add up, breaks the stream.
#pragma once

#include <gantry/abi.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::host::wire {

/// Beyond those of enum gantry_kind.
enum Kind : std::uint16_t {
  kStart = 0x8001,  ///< to the child. payload: what it is to load, and its configuration; status 1: epoch has what the
                    ///< instance before has given
  kStarted,         ///< status: 0, or the error's kind; payload: why not
  kStop,            ///< to the child. budget_ns; status 1: another instance comes next
  kGiveStream,      ///< id: a stream that it gives to the next one. From here on the host keeps what comes for it,
  kGaveStream,      ///< to the child: and says so, behind the last that was sent
  kUndelivered,     ///< id, payload: an item of such a stream that its plugin was not given; END: nor its end
  kStopped,         ///< status 1: everything of it has returned; credit 1: payload has what it gives to the next one
  kLog,             ///< status: enum gantry_level; payload: one line
  kEventOver,       ///< status: how often it was tried; payload: why its handler never took it, or empty
  kEventsAsk,       ///< the plugin's turn has come, and it has events
  kEventsGo,        ///< to the child: it may process them, until it says
  kEventsOver,      ///< that it is done
  kEventsRetry,     ///< to the child: it may ask again
  kPing,            ///< to the child: is anybody there?
  kPong,
  kHung,    ///< payload: what its plugin does not return from, and for how long
  kOrigin,  ///< to the child. origin; payload: what `gantry.origins/1` says of it
};

[[nodiscard]] inline gantry_msg make(Kind kind) {
  gantry_msg msg{};
  msg.size = sizeof msg;
  msg.kind = kind;
  return msg;
}

/// How many bytes append() adds.
[[nodiscard]] std::size_t size_of(const gantry_msg& msg);
void append(std::string& out, const gantry_msg& msg, std::size_t descriptors);

/// A message, and how many descriptors belong to it.
struct Frame {
  gantry_msg msg;
  std::uint32_t descriptors;
};

class Decoder {
 public:
  explicit Decoder(std::size_t max_frame) : max_frame_(max_frame) {}

  /// Room for at least `size` bytes, to be filled by the caller; then commit(). Invalidates messages.
  [[nodiscard]] char* prepare(std::size_t size);
  void commit(std::size_t size) { end_ += size; }
  /// The next message, which lies in the buffer; empty: there is not all of one yet, or the stream is broken.
  [[nodiscard]] std::optional<Frame> next();
  [[nodiscard]] bool broken() const { return broken_; }
  /// Gives back a large buffer when it is empty.
  void release();

 private:
  const std::size_t max_frame_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool broken_ = false;
};

}  // namespace gantry::host::wire
