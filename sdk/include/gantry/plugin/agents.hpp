// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/agents.hpp: how a method offers itself to agents, which speak MCP (the Model Context
// Protocol, modelcontextprotocol.io): as a tool that a model calls, as a resource that a client
// reads, as a prompt that a user picks. A method may be all three.
//
// Thread rule: values.
// Errors: the host refuses a manifest with a name or URI that is malformed or is declared twice.
// Never: a method that declares none of these is offered to agents.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <utility>

namespace gantry {

/// A method that agents call as a tool. Its params are the tool's arguments, its result is the
/// tool's structured content.
struct Tool {
  /// 1 to 64 characters of a-z, 0-9 and `_`. Empty: the name of the method, in lower case, each
  /// other character a `_`.
  std::string name = {};
  std::string title = {};        ///< for people; empty: none
  std::string description = {};  ///< for the model; empty: the method's summary
  /// What a client may tell its user; the defaults are MCP's own.
  bool read_only = false;   ///< changes nothing
  bool destructive = true;  ///< may overwrite or delete; without meaning where `read_only` is set
  bool idempotent = false;  ///< a second call with the same arguments changes nothing more
  bool open_world = true;   ///< reaches things outside this machine's workspaces, the web for example
  /// The method's result is an MCP result itself: `{content: [...], structuredContent?, isError?}`.
  /// Else the result is sent as structured content, and its JSON as text.
  bool content = false;
  /// The items of the method's stream are log messages, `{level, data, logger?}`, for a client that
  /// wants them. `level` is one of debug, info, notice, warning, error, critical, alert, emergency.
  bool logs = false;
};

/// A method that agents read as a resource. It is called with `{uri}`, and with the variables of
/// `uri_template` as further members, and answers `{contents: [{uri, mimeType?, text | blob}]}`.
struct Resource {
  /// Of one resource; or
  std::string uri = {};
  /// of many: `{name}` stands for one or more characters except `/`, `?` and `#`, `{+name}` for
  /// those except `?` and `#` (RFC 6570). The method gets the values decoded.
  std::string uri_template = {};
  std::string name = {};  ///< empty: the name of the method
  std::string title = {};
  std::string description = {};  ///< empty: the method's summary
  std::string mime_type = {};
  /// A topic that the plugin publishes `{uri}` on when the content under that URI has changed.
  /// Empty: nobody is told.
  std::string changes = {};
  /// The method that completes a variable of the template; see Prompt::completes.
  std::string completes = {};
};

/// A method that agents offer their user as a prompt. Its params, which are strings, are the
/// prompt's arguments. It answers `{description?, messages: [{role, content}]}`.
struct Prompt {
  std::string name = {};  ///< as Tool::name
  std::string title = {};
  std::string description = {};  ///< empty: the method's summary
  /// A method of the same plugin that completes an argument: `{argument, value, others}` (its name,
  /// its beginning, the arguments that are known already) -> `{values, total?, hasMore?}`.
  std::string completes = {};
};

namespace detail {

/// The manifest's form.
[[nodiscard]] inline json manifest_of(Tool tool) {
  json out{{"annotations",
            {{"readOnlyHint", tool.read_only},
             {"destructiveHint", tool.destructive && !tool.read_only},
             {"idempotentHint", tool.idempotent},
             {"openWorldHint", tool.open_world}}}};
  const auto put = [&out](const char* key, std::string& text) {
    if (!text.empty()) out[key] = std::move(text);
  };
  put("name", tool.name);
  put("title", tool.title);
  put("description", tool.description);
  if (tool.content) out["content"] = true;
  if (tool.logs) out["logs"] = true;
  return out;
}

[[nodiscard]] inline json manifest_of(Resource resource) {
  json out = json::object();
  const auto put = [&out](const char* key, std::string& text) {
    if (!text.empty()) out[key] = std::move(text);
  };
  put("uri", resource.uri);
  put("uri_template", resource.uri_template);
  put("name", resource.name);
  put("title", resource.title);
  put("description", resource.description);
  put("mime_type", resource.mime_type);
  put("changes", resource.changes);
  put("completes", resource.completes);
  return out;
}

[[nodiscard]] inline json manifest_of(Prompt prompt) {
  json out = json::object();
  const auto put = [&out](const char* key, std::string& text) {
    if (!text.empty()) out[key] = std::move(text);
  };
  put("name", prompt.name);
  put("title", prompt.title);
  put("description", prompt.description);
  put("completes", prompt.completes);
  return out;
}

}  // namespace detail

}  // namespace gantry
