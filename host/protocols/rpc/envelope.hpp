// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/envelope.hpp: reads the envelope of a JSON-RPC 2.0 message, and builds the
// texts of responses.
//
// The whole text is validated (well-formed, UTF-8, depth), skipped parts included; params are not
// rebuilt but passed on as the bytes that came.
//
// Thread rule: a parser is used by one thread at a time; the functions for responses by any. Views
// point into the text and live as long as it does.
#pragma once

#include <cstdint>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

struct RpcMeta {
  std::optional<std::uint32_t> stream_credit;
  std::optional<std::int64_t> timeout_ms;
  std::string traceparent;
  std::string idempotency_key;
};

struct RpcMessage {
  enum class Kind { call, notification, response, invalid };
  Kind kind = Kind::invalid;
  std::string_view id;  ///< the text of the id; empty: there is none
  std::string method;
  std::string_view params;   ///< one JSON object; empty: absent
  std::string_view result;   ///< of a response: one JSON value; empty: it is an error
  std::string_view failure;  ///< of a response: the error object; empty: there is none
  RpcMeta meta;
  Error error;  ///< for Kind::invalid
};

struct RpcParsed {
  bool batch = false;
  std::vector<RpcMessage> messages;
};

class EnvelopeParser {
 public:
  /// Whether `params._meta` is read: `left` is for protocols whose `_meta` has other members.
  enum class Meta { read, left };

  EnvelopeParser(std::size_t max_bytes, std::size_t max_depth, std::size_t max_batch, Meta meta = Meta::read);
  ~EnvelopeParser();

  /// `text` is followed by at least 64 readable bytes. An error inside one message of a batch
  /// belongs to that message, and so does unusable text (half of a surrogate pair, 2^64) in a
  /// message that has an id; text that is no message at all is the error of the result.
  /// `into` is overwritten; its memory is used again.
  [[nodiscard]] Result<void> parse(std::string_view text, RpcParsed& into);

  /// The bytes of one member of an object from a parsed text; empty: it has no such member.
  [[nodiscard]] std::string_view raw_member(std::string_view object, std::string_view name);

 private:
  [[nodiscard]] Result<void> salvage(std::string_view text, Error why, RpcParsed& parsed);
  [[nodiscard]] std::unexpected<Error> too_many(std::size_t messages) const;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The text of an error response.
[[nodiscard]] std::string rpc_error(std::string_view id, const Error& error);

}  // namespace gantry::host
