// SPDX-License-Identifier: Apache-2.0
//
// messages.hpp: the plugin's own messages: errors, and the client's part of the protocol for
// callers that are no editor.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <gantry/repair.hpp>
#include <string>
#include <string_view>

#include "plugins/lsp/config.hpp"

namespace gantry::lsp {

/// LSP's RequestFailed: the code of the host's errors towards an editor, with `data.kind`.
inline constexpr int kRequestFailed = -32803;
/// LSP's ContentModified: a text has changed while the server worked on a request, which may be made again.
inline constexpr int kContentModified = -32801;

/// A request whose answer is information. Not those whose answer is an edit (rename, formatting, codeAction,
/// willSaveWaitUntil), for a text that the caller has seen; not workspace/executeCommand, which may have done a part;
/// not what resolves an item of an earlier answer; not what no specification names.
[[nodiscard]] bool only_reads(std::string_view method);

/// Parses JSON in which bytes that are no UTF-8, and half surrogate pairs, are replaced.
[[nodiscard]] inline Result<json> parse_repaired(std::string_view text) {
  const auto repaired = repaired_json(text);
  return parse_json(repaired ? std::string_view(*repaired) : text);
}

/// The text of a JSON-RPC error answer. `id`: its raw text.
[[nodiscard]] std::string error_message(const std::string& id, int code, const Error& error);

/// A bound is reached, and may not be soon.
[[nodiscard]] inline Error overloaded(std::string what) {
  return {ErrorKind::overloaded, std::move(what), R"({"retry_after_ms":1000})"};
}

/// A server ends, or has ended, because lsp.stop was called for it.
[[nodiscard]] inline Error stopped_error(const std::string& server) {
  return {ErrorKind::unavailable,
          server +
              " was stopped (lsp.stop) and is not started again until lsp.restart: `gantry call lsp.restart server=" +
              server + "`",
          {}};
}

/// The params of `initialize` for a server that callers without an editor share. Its initializationOptions are the
/// member of its settings that has its name: clangd takes its fallback flags nowhere else.
[[nodiscard]] json own_initialize_params(const ServerConfig& config, const std::string& root);

/// The answer to a `workspace/configuration` with these params, by sections of the settings; null where there is none.
[[nodiscard]] json configuration_from(const json& params, const json& settings);

/// The answer to a request of such a server. `id`: the raw text of the id, which is repeated
/// unchanged. Every request is answered.
[[nodiscard]] std::string answer_to_server(std::string_view id, std::string_view method, const json& params,
                                           const ServerConfig& config, const std::string& root);

}  // namespace gantry::lsp
