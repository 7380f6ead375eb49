// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/server.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace gantry::host::mcp {

namespace {

constexpr std::size_t kPadding = 64;  // that the parser reads behind a text
constexpr const char* kInstructions =
    "Tools of the Gantry host that runs on this machine, which editors, agents and scripts share. The workspace is the "
    "folder that the server was started in.";

/// An id of MCP: a string or an integer.
[[nodiscard]] bool is_id(std::string_view id) {
  return id.starts_with('"') || id.find_first_of(".eE") == std::string_view::npos;
}

[[nodiscard]] bool is_modern_meta(const json& meta) {
  return meta.is_object() && std::ranges::any_of(std::array{meta::kVersion, meta::kCapabilities, meta::kClientInfo},
                                                 [&](const char* name) { return meta.contains(name); });
}

}  // namespace

McpServer::McpServer(HostLink& host, ClientLink& client, Limits limits, Seal seal)
    : limits_(limits),
      client_(client),
      parser_(limits.message, limits.depth, limits.batch, EnvelopeParser::Meta::left),
      host_(host),
      requests_(client),
      questions_(client),
      methods_(host_, requests_, questions_, client, parser_, std::move(seal)),
      log_level_(*log_level("info")) {}

void McpServer::receive(std::string_view text) {
  RpcParsed parsed;
  if (const auto ok = parser_.parse(text, parsed); !ok)
    return client_.send(error_text({}, {static_cast<int>(ok.error().kind), ok.error().message}), {});
  if (!parsed.batch) {
    for (const auto& message : parsed.messages) take(message, nullptr);
    return;
  }
  if (legacy_ == nullptr || !legacy_->batches)
    return client_.send(
        error_text({}, {code::kInvalidRequest, "batches exist in 2025-03-26 only; send one message a line"}), {});
  const auto batch = std::make_shared<Batch>();
  batch->open = 1;  // until all messages of it are read
  for (const auto& message : parsed.messages) take(message, batch);
  requests_.end_batch(batch);
}

void McpServer::refuse_too_long() {
  client_.send(error_text({}, {code::kInvalidRequest, "a message is longer than " + std::to_string(limits_.message) +
                                                          " bytes; it was not read"}),
               {});
}

void McpServer::take(const RpcMessage& message, const std::shared_ptr<Batch>& batch) {
  switch (message.kind) {
    case RpcMessage::Kind::call:
      return take_request(message, batch);
    case RpcMessage::Kind::notification:
      return take_notification(message);
    case RpcMessage::Kind::response:
      return questions_.answered(std::string(message.id), message.result, message.failure);
    case RpcMessage::Kind::invalid:
      break;
  }
  const std::string_view id = is_id(message.id) ? message.id : std::string_view();
  requests_.refuse(id, {static_cast<int>(message.error.kind), message.error.message}, batch);
}

void McpServer::take_notification(const RpcMessage& message) {
  if (message.method == "notifications/initialized" && legacy_ != nullptr) {
    methods_.subscriptions().tell_lists();
  } else if (message.method == "notifications/cancelled") {
    (void)requests_.cancel(dump_json(member(message.params, "requestId")));
  }
}

void McpServer::take_request(const RpcMessage& message, const std::shared_ptr<Batch>& batch) {
  if (!is_id(message.id))
    return requests_.refuse({}, {code::kInvalidRequest, "id must be a string or an integer"}, batch);
  auto request = std::make_shared<Request>();
  // One text for one id, however the client writes it.
  request->id = dump_json(json::parse(message.id));
  request->method = message.method;
  request->params.reserve(message.params.size() + kPadding);
  request->params.append(message.params.empty() ? "{}" : message.params);
  request->batch = batch;
  const json meta = member(request->params, "_meta");
  constexpr std::size_t kMaxTrace = 256;  // the host's
  if (auto trace = text_member(meta, "traceparent"); trace.size() <= kMaxTrace) request->traceparent = std::move(trace);
  if (const auto token = meta.is_object() ? meta.value("progressToken", json()) : json();
      token.is_string() || is_integer(token))
    request->progress_token = token;
  if (const auto wrong = identify(*request, meta)) return requests_.refuse(request->id, *wrong, batch);
  if (requests_.add(request)) serve(request);
}

