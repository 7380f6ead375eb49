// SPDX-License-Identifier: Apache-2.0
//
// Two passes over the text, both at gigabytes a second: the DOM pass validates everything and answers what a member is;
// the on-demand pass finds where it lies. On-demand alone would accept malformed text inside what it skips.
#include "host/doors/rpc/envelope.hpp"

#include <simdjson.h>

#include <limits>

namespace gantry::host {

namespace {

namespace dom = simdjson::dom;
namespace ondemand = simdjson::ondemand;

[[nodiscard]] std::string_view trim(std::string_view token) {
  while (!token.empty() &&
         (token.back() == ' ' || token.back() == '\t' || token.back() == '\n' || token.back() == '\r'))
    token.remove_suffix(1);
  return token;
}

// The bytes of a value; empty on an error, which the DOM pass has ruled out.
[[nodiscard]] std::string_view raw_value(ondemand::value value) {
  ondemand::json_type type{};
  if (value.type().get(type)) return {};
  std::string_view raw;
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    if (value.get_object().get(object) || object.raw_json().get(raw)) return {};
    return trim(raw);
  }
  if (type == ondemand::json_type::array) {
    ondemand::array array;
    if (value.get_array().get(array) || array.raw_json().get(raw)) return {};
    return trim(raw);
  }
  return trim(value.raw_json_token());
}

struct RawEnvelope {
  std::string_view id, params;
  bool twice = false;
};

[[nodiscard]] Result<RpcMeta> read_meta(const dom::element& params) {
  RpcMeta meta;
  dom::element found;
  if (params["_meta"].get(found)) return meta;
  if (!found.is_object()) return fail(ErrorKind::invalid_params, "_meta must be an object");
  dom::element member;
  if (!found["stream"].get(member)) {
    std::uint64_t credit = 0;
    if (member["credit"].get(credit) || credit > std::numeric_limits<std::uint32_t>::max())
      return fail(ErrorKind::invalid_params, R"(_meta.stream must be {"credit": N} with N from 0 to 4294967295)");
    meta.stream_credit = static_cast<std::uint32_t>(credit);
  }
  if (!found["timeout_ms"].get(member)) {
    constexpr std::int64_t kDayMs = 24 * 3600 * 1000;
    std::int64_t timeout = 0;
    if (member.get(timeout) || timeout < 0 || timeout > kDayMs)
      return fail(ErrorKind::invalid_params, "_meta.timeout_ms must be an integer from 0 to 86400000");
    meta.timeout_ms = timeout;
  }
  for (const auto& [name, into] : {std::pair<const char*, std::string*>{"traceparent", &meta.traceparent},
                                   {"idempotency_key", &meta.idempotency_key}}) {
    if (found[name].get(member)) continue;
    std::string_view text;
    if (member.get(text) || text.size() > 256)
      return fail(ErrorKind::invalid_params, std::string("_meta.") + name + " must be a string of at most 256 bytes");
    *into = text;
  }
  return meta;
}

[[nodiscard]] RpcMessage refuse(std::string_view id, ErrorKind kind, std::string why) {
  RpcMessage message;
  message.id = id;
  message.error = Error{kind, std::move(why), {}};
  return message;
}

[[nodiscard]] RpcMessage read_message(const dom::element& element, const RawEnvelope& raw) {
  dom::element id;
  const bool has_id = !element["id"].get(id);
  const bool id_ok = has_id && (id.is_string() || id.is_number());
  // An id that cannot be used cannot be answered with, either.
  const std::string_view usable = id_ok && !raw.twice && raw.id.size() <= 256 ? raw.id : std::string_view();
  const auto wrong = [&](std::string why) { return refuse(usable, ErrorKind::invalid_request, std::move(why)); };
  if (raw.twice) return wrong("a member of the message appears twice");
  std::string_view version;
  if (element["jsonrpc"].get(version) || version != "2.0") return wrong(R"(the message must have "jsonrpc": "2.0")");
  if (has_id && id.is_null() && !element["method"].error()) return wrong("id must be a string or a number");
  if (has_id && !id_ok && !id.is_null()) return wrong("id must be a string or a number");
  if (raw.id.size() > 256) return refuse({}, ErrorKind::invalid_request, "id is longer than 256 bytes");
  RpcMessage message;
  message.id = usable;
  dom::element method;
  if (element["method"].get(method)) {
    if (element["result"].error() && element["error"].error()) return wrong("the message has no method");
    message.kind = RpcMessage::Kind::response;
    return message;
  }
  std::string_view name;
  if (method.get(name) || name.empty() || name.size() > 256) return wrong("method must be a string of 1 to 256 bytes");
  message.method = name;
  message.kind = has_id ? RpcMessage::Kind::call : RpcMessage::Kind::notification;
  dom::element params;
  if (element["params"].get(params)) return message;
  // A notification is never answered: one that is wrong is one that finds nobody.
  if (!has_id && !params.is_object()) return message;
  if (!params.is_object())
    return refuse(usable, ErrorKind::invalid_params, "params must be an object; positional params are not taken");
  message.params = raw.params;
  auto meta = read_meta(params);
  if (!meta && !has_id) return message;
  if (!meta) return refuse(usable, meta.error().kind, meta.error().message);
  message.meta = std::move(*meta);
  return message;
}

}  // namespace

