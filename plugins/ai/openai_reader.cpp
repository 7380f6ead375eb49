// SPDX-License-Identifier: Apache-2.0
#include "openai_reader.hpp"

#include <algorithm>

namespace gantry::ai {

namespace {

constexpr std::size_t kMaxWords = 500;

std::unexpected<Error> broken(std::string why) { return fail(ErrorKind::upstream_failed, std::move(why)); }

// {"error": {"message": ...}}, {"error": "..."}, {"message": ...}, {"detail": ...}; empty when it is none of these.
std::string error_message(const json& doc) {
  if (!doc.is_object()) return {};
  const auto text = [](const json& value) -> std::string {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_object() && value.contains("message") && value["message"].is_string()) {
      return value["message"].get<std::string>();
    }
    return value.is_null() ? std::string() : dump_json(value);
  };
  for (const char* name : {"error", "message", "detail"}) {
    if (const auto it = doc.find(name); it != doc.end()) {
      if (auto words = text(*it); !words.empty()) return words;
    }
  }
  return {};
}

const json* first_choice(const json& doc) {
  const auto choices = doc.find("choices");
  if (choices == doc.end() || !choices->is_array() || choices->empty() || !choices->front().is_object()) return nullptr;
  return &choices->front();
}

// Null when it is absent, or `object` is none.
const json& member(const json& object, const char* name) {
  static const json absent;
  const auto it = object.find(name);
  return it == object.end() ? absent : *it;
}

bool says_something(const json& value) {
  return !value.is_null() && !(value.is_string() && value.get_ref<const std::string&>().empty()) &&
         !((value.is_array() || value.is_object()) && value.empty());
}

}  // namespace

std::string sanitised(std::string_view words, std::string_view secret) {
  std::string out;
  for (std::size_t i = 0; i < words.size() && out.size() < kMaxWords; ++i) {
    if (!secret.empty() && words.substr(i).starts_with(secret)) {
      out += "[key]";
      i += secret.size() - 1;
      continue;
    }
    const char c = words[i];
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    if (!control) out += c;
    if (control && !out.empty() && out.back() != ' ') out += ' ';
  }
  if (out.size() >= kMaxWords) {
    std::size_t end = kMaxWords;
    while (end > 0 && (static_cast<unsigned char>(out[end - 1]) & 0xC0U) == 0x80) --end;
    if (end > 0 && static_cast<unsigned char>(out[end - 1]) >= 0xC0) --end;
    out.resize(end);
    out += "...";
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

std::string provider_words(std::string_view body) {
  if (const auto doc = parse_json(body)) {
    if (auto words = error_message(*doc); !words.empty()) return words;
  }
  return std::string(body);
}

Result<json> read_answer(Job::Kind kind, std::string_view body) {
  const auto doc = parse_json(body);
  if (!doc || !doc->is_object()) return broken("its answer is no JSON object: " + std::string(body.substr(0, 200)));
  if (says_something(member(*doc, "error"))) return broken(error_message(*doc));
  const json* choice = first_choice(*doc);
  if (choice == nullptr) return broken("its answer holds no choices");
  const json& finish = member(*choice, "finish_reason");
  if (!finish.is_string()) return broken("its answer was cut short: it has no finish_reason");
  json result{{"finish_reason", finish}, {"usage", member(*doc, "usage")}};
  if (kind == Job::Kind::chat) {
    const json& message = member(*choice, "message");
    if (!message.is_object()) return broken("its answer holds no message");
    result["message"] = message;
    if (!message.contains("role")) result["message"]["role"] = "assistant";
    if (!message.contains("content")) result["message"]["content"] = nullptr;
  } else {
    const json& text = member(*choice, "text");
    if (!text.is_string()) return broken("its answer holds no text");
    result["text"] = text;
  }
  return result;
}

Result<std::optional<json>> OpenAiStream::take(const SseEvent& event) {
  if (event.data == "[DONE]") {
    done_ = true;
    return std::nullopt;
  }
  const auto doc = parse_json(event.data);
  if (event.name == "error") return broken(doc ? provider_words(event.data) : event.data);
  if (!doc || !doc->is_object()) {
    return broken("an event of its stream is no JSON object: " + event.data.substr(0, 200));
  }
  if (says_something(member(*doc, "error"))) return broken(error_message(*doc));
  if (const json& usage = member(*doc, "usage"); usage.is_object()) usage_ = usage;
  const json* choice = first_choice(*doc);
  if (choice == nullptr) return std::nullopt;
  const json& finish = member(*choice, "finish_reason");
  if (finish.is_string()) finish_reason_ = finish;
  if (kind_ == Job::Kind::chat) return take_delta(*choice);
  const json& text = member(*choice, "text");
  if (!text.is_string() || text.get_ref<const std::string&>().empty()) return std::nullopt;
  text_ += text.get_ref<const std::string&>();
  return json{{"text", text}};
}

std::optional<json> OpenAiStream::take_delta(const json& choice) {
  const json& delta = member(choice, "delta");
  json item{{"delta", json::object()}};
  bool says = false;
  if (delta.is_object()) {
    gather(delta);
    for (const auto& [name, value] : delta.items()) {
      if (!says_something(value)) continue;
      item["delta"][name] = value;
      says = says || name != "role";
    }
  }
  if (const json& finish = member(choice, "finish_reason"); finish.is_string()) {
    item["finish_reason"] = finish;
    says = true;
  }
  // A delta that only names the role is no token: until one comes, the attempt may be made again.
  if (!says) return std::nullopt;
  return item;
}

void OpenAiStream::gather(const json& delta) {
  for (const auto& [name, value] : delta.items()) {
    if (name == "content" && value.is_string()) {
      text_ += value.get_ref<const std::string&>();
    } else if (name == "tool_calls") {
      gather_tool_calls(value);
    } else if (value.is_string() && message_.contains(name) && message_[name].is_string() && name != "role") {
      message_[name].get_ref<std::string&>() += value.get_ref<const std::string&>();
    } else if (says_something(value)) {
      message_[name] = value;
    }
  }
}

// Pieces of one call carry its index; their arguments are joined.
void OpenAiStream::gather_tool_calls(const json& calls) {
  if (!calls.is_array()) return;
  json& gathered = message_["tool_calls"];
  if (!gathered.is_array()) gathered = json::array();
  for (const auto& piece : calls) {
    if (!piece.is_object()) continue;
    const json& index = member(piece, "index");
    const auto at = std::find_if(gathered.begin(), gathered.end(),
                                 [&](const json& call) { return member(call, "index") == index; });
    if (at == gathered.end() || index.is_null()) {
      gathered.push_back(piece);
      continue;
    }
    const json& more = member(member(piece, "function"), "arguments");
    if (!more.is_string()) continue;
    json& function = (*at)["function"];
    if (!function.is_object()) function = json::object();
    if (!member(function, "arguments").is_string()) function["arguments"] = "";
    function["arguments"].get_ref<std::string&>() += more.get_ref<const std::string&>();
  }
}

json OpenAiStream::result() {
  json result{{"finish_reason", finish_reason_}, {"usage", usage_}};
  if (kind_ == Job::Kind::complete) {
    result["text"] = text_;
    return result;
  }
  if (message_.contains("tool_calls")) {
    for (auto& call : message_["tool_calls"]) call.erase("index");
  }
  message_["role"] = message_.value("role", "assistant");
  message_["content"] = text_.empty() && message_.contains("tool_calls") ? json() : json(text_);
  result["message"] = std::move(message_);
  return result;
}

}  // namespace gantry::ai