std::optional<Failure> McpServer::identify(Request& request, const json& meta) {
  const bool opens = request.method == "initialize" || request.method == "ping";  // before anything was negotiated
  if (!is_modern_meta(meta) && (legacy_ != nullptr || opens)) {
    request.revision = legacy_ != nullptr ? legacy_ : &kLegacy.front();
    request.capabilities = capabilities_;
    request.log_level = log_level_;
    return std::nullopt;
  }
  request.revision = &kModern;
  const json version = meta.is_object() ? meta.value(meta::kVersion, json()) : json();
  const json capabilities = meta.is_object() ? meta.value(meta::kCapabilities, json()) : json();
  if (!version.is_string())
    return Failure{code::kInvalidParams, std::string("_meta must have ") + meta::kVersion + ", a string"};
  if (!capabilities.is_object())
    return Failure{code::kInvalidParams, std::string("_meta must have ") + meta::kCapabilities + ", an object"};
  if (version != kModern.name)
    return Failure{code::kUnsupportedVersion,
                   "protocol version " + version.get<std::string>() + " is not supported",
                   {{"supported", {kModern.name}}, {"requested", version}}};
  request.capabilities = capabilities;
  if (const auto level = meta.find(meta::kLogLevel); level != meta.end()) {
    request.log_level = level->is_string() ? log_level(level->get_ref<const std::string&>()) : std::nullopt;
    if (!request.log_level) return Failure{code::kInvalidParams, std::string(meta::kLogLevel) + " is no log level"};
  }
  return std::nullopt;
}

void McpServer::serve(const RequestPtr& request) {
  const std::string& method = request->method;
  const bool modern = request->revision->modern;
  if (modern && method == "server/discover") return discover(request);
  if (!modern && method == "initialize") return initialize(request);
  if (!modern && method == "ping") return requests_.reply(request, json::object());
  if (!modern && method == "logging/setLevel") return set_level(request);
  if (!methods_.serve(request))
    requests_.fail(request,
                   {code::kMethodNotFound, "method " + method + " is none of " + std::string(request->revision->name)});
}

void McpServer::initialize(const RequestPtr& request) {
  const json version = member(request->params, "protocolVersion");
  json capabilities = member(request->params, "capabilities");
  if (legacy_ != nullptr) return requests_.fail(request, {code::kInvalidRequest, "the client is initialized already"});
  if (!version.is_string()) return requests_.fail(request, {code::kInvalidParams, "protocolVersion must be a string"});
  if (!capabilities.is_object())
    return requests_.fail(request, {code::kInvalidParams, "capabilities must be an object"});
  legacy_ = &negotiated(version.get_ref<const std::string&>());
  request->revision = legacy_;
  capabilities_ = std::move(capabilities);
  requests_.reply(request, {{"protocolVersion", legacy_->name},
                            {"capabilities", server_capabilities(*legacy_)},
                            {"serverInfo", server_info(*legacy_)},
                            {"instructions", kInstructions}});
  methods_.begin();
}

void McpServer::discover(const RequestPtr& request) {
  requests_.reply(request, {{"supportedVersions", {kModern.name}},
                            {"capabilities", server_capabilities(kModern)},
                            {"instructions", kInstructions},
                            {"ttlMs", Methods::kListTtlMs},
                            {"cacheScope", "private"}});
}

void McpServer::set_level(const RequestPtr& request) {
  const json name = member(request->params, "level");
  const auto level = name.is_string() ? log_level(name.get_ref<const std::string&>()) : std::nullopt;
  if (!level) return requests_.fail(request, {code::kInvalidParams, "level must be a log level, such as \"info\""});
  log_level_ = *level;
  requests_.reply(request, json::object());
}

json McpServer::member(std::string_view params, const char* name) {
  const std::string_view text = parser_.raw_member(params, name);
  auto value = text.empty() ? Result<json>(json()) : parse_json(text);
  return value ? std::move(*value) : json();
}

}  // namespace gantry::host::mcp
