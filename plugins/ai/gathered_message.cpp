// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/gathered_message.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "plugins/ai/provider_words.hpp"

namespace gantry::ai {

namespace {

// Members that name something: a later one replaces an earlier one.
bool is_name(std::string_view member) {
  static constexpr std::array<std::string_view, 6> kNames = {"role", "id", "type", "name", "index", "format"};
  return std::find(kNames.begin(), kNames.end(), member) != kNames.end();
}

std::string_view text_of(const json& value) {
  return value.is_string() ? std::string_view(value.get_ref<const std::string&>()) : std::string_view();
}

json* with_index(json& entries, const json& index) {
  const auto found = std::find_if(entries.rbegin(), entries.rend(),
                                  [&](const json& entry) { return member(entry, "index") == index; });
  return found == entries.rend() ? nullptr : &*found;
}

constexpr std::size_t kNode = 32;  // about what a value costs beside its text

// What is kept of a document, in bytes. Documents are at most JsonMender::kMaxDepth levels deep.
std::size_t weight(const json& value) {
  std::size_t bytes = kNode + text_of(value).size();
  if (!value.is_structured()) return bytes;
  for (const auto& [name, entry] : value.items()) bytes += weight(entry) + (value.is_object() ? name.size() : 0);
  return bytes;
}

// Arguments are a text that holds JSON; some servers send the JSON itself.
std::string arguments_of(const json& function) {
  const json& arguments = member(function, "arguments");
  if (arguments.is_string()) return arguments.get<std::string>();
  return arguments.is_null() ? std::string() : dump_json(arguments);
}

bool begins_another(const json& call, const json& piece) {
  const std::string_view id = text_of(member(call, "id"));
  const std::string_view piece_id = text_of(member(piece, "id"));
  if (!id.empty() && !piece_id.empty()) return id != piece_id;
  const json& function = member(call, "function");
  const std::string_view name = text_of(member(function, "name"));
  const std::string_view piece_name = text_of(member(member(piece, "function"), "name"));
  if (name.empty() || piece_name.empty()) return false;
  return name != piece_name || json::accept(text_of(member(function, "arguments")));
}

}  // namespace

bool says_nothing(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_null() || (value.is_structured() && value.empty());
}

void flatten_content(json& message) {
  const auto content = message.find("content");
  if (content == message.end() || !content->is_array()) return;
  std::string text;
  json others = json::array();
  for (const auto& part : *content) {
    if (part.is_string()) {
      text += part.get_ref<const std::string&>();
    } else if (const json& said = member(part, "text"); said.is_string()) {
      text += said.get_ref<const std::string&>();
    } else {
      others.push_back(part);
    }
  }
  *content = std::move(text);
  if (!others.empty()) message["content_parts"] = std::move(others);
}

json& GatheredMessage::at(json& object, const std::string& name) {
  if (!object.contains(name)) size_ += kNode + name.size();
  return object[name];
}

void GatheredMessage::merge(json& into, const json& piece, std::string_view name) {
  if (into.is_string() && piece.is_string() && !is_name(name)) {
    into.get_ref<std::string&>() += piece.get_ref<const std::string&>();
    size_ += text_of(piece).size();
  } else if (into.is_object() && piece.is_object()) {
    for (const auto& [key, value] : piece.items()) merge(at(into, key), value, key);
  } else if (into.is_array() && piece.is_array()) {
    for (const auto& entry : piece) {
      const json& index = member(entry, "index");
      json* same = index.is_null() ? nullptr : with_index(into, index);
      if (same != nullptr) {
        merge(*same, entry, "");
      } else {
        size_ += weight(entry);
        into.push_back(entry);
      }
    }
  } else if (!says_nothing(piece)) {
    size_ += weight(piece);
    size_ -= std::min(size_, weight(into));
    into = piece;
  }
}

void GatheredMessage::add(const json& delta) {
  for (const auto& [name, value] : delta.items()) {
    if (says_nothing(value)) continue;
    said_ = said_ || name != "role";
    if (name == "content" && value.is_string()) {
      text_ += value.get_ref<const std::string&>();
      size_ += text_of(value).size();
    } else if (name == "tool_calls") {
      add_tool_calls(value);
    } else {
      merge(at(message_, name), value, name);
    }
  }
}

json& GatheredMessage::call_of(const json& piece) {
  json& calls = message_["tool_calls"];
  json* call = nullptr;
  if (const json& index = member(piece, "index"); !index.is_null()) {
    call = with_index(calls, index);
  } else if (const std::string_view id = text_of(member(piece, "id")); !id.empty()) {
    const auto found =
        std::find_if(calls.begin(), calls.end(), [&](const json& known) { return text_of(member(known, "id")) == id; });
    if (found != calls.end()) call = &*found;
  } else if (!calls.empty()) {
    call = &calls.back();
  }
  if (call != nullptr && !begins_another(*call, piece)) return *call;
  calls.push_back(json::object());
  size_ += kNode;
  return calls.back();
}

void GatheredMessage::add_tool_calls(const json& pieces) {
  if (!pieces.is_array()) return;
  if (!message_["tool_calls"].is_array()) message_["tool_calls"] = json::array();
  for (const auto& piece : pieces) {
    if (!piece.is_object()) continue;
    json& call = call_of(piece);
    for (const auto& [name, value] : piece.items()) {
      if (name != "function" && !says_nothing(value)) merge(at(call, name), value, name);
    }
    const json& function = member(piece, "function");
    if (!function.is_object()) continue;
    json& known = call["function"];
    if (!known.is_object()) known = json{{"arguments", ""}};
    const std::string arguments = arguments_of(function);
    known["arguments"].get_ref<std::string&>() += arguments;
    size_ += arguments.size();
    for (const auto& [name, value] : function.items()) {
      if (name != "arguments" && !says_nothing(value)) merge(at(known, name), value, name);
    }
  }
}

json GatheredMessage::take() {
  const auto calls = message_.find("tool_calls");
  const bool has_calls = calls != message_.end() && !calls->empty();
  if (calls != message_.end() && !has_calls) message_.erase("tool_calls");
  if (has_calls) {
    for (auto& call : *calls) call.erase("index");
  }
  if (!member(message_, "role").is_string()) message_["role"] = "assistant";
  message_["content"] = text_.empty() && has_calls ? json() : json(text_);
  return std::move(message_);
}

}  // namespace gantry::ai