struct EnvelopeParser::Impl {
  std::size_t max_bytes;
  std::size_t max_depth;
  std::size_t max_batch;
  std::unique_ptr<dom::parser> dom;
  std::unique_ptr<ondemand::parser> spans;
  std::unique_ptr<ondemand::parser> inner;

  // A parser keeps what its largest document needed; after a large one it starts anew.
  void shrink() {
    constexpr std::size_t kKeptBytes = 256 * 1024;
    if (dom && dom->capacity() <= kKeptBytes) return;
    dom = std::make_unique<dom::parser>(max_bytes);
    spans = std::make_unique<ondemand::parser>(max_bytes);
    inner = std::make_unique<ondemand::parser>(max_bytes);
    (void)dom->allocate(4096, max_depth);
  }

  [[nodiscard]] RawEnvelope envelope(std::string_view object) {
    RawEnvelope raw;
    bool method_seen = false;
    bool id_seen = false;
    bool params_seen = false;
    ondemand::document document;
    ondemand::object members;
    if (inner
            ->iterate(
                simdjson::padded_string_view(object.data(), object.size(), object.size() + simdjson::SIMDJSON_PADDING))
            .get(document) ||
        document.get_object().get(members))
      return raw;
    for (auto member : members) {
      std::string_view key;
      ondemand::value value;
      if (member.unescaped_key().get(key)) return raw;
      bool* seen = key == "id" ? &id_seen : key == "params" ? &params_seen : key == "method" ? &method_seen : nullptr;
      if (seen == nullptr) continue;
      raw.twice = raw.twice || *seen;
      *seen = true;
      const bool is_id = seen == &id_seen;
      if (seen == &method_seen || member.value().get(value)) continue;
      (is_id ? raw.id : raw.params) = raw_value(value);
    }
    return raw;
  }
};

EnvelopeParser::EnvelopeParser(std::size_t max_bytes, std::size_t max_depth, std::size_t max_batch)
    : impl_(std::make_unique<Impl>(Impl{max_bytes, max_depth, max_batch, nullptr, nullptr, nullptr})) {}
EnvelopeParser::~EnvelopeParser() = default;

Result<RpcParsed> EnvelopeParser::parse(std::string_view text) {
  impl_->shrink();
  dom::element root;
  if (const auto error = impl_->dom->parse(text.data(), text.size(), false).get(root)) {
    if (error == simdjson::DEPTH_ERROR)
      return fail(ErrorKind::invalid_request,
                  "the message is nested deeper than " + std::to_string(impl_->max_depth) + " levels");
    return fail(ErrorKind::parse_error, std::string("malformed JSON: ") + simdjson::error_message(error));
  }
  RpcParsed parsed;
  if (root.is_object()) {
    parsed.messages.push_back(read_message(root, impl_->envelope(text)));
    return parsed;
  }
  dom::array batch;
  if (root.get(batch)) return fail(ErrorKind::invalid_request, "a message must be an object, or an array of them");
  if (batch.size() == 0) return fail(ErrorKind::invalid_request, "a batch must not be empty");
  if (batch.size() > impl_->max_batch)
    return fail(ErrorKind::invalid_request, "a batch may hold " + std::to_string(impl_->max_batch) + " messages, not " +
                                                std::to_string(batch.size()));
  parsed.batch = true;
  ondemand::document document;
  ondemand::array spans;
  if (impl_->spans
          ->iterate(simdjson::padded_string_view(text.data(), text.size(), text.size() + simdjson::SIMDJSON_PADDING))
          .get(document) ||
      document.get_array().get(spans))
    return fail(ErrorKind::internal, "a valid batch could not be read");
  auto element = batch.begin();
  for (auto span : spans) {
    ondemand::value value;
    const dom::element current = *element;
    ++element;
    if (span.get(value)) return fail(ErrorKind::internal, "a valid batch could not be read");
    const std::string_view raw = raw_value(value);
    if (current.is_object()) {
      parsed.messages.push_back(read_message(current, impl_->envelope(raw)));
    } else {
      parsed.messages.push_back(refuse({}, ErrorKind::invalid_request, "a message of a batch must be an object"));
    }
  }
  return parsed;
}

std::string_view EnvelopeParser::raw_member(std::string_view object, std::string_view name) {
  if (!impl_->inner) impl_->shrink();
  ondemand::document document;
  ondemand::object members;
  if (impl_->inner
          ->iterate(
              simdjson::padded_string_view(object.data(), object.size(), object.size() + simdjson::SIMDJSON_PADDING))
          .get(document) ||
      document.get_object().get(members))
    return {};
  for (auto member : members) {
    std::string_view key;
    ondemand::value value;
    if (member.unescaped_key().get(key) || key != name) continue;
    if (member.value().get(value)) return {};
    return raw_value(value);
  }
  return {};
}

}  // namespace gantry::host
