// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/openai_reader.hpp"

#include <algorithm>

#include "plugins/ai/provider_words.hpp"

namespace gantry::ai {

namespace {

std::unexpected<Error> broken(std::string why) { return fail(ErrorKind::upstream_failed, std::move(why)); }

// An error's words; a document whose error says nothing is shown as it is.
std::string error_words(const json& doc) {
  auto words = error_message(doc);
  return words.empty() ? dump_json(doc) : words;
}

// The reason, or null for what servers write when there is none yet.
json finish_of(const json& choice) {
  const json& reason = member(choice, "finish_reason");
  if (!reason.is_string() || says_nothing(reason) || reason == "null" || reason == "None") return {};
  return reason;
}

// A choice that says that it has failed.
std::string choice_error(const json& choice) {
  if (is_error(choice)) return error_words(choice);
  return member(choice, "finish_reason") == "error" ? "it ended its answer with the finish_reason \"error\"" : "";
}

// What a choice says, by whichever of its names: a server may answer whole where a delta is due.
json said_in(const json& choice) {
  for (const char* name : {"delta", "message"}) {
    if (const json& said = member(choice, name); said.is_object()) return said;
  }
  if (const json& text = member(choice, "text"); text.is_string()) return json{{"content", text}};
  return {};
}

// The tokens' probabilities, or null when there are none.
json logprobs_of(const json& choice) {
  const json& logprobs = member(choice, "logprobs");
  if (!logprobs.is_object()) return says_nothing(logprobs) ? json() : logprobs;
  const bool says = std::any_of(logprobs.begin(), logprobs.end(), [](const json& part) { return !says_nothing(part); });
  return says ? logprobs : json();
}

}  // namespace

Result<json> read_answer(Job::Kind kind, const json& doc) {
  if (!doc.is_object()) return broken(error_words(doc));
  if (is_error(doc)) return broken(error_words(doc));
  const json& choices = member(doc, "choices");
  if (!choices.is_array() || choices.empty()) return broken("it holds no choices: " + error_words(doc));
  const json& choice = choices.front();
  if (auto words = choice_error(choice); !words.empty()) return broken(std::move(words));
  json message = said_in(choice);
  if (!message.is_object()) return broken("its choice holds no message: " + dump_json(choice));
  flatten_content(message);
  json result{{"finish_reason", finish_of(choice)}, {"usage", member(doc, "usage")}};
  if (kind == Job::Kind::complete) {
    const json& text = member(message, "content");
    if (!text.is_string()) return broken("its choice holds no text: " + dump_json(choice));
    result["text"] = text;
    return result;
  }
  if (!member(message, "role").is_string()) message["role"] = "assistant";
  if (!message.contains("content")) message["content"] = nullptr;
  result["message"] = std::move(message);
  if (json logprobs = logprobs_of(choice); !logprobs.is_null()) result["logprobs"] = std::move(logprobs);
  return result;
}

// The choice that came first; there may be others, although one was asked for.
const json* OpenAiStream::choice_of(const json& doc) {
  const json& choices = member(doc, "choices");
  if (!choices.is_array()) return nullptr;
  for (const auto& choice : choices) {
    if (!choice.is_object()) continue;
    const json& index = member(choice, "index");
    if (index_.is_null()) index_ = index;
    if (index.is_null() || index == index_) return &choice;
  }
  return nullptr;
}

Result<std::optional<json>> OpenAiStream::take(const SseEvent& event) {
  const std::string_view data = trimmed(event.data);
  if (data.starts_with("[DONE]")) {
    done_ = true;
    return std::nullopt;
  }
  if (event.name == "error") return broken(provider_words(data));
  const auto doc = mender_.next(data);
  if (!doc || !doc->is_object()) {
    odd_words_ = provider_words(data).substr(0, 1000);
    const bool named = !event.name.empty() && event.name != "message";
    if (named || finished()) return std::nullopt;
    return broken("an event of its stream is no JSON object: " + odd_words_);
  }
  if (is_error(*doc)) return broken(error_words(*doc));
  if (const json& usage = member(*doc, "usage"); usage.is_object()) usage_ = usage;
  const json* choice = choice_of(*doc);
  if (choice == nullptr) {
    if (auto words = error_message(*doc); !words.empty()) odd_words_ = words.substr(0, 1000);
    return std::nullopt;
  }
  if (auto words = choice_error(*choice); !words.empty()) return broken(std::move(words));
  json finish = finish_of(*choice);
  if (!finish.is_null()) finish_reason_ = finish;
  return take_delta(*choice, finish);
}

std::optional<json> OpenAiStream::take_delta(const json& choice, const json& finish) {
  json delta = said_in(choice);
  // Behind deltas a message repeats them.
  const bool repeats = !message_.empty() && !member(choice, "delta").is_object() && choice.contains("message");
  if (!delta.is_object() || repeats) delta = json::object();
  flatten_content(delta);
  message_.add(delta);
  if (kind_ == Job::Kind::complete) {
    const json& text = member(delta, "content");
    if (!text.is_string() || !truthy(text)) return std::nullopt;
    return json{{"text", text}};
  }
  json item{{"delta", json::object()}};
  // A delta that only names the role is no token: until one comes, the attempt may be made again.
  bool says = !finish.is_null();
  if (says) item["finish_reason"] = finish;
  if (json logprobs = logprobs_of(choice); !logprobs.is_null()) {
    says = true;
    if (!items_) logprobs_.add({{"logprobs", logprobs}});
    item["logprobs"] = std::move(logprobs);
  }
  for (const auto& [name, value] : delta.items()) {
    if (says_nothing(value)) continue;
    item["delta"][name] = value;
    says = says || name != "role";
  }
  return says ? std::optional(std::move(item)) : std::nullopt;
}

json OpenAiStream::result() {
  json result{{"finish_reason", finish_reason_}, {"usage", usage_}};
  json message = message_.take();
  if (kind_ == Job::Kind::complete) {
    result["text"] = message["content"].is_string() ? message["content"] : json("");
  } else {
    result["message"] = std::move(message);
    if (json gathered = logprobs_.take(); gathered.contains("logprobs")) result["logprobs"] = gathered["logprobs"];
  }
  return result;
}

}  // namespace gantry::ai
