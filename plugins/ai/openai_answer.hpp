// SPDX-License-Identifier: Apache-2.0
//
// openai_answer.hpp: the bytes of one answer under a status of success, whatever form they have.
//
// The form is told by the bytes, not by the Content-Type, which servers and gateways get wrong:
// what begins with { or [ is a whole JSON answer, what begins with < is a page, anything else an
// event stream. Each is taken whether a stream was asked for or not. What is glued to it (a [DONE]
// behind a whole answer, an error without a frame in a stream) is told for what it is.
//
// Thread rule: one thread.
// Bounds: kMaxBody bytes of what is kept: of a whole answer its body, of a stream what its deltas add
// up to. What a stream has on the wire beside that is not counted; a stream that goes on for ever ends by its request's
// time-out between items, by its caller or by this bound.
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <gantry/json.hpp>
#include <string>
#include <string_view>

#include "plugins/ai/job.hpp"
#include "plugins/ai/openai_reader.hpp"
#include "plugins/ai/sse_parser.hpp"

namespace gantry::ai {

/// Why bytes are no answer.
struct NoAnswer {
  std::string what;   ///< how it goes on behind "the provider ..."
  std::string words;  ///< the server's, or what exactly is wrong
  bool cut = false;   ///< it only ends too early: its transport may know why
};

class OpenAiAnswer {
 public:
  static constexpr std::size_t kMaxBody = 16U << 20U;

  /// `emit` takes the items for a caller that reads a stream; else it is not called.
  OpenAiAnswer(Job::Kind kind, bool stream, std::function<void(const json&)> emit)
      : kind_(kind),
        stream_asked_(stream),
        emit_(stream ? std::move(emit) : [](const json&) {}),
        stream_(kind, stream) {}

  /// Takes bytes; not after a failure.
  [[nodiscard]] std::expected<void, NoAnswer> feed(std::string_view bytes);
  /// Nothing follows: a server that leaves the connection open is not waited for.
  [[nodiscard]] bool done() const { return stream_.done(); }
  /// A finish_reason came: what may follow is usage, and the end.
  [[nodiscard]] bool complete() const { return stream_.finished(); }
  /// A whole answer has begun, and nobody has seen any of it.
  [[nodiscard]] bool begun() const { return form_ == Form::whole; }
  /// The result. `clean`: the transport has not been cut short.
  [[nodiscard]] std::expected<json, NoAnswer> end(bool clean);

 private:
  enum class Form { unknown, whole, events };
  [[nodiscard]] std::expected<void, NoAnswer> events(std::string_view bytes);
  [[nodiscard]] Result<void> take(const SseEvent& event);
  [[nodiscard]] std::expected<json, NoAnswer> end_whole(bool clean);
  [[nodiscard]] std::expected<json, NoAnswer> end_events(bool clean);
  [[nodiscard]] std::expected<json, NoAnswer> whole(const json& doc);

  Job::Kind kind_;
  bool stream_asked_;
  std::function<void(const json&)> emit_;
  Form form_ = Form::unknown;
  std::string body_;  // of a whole answer, or the beginning that does not yet tell the form
  SseParser parser_;
  OpenAiStream stream_;
};

}  // namespace gantry::ai
