// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/provider_words.hpp"

#include <algorithm>
#include <cctype>

#include "plugins/ai/json_mender.hpp"
#include "plugins/ai/utf8.hpp"

namespace gantry::ai {

namespace {

constexpr std::size_t kMaxWords = 500;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// Pages name themselves in <title>; what stands there is for people.
std::string page_words(std::string_view body) {
  const std::string head = lower(body.substr(0, 64 * 1024));
  if (head.starts_with("<?xml")) return "an XML document: " + std::string(body);
  const std::size_t open = head.find("<title");
  const std::size_t begin = open == std::string::npos ? open : head.find('>', open);
  const std::size_t end = begin == std::string::npos ? begin : head.find("</title", begin);
  if (end == std::string::npos) return "an HTML page: " + std::string(body);
  return "an HTML page titled \"" + std::string(trimmed(body.substr(begin + 1, end - begin - 1))) + "\"";
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
  return text;
}

bool truthy(const json& value) {
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  if (value.is_number()) return value != 0;
  return value.is_structured() ? !value.empty() : value.is_boolean() && value.get<bool>();
}

const json& member(const json& object, const char* name) {
  static const json absent;
  const auto it = object.find(name);
  return it == object.end() ? absent : *it;
}

std::string sanitised(std::string_view words, std::string_view secret) {
  std::string out;
  while (!words.empty() && out.size() < kMaxWords) {
    if (!secret.empty() && words.starts_with(secret)) {
      out += "[key]";
      words.remove_prefix(secret.size());
      continue;
    }
    const auto step = utf8_step(words);
    const auto c = static_cast<unsigned char>(words.front());
    const bool space = c <= 0x20 || c == 0x7F;
    if (!step.valid) out += "\xEF\xBF\xBD";
    if (step.valid && !space) out += words.substr(0, step.size);
    if (space && !out.empty() && out.back() != ' ') out += ' ';
    words.remove_prefix(step.size);
  }
  while (out.ends_with(' ')) out.pop_back();
  if (!words.empty()) out += "...";
  return out;
}

std::string error_message(const json& doc) {
  if (doc.is_array()) return doc.empty() ? std::string() : error_message(doc.front());
  if (!doc.is_object()) return {};
  const auto text = [](const json& value) -> std::string {
    if (value.is_string()) return value.get<std::string>();
    if (const json& inner = member(value, "message"); inner.is_string()) return inner.get<std::string>();
    return truthy(value) ? dump_json(value) : std::string();
  };
  for (const char* name : {"error", "errors", "message", "detail"}) {
    if (auto words = text(member(doc, name)); !words.empty()) return words;
  }
  return {};
}

bool is_error(const json& doc) {
  const json& error = member(doc, "error");
  if (error.is_object() || truthy(error)) return true;
  if (truthy(member(doc, "choices"))) return false;
  return member(doc, "object") == "error" || member(doc, "type") == "error" || truthy(member(doc, "error_code"));
}

std::string provider_words(std::string_view body) {
  std::string_view text = trimmed(body);
  for (const std::string_view frame : {"event: error\n", "event:error\n", "data:", "error:"}) {
    if (text.starts_with(frame)) text = trimmed(text.substr(frame.size()));
  }
  if (text.starts_with('<')) return page_words(text);
  if (const auto doc = JsonMender::read(text)) {
    if (auto words = error_message(*doc); !words.empty()) return words;
  }
  return std::string(text);
}

}  // namespace gantry::ai
