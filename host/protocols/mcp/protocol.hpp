// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/protocol.hpp: the revisions of MCP that the host speaks, the codes of errors,
// and the texts of messages.
//
// Facts are from the specification (modelcontextprotocol.io/specification) and its schema. The
// revisions up to 2025-11-25 begin with `initialize` and are called legacy, as there; 2026-07-28 is
// stateless, every request names its revision, and is called modern.
//
// Thread rule: pure functions.
#pragma once

#include <array>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::host::mcp {

/// What a revision has.
struct Revision {
  std::string_view name;
  bool modern = false;
  bool batches = false;
  bool annotations = false;  ///< of tools; also the `message` of progress, and completions as a capability
  bool structured = false;   ///< structured content, output schemas, titles, elicitation
};

inline constexpr Revision kModern{"2026-07-28", true, false, true, true};
/// The newest first.
inline constexpr std::array<Revision, 4> kLegacy{{{"2025-11-25", false, false, true, true},
                                                  {"2025-06-18", false, false, true, true},
                                                  {"2025-03-26", false, true, true, false},
                                                  {"2024-11-05", false, false, false, false}}};

/// The legacy revision to answer an `initialize` with: the one that the client asks for, else the
/// newest.
[[nodiscard]] const Revision& negotiated(std::string_view asked);

namespace code {
inline constexpr int kParseError = -32700;
inline constexpr int kInvalidRequest = -32600;
inline constexpr int kMethodNotFound = -32601;
inline constexpr int kInvalidParams = -32602;
inline constexpr int kInternal = -32603;
inline constexpr int kResourceNotFound = -32002;  ///< legacy; modern: kInvalidParams
inline constexpr int kMissingCapability = -32021;
inline constexpr int kUnsupportedVersion = -32022;
}  // namespace code

/// Members of `_meta` in a modern request and result.
namespace meta {
inline constexpr const char* kVersion = "io.modelcontextprotocol/protocolVersion";
inline constexpr const char* kClientInfo = "io.modelcontextprotocol/clientInfo";
inline constexpr const char* kCapabilities = "io.modelcontextprotocol/clientCapabilities";
inline constexpr const char* kLogLevel = "io.modelcontextprotocol/logLevel";
inline constexpr const char* kSubscription = "io.modelcontextprotocol/subscriptionId";
inline constexpr const char* kServerInfo = "io.modelcontextprotocol/serverInfo";
}  // namespace meta

/// The error of a request, as JSON-RPC has it.
struct Failure {
  int code = code::kInternal;
  std::string message;
  json data{};
};
/// The host's error as the error of a request: the kinds that JSON-RPC has a code for keep their
/// code, all others are internal errors. `data` has the kind.
[[nodiscard]] Failure failure_of(const Error& error);

/// The severity of a log level of RFC 5424, 0 for `debug` to 7 for `emergency`; nothing: it is none.
[[nodiscard]] std::optional<int> log_level(std::string_view name);

/// Messages. `id` is the JSON text of an id; empty: the request's id could not be read, and the
/// error has none. `result` and `params` are the text of a JSON object.
[[nodiscard]] std::string result_text(std::string_view id, std::string_view result);
[[nodiscard]] std::string error_text(std::string_view id, const Failure& failure);
[[nodiscard]] std::string request_text(std::string_view id, std::string_view method, const json& params);
[[nodiscard]] std::string notification_text(std::string_view method, const json& params);

/// The text of a member; empty: `object` is none, or has no such text.
[[nodiscard]] std::string text_member(const json& object, const char* name);

/// `{name, title, version}` of this server.
[[nodiscard]] json server_info(const Revision& revision);
/// What this server can do, in the words of a revision.
[[nodiscard]] json server_capabilities(const Revision& revision);

}  // namespace gantry::host::mcp
