// SPDX-License-Identifier: Apache-2.0
//
// openai_reader.hpp: what an OpenAI-compatible server answers, as Gantry's items and results.
//
// A stream is complete only when a finish_reason or [DONE] was seen. Tolerated, because real servers send them: a first
// delta without content, a usage chunk with empty choices, chunks without choices. Never tolerated: text that is no
// JSON object, an error object or event under status 200. Members of a delta or message that Gantry does not know
// (tool calls, reasoning) pass through.
//
// Thread rule: one thread.
// Bounds: the text that is gathered is bounded by the caller's bound on bytes read.
#pragma once

#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "job.hpp"
#include "sse_parser.hpp"

namespace gantry::ai {

/// A provider's words as they may be shown: one line, valid UTF-8, at most 500 bytes, without `secret`.
[[nodiscard]] std::string sanitised(std::string_view words, std::string_view secret);

/// The message in an error body, in any of the forms that servers use, else the body itself.
[[nodiscard]] std::string provider_words(std::string_view body);

/// The result in the body of an answer that was no stream. The error's message is the provider's own, or says what is
/// wrong with the body.
[[nodiscard]] Result<json> read_answer(Job::Kind kind, std::string_view body);

class OpenAiStream {
 public:
  explicit OpenAiStream(Job::Kind kind) : kind_(kind) {}

  /// Takes one event. A value: the item for the caller.
  [[nodiscard]] Result<std::optional<json>> take(const SseEvent& event);
  /// [DONE] was seen: nothing follows.
  [[nodiscard]] bool done() const { return done_; }
  /// The answer is whole.
  [[nodiscard]] bool complete() const { return done_ || !finish_reason_.is_null(); }
  /// The result, gathered from the items.
  [[nodiscard]] json result();

 private:
  [[nodiscard]] std::optional<json> take_delta(const json& choice);
  void gather(const json& delta);
  void gather_tool_calls(const json& calls);

  Job::Kind kind_;
  bool done_ = false;
  json finish_reason_;
  json usage_;
  std::string text_;
  json message_ = json::object();
};

}  // namespace gantry::ai
