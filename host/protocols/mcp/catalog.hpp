// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/catalog.hpp: what the methods of all plugins offer to agents, read from the
// host's OpenRPC document (rpc.discover, the members `x-gantry-tool`, `-resource` and `-prompt`).
//
// Thread rule: an immutable value.
// Bounds: a page of a list has kPage entries.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/protocols/mcp/protocol.hpp"

namespace gantry::host::mcp {

struct ToolEntry {
  std::string method;
  bool content = false;  ///< the method's result is an MCP result itself
  bool logs = false;     ///< the items of its stream are log messages
  json listed;           ///< as tools/list of the newest revision has it
};

struct ResourceEntry {
  std::string method;
  std::string changes;    ///< a topic; empty: changes are not told
  std::string completes;  ///< a method; empty: none
  json listed;            ///< with `uri`, or with `uriTemplate`
};

struct PromptEntry {
  std::string method;
  std::string completes;
  json listed;
};

/// A resource that a URI names, and the values of the template's variables, percent-decoded.
struct FoundResource {
  const ResourceEntry* entry = nullptr;
  json variables = json::object();
};

class Catalog {
 public:
  static constexpr std::size_t kPage = 200;

  Catalog() = default;
  explicit Catalog(const json& open_rpc);

  [[nodiscard]] const ToolEntry* tool(std::string_view name) const;
  [[nodiscard]] const PromptEntry* prompt(std::string_view name) const;
  /// A resource of that URI, else the first template that the URI fits, in the order of their text.
  [[nodiscard]] std::optional<FoundResource> resource(std::string_view uri) const;
  [[nodiscard]] const ResourceEntry* resource_template(std::string_view uri_template) const;
  /// The topics on which changes of resources are published.
  [[nodiscard]] std::vector<std::string> topics() const;

  enum class List { tools, resources, templates, prompts };
  /// One page in a revision's words: `{tools: [...], nextCursor?}`. An error: the cursor is not of
  /// this catalog.
  [[nodiscard]] Result<json> page(List list, const Revision& revision, const std::string& cursor) const;
  /// Another value: the list has changed. That of `resources` stands for the templates as well.
  [[nodiscard]] std::string fingerprint(List list) const;

 private:
  std::map<std::string, ToolEntry, std::less<>> tools_;
  std::map<std::string, PromptEntry, std::less<>> prompts_;
  std::map<std::string, ResourceEntry, std::less<>> resources_;  ///< by URI
  std::map<std::string, ResourceEntry, std::less<>> templates_;  ///< by template
};

/// The variables' values if `uri` fits the template (RFC 6570): the value of `{name}` has one or more
/// characters except `/`, `?` and `#`, the value of `{+name}` may have slashes.
[[nodiscard]] std::optional<json> match_template(std::string_view uri_template, std::string_view uri);

}  // namespace gantry::host::mcp
