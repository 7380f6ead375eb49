// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/positions/translation.hpp"

#include <algorithm>
#include <array>
#include <gantry/file_uri.hpp>
#include <memory>
#include <utility>

#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/envelope.hpp"
#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/positions/counted_text.hpp"

namespace gantry::lsp {

namespace {

constexpr std::array kEncodings{std::pair{Encoding::utf8, std::string_view("utf-8")},
                                std::pair{Encoding::utf16, std::string_view("utf-16")},
                                std::pair{Encoding::utf32, std::string_view("utf-32")}};

// What only its sender understands.
[[nodiscard]] bool is_opaque(std::string_view name) {
  return name == "data" || name == "arguments" || name == "settings" || name == "initializationOptions" ||
         name == "experimental" || name == "registerOptions";
}

[[nodiscard]] std::string text_in(const json& object, const std::string& name) {
  const json& value = part(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

// The document of what an object holds.
[[nodiscard]] std::string uri_in(const json& object) {
  auto uri = text_in(object, "uri");
  return uri.empty() ? text_in(part(object, "textDocument"), "uri") : uri;
}

// The methods whose items name no document.
[[nodiscard]] bool gives_items(std::string_view method) {
  return method == "textDocument/completion" || method == "textDocument/codeLens" ||
         method == "textDocument/documentLink" || method == "textDocument/inlayHint" ||
         method == "textDocument/codeAction";
}
[[nodiscard]] bool resolves_item(std::string_view method) {
  return method == "completionItem/resolve" || method == "codeLens/resolve" || method == "documentLink/resolve" ||
         method == "inlayHint/resolve" || method == "codeAction/resolve";
}
constexpr const char* kUri = "gantry.uri";
constexpr const char* kData = "gantry.data";

void name_document(json& item, const std::string& uri, bool always) {
  if (!item.is_object() || part(item, "command").is_string()) return;  // a command as it stands is not resolved
  json& data = item["data"];
  if (data.is_null() && !always) {
    item.erase("data");
  } else {
    data = data.is_null() ? json{{kUri, uri}} : json{{kUri, uri}, {kData, std::move(data)}};
  }
}

void name_documents(json& result, const std::string& uri) {
  json* items = result.is_object() && result.contains("items") ? &result["items"] : &result;
  bool always = true;
  if (result.is_object() && !part(part(result, "itemDefaults"), "data").is_null()) {
    name_document(result["itemDefaults"], uri, true);
    always = false;
  }
  if (!items->is_array()) return;
  for (json& item : *items) name_document(item, uri, always);
}

[[nodiscard]] std::string take_document(json& item) {
  json& data = item["data"];
  auto uri = text_in(data, kUri);
  if (part(data, kUri).is_string()) data = json(part(data, kData));
  if (data.is_null()) item.erase("data");
  return uri;
}

// Differences of semantic tokens are counted in numbers of an answer before, which is not kept.
void offer_whole_tokens(json& options) {
  if (part(options, "full").is_object()) options["full"] = true;
}

}  // namespace

std::optional<Encoding> encoding_named(std::string_view name) {
  for (const auto& [encoding, named] : kEncodings) {
    if (named == name) return encoding;
  }
  return std::nullopt;
}

std::string_view name(Encoding encoding) {
  return std::ranges::find(kEncodings, encoding, [](const auto& each) { return each.first; })->second;
}

Encoding encoding_in(const json& result) {
  auto named = text_in(result, "offsetEncoding");
  if (named.empty()) named = text_in(part(result, "capabilities"), "positionEncoding");
  return encoding_named(named).value_or(Encoding::utf16);
}

std::set<Encoding> encodings_offered(const json& params) {
  std::set<Encoding> out{Encoding::utf16};
  for (const char* const path : {"capabilities.general.positionEncodings", "capabilities.offsetEncoding"}) {
    const json& offered = member_at(params, path);
    if (!offered.is_array()) continue;
    for (const auto& each : offered) {
      if (const auto known = each.is_string() ? encoding_named(each.get<std::string>()) : std::nullopt)
        out.insert(*known);
    }
  }
  return out;
}

// ---- one message ----------------------------------------------------------------------------------------------------

class PositionTranslation::Pass {
 public:
  Pass(const PositionTranslation& all, Encoding from, Encoding to) : all_(all), from_(from), to_(to) {}

  /// True: something was counted anew.
  [[nodiscard]] bool changed() const { return changed_; }

  /// `uri`: of the document to which positions belong that stand with no other.
  void walk(json& value, const std::string& uri) {
    if (value.is_array()) {
      for (json& each : value) walk(each, uri);
      return;
    }
    if (!value.is_object()) return;
    count(value, "line", "character", uri);
    count(value, "startLine", "startCharacter", uri);  // a fold
    count(value, "endLine", "endCharacter", uri);
    auto own = uri_in(value);
    if (own.empty()) own = uri;
    for (auto& [name, child] : value.items()) {
      if (!child.is_structured() || is_opaque(name)) continue;
      const bool by_uri = child.is_object() && (name == "changes" || name == "relatedDocuments");
      if (by_uri) {
        for (auto& [key, each] : child.items()) walk(each, key);
      } else if (name == "targetRange" || name == "targetSelectionRange") {
        walk(child, text_in(value, "targetUri"));
      } else if (name == "fromRanges") {  // of who calls
        const auto caller = text_in(part(value, "from"), "uri");
        walk(child, caller.empty() ? uri : caller);
      } else {
        walk(child, own);
      }
    }
  }

  /// `data`: five numbers for each token, the first two as a distance from the token before.
  void semantic_tokens(json& data, const std::string& uri) {
    CountedText* const text = data.is_array() ? text_of(uri) : nullptr;
    if (text == nullptr) return;
    std::int64_t line = 0, character = 0, told = 0;
    for (std::size_t i = 0; i + 4 < data.size(); i += 5) {
      for (std::size_t part = i; part < i + 3; ++part) {
        const auto number = count_in(data[part]);
        if (!number || *number > static_cast<std::size_t>(kMaxUnits)) return;
      }
      const auto lines = data[i].get<std::int64_t>();
      line += lines;
      if (lines != 0) character = told = 0;
      character += data[i + 1].get<std::int64_t>();
      if (line > kMaxUnits || character > kMaxUnits) return;
      const auto length = data[i + 2].get<std::int64_t>();
      const auto now = text->character(line, character);
      data[i + 1] = now - std::exchange(told, now);
      data[i + 2] = text->length(line, character, length);
    }
    changed_ = true;
  }

  void signatures(json& help) {
    if (!part(help, "signatures").is_array()) return;
    for (json& signature : help["signatures"]) {
      if (!part(signature, "parameters").is_array()) continue;
      const auto label = text_in(signature, "label");
      for (json& parameter : signature["parameters"]) {
        if (!part(parameter, "label").is_array()) continue;
        for (json& offset : parameter["label"]) {
          if (offset.is_number_integer()) set(offset, recounted(label, offset.get<std::int64_t>(), from_, to_));
        }
      }
    }
  }

 private:
  struct Text {
    std::string owned;
    std::optional<CountedText> counted;
  };

  void count(json& object, const char* line, const char* character, const std::string& uri) {
    const auto at = object.find(line), in_line = object.find(character);
    if (at == object.end() || in_line == object.end() || !is_integer(*at) || !is_integer(*in_line)) return;
    const auto now = in_line->get<std::int64_t>();
    if (now <= 0) return;
    if (auto* const text = text_of(uri)) set(*in_line, text->character(at->get<std::int64_t>(), now));
  }

  void set(json& number, std::int64_t now) {
    // The end of a line may be written as the largest number of 31 bits.
    now = std::min(now, kMaxUnits);
    if (number.get<std::int64_t>() == now) return;
    number = now;
    changed_ = true;
  }

  // Null: its text is not known.
  [[nodiscard]] CountedText* text_of(const std::string& uri) {
    if (uri.empty()) return nullptr;
    const auto known = texts_.find(uri);
    if (known != texts_.end()) return known->second->counted ? &*known->second->counted : nullptr;
    if (texts_.size() >= kMaxFiles) return nullptr;
    auto& text = *(texts_[uri] = std::make_unique<Text>());
    if (!all_.documents_.lost().empty()) return nullptr;
    if (const auto* const document = all_.documents_.find(document_key(uri))) {
      text.counted.emplace(document->text, from_, to_);
    } else if (const auto path = to_path(uri); path && bytes_ <= kMaxFileBytes) {
      auto read = all_.read_file_(*path);
      if (!read) return nullptr;
      text.owned = std::move(*read);
      bytes_ += text.owned.size();
      text.counted.emplace(text.owned, from_, to_);
    }
    return text.counted ? &*text.counted : nullptr;
  }

  const PositionTranslation& all_;
  const Encoding from_, to_;
  std::map<std::string, std::unique_ptr<Text>> texts_;
  std::size_t bytes_ = 0;
  bool changed_ = false;
};

// ---- a server -------------------------------------------------------------------------------------------------------

PositionTranslation::PositionTranslation(Encoding servers, ReadFile read_file)
    : servers_(servers), read_file_(std::move(read_file)) {
  documents_.set_encoding(kClients);
}

std::string PositionTranslation::welcome(std::string_view message) const {
  auto doc = parse_repaired(message);
  if (!doc || !part(*doc, "result").is_object()) return std::string(message);
  json& result = (*doc)["result"];
  result.erase("offsetEncoding");
  if (!part(result, "capabilities").is_object()) result["capabilities"] = json::object();
  result["capabilities"]["positionEncoding"] = name(kClients);
  if (part(result["capabilities"], "semanticTokensProvider").is_object())
    offer_whole_tokens(result["capabilities"]["semanticTokensProvider"]);
  return dump_json(*doc);
}

// Each change is counted in the text that those before it have left.
bool PositionTranslation::follow_changes(json& params) {
  if (!part(params, "contentChanges").is_array()) return false;
  const json document = part(params, "textDocument");
  const auto uri = text_in(document, "uri");
  bool changed = false;
  for (json& change : params["contentChanges"]) {
    const auto own = dump_json({{"textDocument", document}, {"contentChanges", json::array({change})}});
    if (part(change, "range").is_object()) {
      Pass pass(*this, kClients, servers_);
      pass.walk(change["range"], uri);
      changed = change.erase("rangeLength") > 0 || pass.changed() || changed;
    }
    (void)documents_.follow("textDocument/didChange", own);
  }
  return changed;
}

std::string PositionTranslation::note_request(long long id, const std::string& method, json& params, bool& changed) {
  auto uri = uri_in(params);
  if (uri.empty()) uri = text_in(part(params, "item"), "uri");
  if (resolves_item(method) && params.is_object()) {
    uri = take_document(params);
    changed = true;
  }
  const json& partial = part(params, "partialResultToken");
  if (requests_.size() >= kMaxRequests) requests_.erase(requests_.begin());
  requests_[id] = {method, uri, partial.is_null() ? std::string() : dump_json(partial)};
  return uri;
}

std::string PositionTranslation::to_server(std::string_view message) {
  const Envelope e = scan(message, Scan::full);
  if (e.is_response() || e.params.empty()) return std::string(message);
  auto doc = parse_repaired(message);
  if (!doc || !doc->is_object()) return std::string(message);
  const std::string method(e.method());
  json& params = (*doc)["params"];
  bool changed = false;
  if (method == "textDocument/didChange") {
    changed = follow_changes(params);
  } else if (TrackedDocuments::concerns(method)) {
    (void)documents_.follow(method, e.params);
  } else if (method != "initialize") {
    std::string uri = uri_in(params);
    if (e.is_request()) uri = note_request(own_id(e.id), method, params, changed);
    Pass pass(*this, kClients, servers_);
    pass.walk(params, uri);
    if (method == "textDocument/signatureHelp" && part(part(params, "context"), "activeSignatureHelp").is_object())
      pass.signatures(params["context"]["activeSignatureHelp"]);
    changed = pass.changed() || changed;
  }
  return changed ? dump_json(*doc) : std::string(message);
}

void PositionTranslation::translate_result(const Request& request, json& result, Pass& pass) const {
  if (request.method.starts_with("textDocument/semanticTokens/")) {
    if (result.is_object() && result.contains("data")) pass.semantic_tokens(result["data"], request.uri);
    return;
  }
  pass.walk(result, request.uri);
  if (request.method == "textDocument/signatureHelp") pass.signatures(result);
  if (gives_items(request.method)) name_documents(result, request.uri);
  if (resolves_item(request.method)) name_document(result, request.uri, true);
}

std::string PositionTranslation::to_client(std::string_view message) {
  const Envelope e = scan(message, Scan::full);
  Request request;
  if (e.is_response()) {
    auto found = requests_.extract(own_id(e.id));
    if (found.empty() || e.result.empty() || e.result == "null") return std::string(message);
    request = std::move(found.mapped());
  } else if (e.params.empty()) {
    return std::string(message);
  }
  auto doc = parse_repaired(message);
  if (!doc || !doc->is_object()) return std::string(message);
  Pass pass(*this, servers_, kClients);
  bool changed = false;
  if (e.is_response()) {
    translate_result(request, (*doc)["result"], pass);
    changed = gives_items(request.method) || resolves_item(request.method);
  } else if (e.method() == "$/progress") {
    const std::string token(member(e.params, "token"));
    const auto of = std::ranges::find(requests_, token, [](const auto& each) { return each.second.partial; });
    if (token.empty() || of == requests_.end()) return std::string(message);
    translate_result(of->second, (*doc)["params"]["value"], pass);
    changed = gives_items(of->second.method);
  } else if (e.method() == "client/registerCapability") {
    json& params = (*doc)["params"];
    if (!part(params, "registrations").is_array()) return std::string(message);
    for (json& each : params["registrations"]) {
      if (part(each, "method") != "textDocument/semanticTokens" || !part(each, "registerOptions").is_object()) continue;
      offer_whole_tokens(each["registerOptions"]);
      changed = true;
    }
  } else {
    pass.walk((*doc)["params"], uri_in((*doc)["params"]));
  }
  return changed || pass.changed() ? dump_json(*doc) : std::string(message);
}

// ---- the next instance ----------------------------------------------------------------------------------------------

json PositionTranslation::suspend() const {
  json requests = json::array();
  for (const auto& [id, request] : requests_) requests.push_back({id, request.method, request.uri, request.partial});
  return {{"servers", name(servers_)}, {"documents", documents_.suspend()}, {"requests", std::move(requests)}};
}

PositionTranslation::PositionTranslation(const json& suspended, ReadFile read_file)
    : PositionTranslation(encoding_named(suspended.at("servers").get<std::string>()).value_or(kClients),
                          std::move(read_file)) {
  documents_.restore(suspended.at("documents"));
  for (const auto& each : suspended.at("requests"))
    requests_[each.at(0).get<long long>()] = {each.at(1), each.at(2), each.at(3)};
}

}  // namespace gantry::lsp
