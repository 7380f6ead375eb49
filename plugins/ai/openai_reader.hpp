// SPDX-License-Identifier: Apache-2.0
//
// openai_reader.hpp: turns answers of an OpenAI-compatible server into Gantry's items and results.
//
// A stream is complete when a finish_reason has come, or [DONE] behind a part of an answer; an
// empty or "null" finish_reason does not count. Tolerated, because real servers send them: a first
// delta without content, a usage chunk with empty choices, chunks without choices, named events
// that are no JSON, a whole answer as one event, and all that JsonMender repairs. Never tolerated:
// before the answer is complete, other text that is no JSON object; and at any time an error object
// or event under status 200. Members of a delta or message that Gantry does not know (reasoning,
// refusals) pass through.
//
// The choice's logprobs are in the items, and in the result of an answer whose items nobody takes;
// they are many times as long as the text, so they are not kept in addition to items.
//
// Thread rule: one thread.
// Bounds: the caller bounds size().
#pragma once

#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/ai/gathered_message.hpp"
#include "plugins/ai/job.hpp"
#include "plugins/ai/json_mender.hpp"
#include "plugins/ai/sse_parser.hpp"

namespace gantry::ai {

/// The result in a whole answer. The error's message is the provider's own, or says what is wrong
/// with the document.
[[nodiscard]] Result<json> read_answer(Job::Kind kind, const json& doc);

class OpenAiStream {
 public:
  /// `items`: the caller takes items.
  OpenAiStream(Job::Kind kind, bool items) : kind_(kind), items_(items) {}

  /// Takes one event. Returns the item for the caller, if there is one.
  [[nodiscard]] Result<std::optional<json>> take(const SseEvent& event);
  /// True: [DONE] has come, and nothing follows.
  [[nodiscard]] bool done() const { return done_; }
  /// True: a finish_reason has come.
  [[nodiscard]] bool finished() const { return !finish_reason_.is_null(); }
  /// True: the answer is complete.
  [[nodiscard]] bool complete() const { return finished() || (done_ && !message_.empty()); }
  /// About how many bytes of the answer are kept.
  [[nodiscard]] std::size_t size() const { return message_.size() + logprobs_.size(); }
  /// The text of the last event that was no part of an answer; empty: there was none.
  [[nodiscard]] const std::string& odd_words() const { return odd_words_; }
  /// The result, gathered from the items.
  [[nodiscard]] json result();

 private:
  [[nodiscard]] const json* choice_of(const json& doc);
  [[nodiscard]] std::optional<json> take_delta(const json& choice, const json& finish);

  Job::Kind kind_;
  bool items_;
  bool done_ = false;
  JsonMender mender_;
  json index_;  // of the choice that is read
  json finish_reason_;
  json usage_;
  GatheredMessage message_;
  GatheredMessage logprobs_;
  std::string odd_words_;
};

}  // namespace gantry::ai
