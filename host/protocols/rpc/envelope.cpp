// SPDX-License-Identifier: Apache-2.0
//
// simdjson's DOM pass validates everything and says what a member is, but not where it lies. That is found by walking
// the same text beside it, which is simple where the text is known to be valid.
#include "host/protocols/rpc/envelope.hpp"

#include <simdjson.h>

#include <array>
#include <cstring>
#include <gantry/json.hpp>
#include <limits>
#include <optional>
#include <utility>

#include "host/protocols/rpc/loose_text.hpp"
#include "host/runtime/json_values.hpp"

namespace gantry::host {

namespace {

namespace dom = simdjson::dom;

/// The members of a message that matter, and the bytes of two of them.
struct Members {
  std::optional<dom::element> id, version, method, params;
  std::string_view raw_id, raw_params;
  std::string_view raw_result, raw_error;
  bool twice = false;
};

[[nodiscard]] Members read_members(const dom::object& object, std::string_view text) {
  Members out;
  JsonValues values(text);
  const auto set = [&](std::optional<dom::element>& member, const dom::element& value) {
    out.twice = out.twice || member.has_value();
    member = value;
  };
  for (const auto& [key, value] : object) {
    const std::string_view raw = values.next_member().value;
    if (key == "id") {
      set(out.id, value);
      out.raw_id = raw;
    } else if (key == "params") {
      set(out.params, value);
      out.raw_params = raw;
    } else if (key == "method") {
      set(out.method, value);
    } else if (key == "jsonrpc") {
      set(out.version, value);
    } else if (key == "result" || key == "error") {
      std::string_view& member = key == "result" ? out.raw_result : out.raw_error;
      out.twice = out.twice || !member.empty();
      member = raw;
    }
  }
  return out;
}

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

[[nodiscard]] RpcMessage read_message(const Members& m, EnvelopeParser::Meta read) {
  const bool id_ok = m.id && (m.id->is_string() || m.id->is_number());
  // An id that cannot be used cannot be answered with, either.
  const std::string_view usable = id_ok && !m.twice && m.raw_id.size() <= 256 ? m.raw_id : std::string_view();
  const auto wrong = [&](std::string why) { return refuse(usable, ErrorKind::invalid_request, std::move(why)); };
  if (m.twice) return wrong("a member of the message appears twice");
  std::string_view version;
  if (!m.version || m.version->get(version) || version != "2.0")
    return wrong(R"(the message must have "jsonrpc": "2.0")");
  if (m.id && m.id->is_null() && m.method) return wrong("id must be a string or a number");
  if (m.id && !id_ok && !m.id->is_null()) return wrong("id must be a string or a number");
  if (m.raw_id.size() > 256) return refuse({}, ErrorKind::invalid_request, "id is longer than 256 bytes");
  RpcMessage message;
  message.id = usable;
  if (!m.method) {
    if (m.raw_result.empty() && m.raw_error.empty()) return wrong("the message has no method");
    message.kind = RpcMessage::Kind::response;
    message.result = m.raw_result;
    message.failure = m.raw_error;
    return message;
  }
  std::string_view name;
  if (m.method->get(name) || name.empty() || name.size() > 256)
    return wrong("method must be a string of 1 to 256 bytes");
  message.method = name;
  message.kind = m.id ? RpcMessage::Kind::call : RpcMessage::Kind::notification;
  if (!m.params || m.params->is_null()) return message;  // null: what many client libraries send for none
  // A notification is never answered: one that is wrong is one that finds nobody.
  if (!m.id && !m.params->is_object()) return message;
  if (!m.params->is_object())
    return refuse(usable, ErrorKind::invalid_params, "params must be an object; positional params are not taken");
  message.params = m.raw_params;
  if (read == EnvelopeParser::Meta::left) return message;
  auto meta = read_meta(*m.params);
  if (!meta && !m.id) return message;
  if (!meta) return refuse(usable, meta.error().kind, meta.error().message);
  message.meta = std::move(*meta);
  return message;
}

}  // namespace

namespace {

[[nodiscard]] Error refusal_of(simdjson::error_code error, std::size_t max_depth) {
  switch (error) {
    case simdjson::DEPTH_ERROR:
      return {
          ErrorKind::invalid_request, "the message is nested deeper than " + std::to_string(max_depth) + " levels", {}};
    case simdjson::STRING_ERROR:
      return {ErrorKind::parse_error,
              "a string of the message has an escape that is none, or half of a surrogate pair (\\ud83d without its "
              "other half); send whole characters, or \\ufffd",
              {}};
    case simdjson::NUMBER_ERROR:
      return {ErrorKind::parse_error,
              "a number of the message is malformed, or beyond 64 bits or a double; send a number that fits, or a "
              "string",
              {}};
    case simdjson::UTF8_ERROR:
      return {ErrorKind::parse_error, "the message is no UTF-8; send its text in UTF-8", {}};
    default:
      return {ErrorKind::parse_error, std::string("malformed JSON: ") + simdjson::error_message(error), {}};
  }
}

// A message whose text no parser takes, under the id that it has as far as can be seen.
[[nodiscard]] RpcMessage refuse_text(std::string_view text, const Error& why) {
  constexpr std::string_view kAnswerRefused =
      R"({"code":-32700,"message":"the client's answer could not be read: its text is no JSON that the host takes"})";
  std::string_view id;
  bool has_method = false;
  bool twice = false;
  const bool matches = each_loose_member(text, [&](std::string_view key, std::string_view value) {
    has_method = has_method || key == "method";
    if (key != "id") return;
    twice = twice || !id.empty();
    id = value;
  });
  const bool may_be_id =
      !id.empty() && (id.front() == '"' || id.front() == '-' || (id.front() >= '0' && id.front() <= '9'));
  if (!matches || twice || !may_be_id || id.size() > 256 || !json::accept(id)) id = {};
  RpcMessage message = refuse(id, why.kind, why.message);
  if (has_method || id.empty()) return message;
  message.kind = RpcMessage::Kind::response;
  message.failure = kAnswerRefused;
  return message;
}

}  // namespace

struct EnvelopeParser::Impl {
  std::size_t max_bytes;
  std::size_t max_depth;
  std::size_t max_batch;
  Meta meta;
  std::unique_ptr<dom::parser> dom;
  std::unique_ptr<dom::parser> inner;  ///< for what is asked about a message that `dom` holds

