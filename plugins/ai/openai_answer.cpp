// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/openai_answer.hpp"

#include <algorithm>
#include <utility>

#include "plugins/ai/provider_words.hpp"

namespace gantry::ai {

namespace {

constexpr std::string_view kBom = "\xEF\xBB\xBF";

std::unexpected<NoAnswer> no_answer(std::string what, std::string words, bool cut = false) {
  return std::unexpected(NoAnswer{std::move(what), std::move(words), cut});
}

std::unexpected<NoAnswer> too_large() { return no_answer("sent an answer that is too large", "over 16 MiB"); }

// Whether lines that are no fields of an event stream tell an error.
bool is_error_text(std::string_view stray) {
  if (stray.starts_with("error:")) return true;
  const auto doc = JsonMender::read(stray);
  return doc && doc->is_object() && is_error(*doc);
}

std::string_view without_bom(std::string_view text) {
  if (text.starts_with(kBom)) text.remove_prefix(kBom.size());
  return trimmed(text);
}

}  // namespace

std::expected<void, NoAnswer> OpenAiAnswer::feed(std::string_view bytes) {
  if (form_ == Form::events) return events(bytes);
  if (body_.size() + bytes.size() > kMaxBody) return too_large();
  body_ += bytes;
  if (form_ == Form::whole) return {};
  const std::string_view text = without_bom(body_);
  if (text.empty() || kBom.starts_with(text)) return {};
  form_ = std::string_view("{[<").contains(text.front()) ? Form::whole : Form::events;
  return form_ == Form::whole ? std::expected<void, NoAnswer>{} : events(std::exchange(body_, {}));
}

std::expected<void, NoAnswer> OpenAiAnswer::events(std::string_view bytes) {
  const auto fed = parser_.feed(bytes, [this](const SseEvent& event) { return take(event); });
  if (!fed) return no_answer("broke off its stream", fed.error().message);
  if (stream_.size() > kMaxBody) return too_large();
  return {};
}

Result<void> OpenAiAnswer::take(const SseEvent& event) {
  if (stream_.done()) return {};
  auto item = stream_.take(event);
  if (!item) return std::unexpected(item.error());
  if (*item) emit_(**item);
  return {};
}

std::expected<json, NoAnswer> OpenAiAnswer::end(bool clean) {
  if (form_ == Form::events) return end_events(clean);
  if (form_ == Form::whole) return end_whole(clean);
  if (clean && !stream_asked_) return no_answer("gave no usable answer", "its body is empty");
  return no_answer("cut its answer short", "it sent nothing", true);
}

std::expected<json, NoAnswer> OpenAiAnswer::whole(const json& doc) {
  auto answer = read_answer(kind_, doc);
  if (!answer) return no_answer("gave no usable answer", answer.error().message);
  // Who reads a stream gets the whole as one item.
  if (kind_ == Job::Kind::complete) emit_({{"text", (*answer)["text"]}});
  if (kind_ == Job::Kind::chat) {
    json item{{"delta", (*answer)["message"]}};
    if (!(*answer)["finish_reason"].is_null()) item["finish_reason"] = (*answer)["finish_reason"];
    if (answer->contains("logprobs")) item["logprobs"] = (*answer)["logprobs"];
    emit_(item);
  }
  return std::move(*answer);
}

std::expected<json, NoAnswer> OpenAiAnswer::end_whole(bool clean) {
  const std::string_view text = without_bom(body_);
  if (text.starts_with('<')) return no_answer("sent no model's answer; look at base_url", provider_words(text));
  if (const auto doc = JsonMender::read(text)) return whole(*doc);
  if (!clean) return no_answer("cut its answer short", std::string(text), true);
  // Something of an event stream is glued to it.
  const bool glued = text.contains("\ndata:") || text.contains("\rdata:");
  if (!glued) return no_answer("gave no usable answer", "it is no JSON object: " + std::string(text));
  if (auto fed = events(text); !fed) return std::unexpected(std::move(fed.error()));
  return end_events(clean);
}

std::expected<json, NoAnswer> OpenAiAnswer::end_events(bool clean) {
  if (clean && !stream_.done()) {
    // Half an event at the end is one that was cut: whatever it is, it is not the answer.
    (void)parser_.finish([this](const SseEvent& event) { return take(event); }).has_value();
  }
  const std::string_view stray = trimmed(parser_.stray());
  // Without a finish_reason a [DONE] says no more than that nothing follows.
  if (stream_.finished() || (stream_.complete() && !is_error_text(stray))) return stream_.result();
  if (!stray.empty()) {
    const auto doc = JsonMender::read(stray);
    if (doc && doc->is_object() && !stream_.complete()) return whole(*doc);
    return no_answer("sent an error, or what is no event stream", provider_words(stray));
  }
  if (stream_.done()) {
    return no_answer("ended its stream without an answer",
                     stream_.odd_words().empty() ? "[DONE] came after no part of one" : stream_.odd_words());
  }
  return no_answer("cut its answer short",
                   stream_.odd_words().empty() ? "the stream ended without a finish_reason or [DONE]"
                                               : "its last words: " + stream_.odd_words(),
                   true);
}

}  // namespace gantry::ai
