// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/documents.hpp"

#include <simdjson.h>

#include <cmath>
#include <gantry/file_uri.hpp>
#include <gantry/json.hpp>
#include <optional>
#include <utility>

#include "plugins/lsp/envelope.hpp"

namespace gantry::lsp {

namespace {

// Where line `line` begins; npos: the text has fewer. Lines end with \n, \r\n or \r.
[[nodiscard]] std::size_t line_start(std::string_view text, std::size_t line) {
  std::size_t at = 0;
  while (line > 0) {
    at = text.find_first_of("\r\n", at);
    if (at == std::string_view::npos) return at;
    if (text[at] == '\r' && at + 1 < text.size() && text[at + 1] == '\n') ++at;
    ++at;
    --line;
  }
  return at;
}

// A whole number, also as some libraries write one: 3.0.
[[nodiscard]] std::optional<std::int64_t> whole_number(simdjson::simdjson_result<simdjson::dom::element> value) {
  std::int64_t whole = 0;
  double real = 0;
  if (value.get(whole) == simdjson::SUCCESS) return whole;
  constexpr double kExact = 9007199254740992.0;  // 2 to the power of 53
  if (value.get(real) != simdjson::SUCCESS || !(std::abs(real) <= kExact) || std::trunc(real) != real) return {};
  return static_cast<std::int64_t>(real);
}

struct Position {
  std::size_t line = 0, character = 0;
};

[[nodiscard]] bool read_position(simdjson::dom::element range, const char* end, Position& out) {
  const auto read = [&](const char* name, std::size_t& number) {
    std::uint64_t plain = 0;
    const auto value = range[end][name];
    if (value.get(plain) == simdjson::SUCCESS) {
      number = static_cast<std::size_t>(plain);
      return true;
    }
    const auto whole = whole_number(value);
    if (!whole || *whole < 0) return false;
    number = static_cast<std::size_t>(*whole);
    return true;
  };
  return read("line", out.line) && read("character", out.character);
}

}  // namespace

std::string document_key(std::string_view uri) {
  auto path = to_path(uri);
  return path ? std::move(*path) : std::string(uri);
}

std::string document_in(std::string_view params) {
  const auto uri = parse_json(member(member(params, "textDocument"), "uri"));
  return uri && uri->is_string() ? document_key(uri->get_ref<const std::string&>()) : std::string();
}

std::string did_open(const std::string& uri, const std::string& language, long long version, const std::string& text) {
  return dump_json(
      {{"jsonrpc", "2.0"},
       {"method", "textDocument/didOpen"},
       {"params", {{"textDocument", {{"uri", uri}, {"languageId", language}, {"version", version}, {"text", text}}}}}});
}

struct TrackedDocuments::Parsed {
  simdjson::dom::element root;
  std::string_view uri;
};

std::size_t offset_of(std::string_view text, std::size_t line, std::size_t character, Encoding encoding) {
  std::size_t at = line_start(text, line);
  if (at == std::string_view::npos) return text.size();
  while (character > 0 && at < text.size() && text[at] != '\n' && text[at] != '\r') {
    const std::size_t bytes = std::min(sequence_length(text[at]), text.size() - at);
    std::size_t units = 1;
    if (encoding == Encoding::utf8) units = bytes;
    if (encoding == Encoding::utf16 && bytes == 4) units = 2;
    if (units > character) break;
    character -= units;
    at += bytes;
  }
  return at;
}

TrackedDocuments::TrackedDocuments() : parser_(std::make_unique<simdjson::dom::parser>()) {}
TrackedDocuments::~TrackedDocuments() = default;

std::string TrackedDocuments::follow(std::string_view method, std::string_view params) {
  std::string opened;
  if (!lost_.empty()) return opened;
  Parsed parsed;
  if (parser_->parse(params.data(), params.size()).get(parsed.root) != simdjson::SUCCESS ||
      parsed.root["textDocument"]["uri"].get(parsed.uri) != simdjson::SUCCESS) {
    return opened;  // no server makes sense of it either
  }
  if (method == "textDocument/didOpen") {
    opened = open(parsed);
  } else if (method == "textDocument/didChange") {
    change(parsed);
  } else if (const auto it = documents_.find(document_key(parsed.uri)); it != documents_.end()) {
    bytes_ -= it->second.text.size();
    documents_.erase(it);
  }
  constexpr std::size_t kKeep = std::size_t{1} << 20;
  if (parser_->capacity() > kKeep) parser_ = std::make_unique<simdjson::dom::parser>();
  return opened;
}

std::string TrackedDocuments::open(const Parsed& params) {
  const auto item = params.root["textDocument"];
  std::string_view text, language;
  if (item["text"].get(text) != simdjson::SUCCESS) return {};
  (void)item["languageId"].get(language);
  const auto version = whole_number(item["version"]).value_or(0);
  auto& document = documents_[document_key(params.uri)];
  const std::size_t before = document.text.size();
  document = Document{std::string(params.uri), std::string(language), version, std::string(text)};
  grown(before, document.text.size());
  return std::string(language);
}

void TrackedDocuments::change(const Parsed& params) {
  const auto it = documents_.find(document_key(params.uri));
  simdjson::dom::array changes;
  if (it == documents_.end() || params.root["contentChanges"].get(changes) != simdjson::SUCCESS) return;
  Document& document = it->second;
  if (const auto version = whole_number(params.root["textDocument"]["version"])) document.version = *version;
  const std::size_t before = document.text.size();
  for (const auto change : changes) {
    std::string_view text;
    if (change["text"].get(text) != simdjson::SUCCESS) return lose("a change of " + it->second.uri + " has no text");
    simdjson::dom::element range;
    if (change["range"].get(range) != simdjson::SUCCESS) {
      document.text = text;
      continue;
    }
    Position start, end;
    if (!read_position(range, "start", start) || !read_position(range, "end", end)) {
      return lose("a change of " + it->second.uri + " has a malformed range");
    }
    const std::size_t from = offset_of(document.text, start.line, start.character, encoding_);
    const std::size_t to = offset_of(document.text, end.line, end.character, encoding_);
    if (to < from) return lose("a change of " + it->second.uri + " has a range that ends before it starts");
    document.text.replace(from, to - from, text);
  }
  grown(before, document.text.size());
}

void TrackedDocuments::grown(std::size_t before, std::size_t after) {
  bytes_ = bytes_ - before + after;
  if (bytes_ > kMaxBytes) lose("the open documents exceed " + std::to_string(kMaxBytes >> 20) + " MiB");
}

void TrackedDocuments::lose(std::string why) {
  lost_ = std::move(why);
  documents_.clear();
  bytes_ = 0;
}

json TrackedDocuments::suspend() const {
  json documents = json::array();
  for (const auto& [key, document] : documents_)
    documents.push_back({document.uri, document.language, document.version, document.text});
  return {{"documents", std::move(documents)}, {"encoding", static_cast<int>(encoding_)}, {"lost", lost_}};
}

void TrackedDocuments::restore(const json& suspended) {
  lost_ = suspended.at("lost");
  encoding_ = static_cast<Encoding>(suspended.at("encoding").get<int>());
  for (const auto& each : suspended.at("documents")) {
    Document document{each.at(0), each.at(1), each.at(2), each.at(3)};
    grown(0, document.text.size());
    documents_.insert_or_assign(document_key(document.uri), std::move(document));
  }
}

void TrackedDocuments::replay(const std::function<void(std::string_view)>& send) const {
  for (const auto& [key, document] : documents_)
    send(did_open(document.uri, document.language, document.version, document.text));
}

}  // namespace gantry::lsp