  // A parser keeps what its largest document needed; after a large one it starts anew.
  void shrink(std::unique_ptr<dom::parser>& parser) const {
    constexpr std::size_t kKeptBytes = 256 * 1024;
    if (parser && parser->capacity() <= kKeptBytes) return;
    parser = std::make_unique<dom::parser>(max_bytes);
    (void)parser->allocate(4096, max_depth);
  }
};

EnvelopeParser::EnvelopeParser(std::size_t max_bytes, std::size_t max_depth, std::size_t max_batch, Meta meta)
    : impl_(std::make_unique<Impl>(Impl{max_bytes, max_depth, max_batch, meta, nullptr, nullptr})) {}
EnvelopeParser::~EnvelopeParser() = default;

Result<void> EnvelopeParser::parse(std::string_view text, RpcParsed& into) {
  constexpr std::size_t kKeptMessages = 64;
  if (into.messages.size() > kKeptMessages) into = RpcParsed();
  into.batch = false;
  into.messages.clear();
  impl_->shrink(impl_->dom);
  dom::element root;
  if (const auto error = impl_->dom->parse(text.data(), text.size(), false).get(root))
    return salvage(text, refusal_of(error, impl_->max_depth), into);
  dom::object object;
  if (!root.get(object)) {
    into.messages.push_back(read_message(read_members(object, text), impl_->meta));
    return {};
  }
  dom::array batch;
  if (root.get(batch)) return fail(ErrorKind::invalid_request, "a message must be an object, or an array of them");
  if (batch.size() == 0) return fail(ErrorKind::invalid_request, "a batch must not be empty");
  if (batch.size() > impl_->max_batch) return too_many(batch.size());
  into.batch = true;
  JsonValues values(text);
  for (const dom::element element : batch) {
    const std::string_view raw = values.next();
    if (!element.get(object)) {
      into.messages.push_back(read_message(read_members(object, raw), impl_->meta));
    } else {
      into.messages.push_back(refuse({}, ErrorKind::invalid_request, "a message of a batch must be an object"));
    }
  }
  return {};
}

std::unexpected<Error> EnvelopeParser::too_many(std::size_t messages) const {
  return fail(ErrorKind::invalid_request,
              "a batch may hold " + std::to_string(impl_->max_batch) + " messages, not " + std::to_string(messages));
}

// One message, or of a batch those that are wrong; the others are taken.
Result<void> EnvelopeParser::salvage(std::string_view text, Error why, RpcParsed& parsed) {
  std::vector<std::string_view> elements;
  std::size_t count = 0;
  const bool batch = each_loose_element(text, [&](std::string_view element) {
    if (count++ < impl_->max_batch) elements.push_back(element);
  });
  if (!batch) {
    parsed.messages.push_back(refuse_text(text, why));
    if (parsed.messages.front().id.empty()) return std::unexpected(std::move(why));
    return {};
  }
  if (count > impl_->max_batch) return too_many(count);
  parsed.batch = true;
  for (const std::string_view element : elements) {
    dom::element root;
    dom::object object;
    if (const auto error = impl_->dom->parse(element.data(), element.size(), false).get(root)) {
      parsed.messages.push_back(refuse_text(element, refusal_of(error, impl_->max_depth)));
    } else if (!root.get(object)) {
      parsed.messages.push_back(read_message(read_members(object, element), impl_->meta));
    } else {
      parsed.messages.push_back(refuse({}, ErrorKind::invalid_request, "a message of a batch must be an object"));
    }
  }
  return {};
}

std::string_view EnvelopeParser::raw_member(std::string_view object, std::string_view name) {
  impl_->shrink(impl_->inner);
  dom::object members;
  if (object.empty() || impl_->inner->parse(object.data(), object.size(), false).get(members)) return {};
  JsonValues values(object);
  for (const auto& [key, unused] : members) {
    const std::string_view raw = values.next_member().value;
    if (key == name) return raw;
  }
  return {};
}

std::string rpc_error(std::string_view id, const Error& error) {
  json data = json::object();
  if (!error.data.empty()) {
    if (auto more = parse_json(error.data); more && more->is_object()) data = std::move(*more);
  }
  data["kind"] = kind_name(error.kind);
  const json object{{"code", static_cast<std::int32_t>(error.kind)}, {"message", error.message}, {"data", data}};
  std::string text = R"({"jsonrpc":"2.0","id":)";
  text += id.empty() ? "null" : id;
  text += R"(,"error":)";
  text += dump_json(object);
  text += '}';
  return text;
}

}  // namespace gantry::host
