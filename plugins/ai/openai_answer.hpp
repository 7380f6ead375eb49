// SPDX-License-Identifier: Apache-2.0
//
// openai_answer.hpp: reads the bytes of one answer with a status of success, in any of its forms.
//
// The bytes decide the form, not the Content-Type, which servers and gateways get wrong: a { or [
// begins a whole JSON answer, a < begins a web page, anything else an event stream. Each form is
// accepted whether a stream was asked for or not. Additions are recognised (a [DONE] behind a whole
// answer, an error without a frame in a stream).
//
// Thread rule: one thread.
// Bounds: kMaxBody bytes are kept: of a whole answer its body, of a stream the sum of its deltas.
// Other bytes of a stream are not counted; an endless stream ends by its request's time-out between
// items, by its caller or by this bound.
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

/// Why the bytes are no answer.
struct NoAnswer {
  std::string what;   ///< the text behind "the provider ..."
  std::string words;  ///< the server's text, or the exact fault
  bool cut = false;   ///< the bytes only end too early: the transport may know why
};

class OpenAiAnswer {
 public:
  static constexpr std::size_t kMaxBody = 16U << 20U;

  /// `emit` receives the items for a caller that reads a stream; else it is not called.
  OpenAiAnswer(Job::Kind kind, bool stream, std::function<void(const json&)> emit)
      : kind_(kind),
        stream_asked_(stream),
        emit_(stream ? std::move(emit) : [](const json&) {}),
        stream_(kind, stream) {}

  /// Takes bytes. Must not be called after a failure.
  [[nodiscard]] std::expected<void, NoAnswer> feed(std::string_view bytes);
  /// True: nothing follows, so a server that leaves the connection open is not waited for.
  [[nodiscard]] bool done() const { return stream_.done(); }
  /// True: a finish_reason has come; only usage and the end may follow.
  [[nodiscard]] bool complete() const { return stream_.finished(); }
  /// True: a whole answer has begun, and its caller has seen none of it.
  [[nodiscard]] bool begun() const { return form_ == Form::whole; }
  /// The result. `clean`: the transport was not cut short.
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
  std::string body_;  // the body of a whole answer, or a beginning that does not yet show the form
  SseParser parser_;
  OpenAiStream stream_;
};

}  // namespace gantry::ai
