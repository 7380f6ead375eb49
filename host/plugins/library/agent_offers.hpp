// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library/agent_offers.hpp: the members of a method's manifest entry that offer the
// method to agents: `tool`, `resource`, `prompt`. gantry/plugin/agents.hpp says what they mean.
//
// Thread rule: values; pure functions.
// Errors: `invalid_params`, with the name of what is wrong.
// Never: a tool or a prompt without a name, a tool whose annotations lack one of the four hints.
#pragma once

#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

struct ToolOffer {
  std::string name;
  std::string title;
  std::string description;
  json annotations;      ///< the four hints of MCP
  bool content = false;  ///< the method's result is an MCP result itself
  bool logs = false;     ///< the items of its stream are log messages
};

struct ResourceOffer {
  std::string uri;           ///< one of these two
  std::string uri_template;  ///< is empty
  std::string name;
  std::string title;
  std::string description;
  std::string mime_type;
  std::string changes;    ///< a topic; empty: changes are not told
  std::string completes;  ///< a method; empty: none
};

struct PromptOffer {
  std::string name;
  std::string title;
  std::string description;
  std::string completes;  ///< a method; empty: none
};

struct AgentOffers {
  std::optional<ToolOffer> tool;
  std::optional<ResourceOffer> resource;
  std::optional<PromptOffer> prompt;

  /// What no other method may offer as well, for messages: `tool NAME`, `resource URI`, `prompt NAME`.
  [[nodiscard]] std::vector<std::string> labels() const;
};

/// What a method's entry says of the method itself.
struct OfferedMethod {
  const std::string& name;
  const std::string& summary;
  const json& params;
  const json& result;
  bool stream = false;
};

/// Reads the three members of a method's entry; absent ones are left empty.
[[nodiscard]] Result<AgentOffers> parse_agent_offers(const json& entry, const OfferedMethod& method);

/// The names of the variables in a URI template, in order: of `{name}` and `{+name}`. An error: a brace without its
/// partner, a name that is no word, two variables without text between them.
[[nodiscard]] Result<std::vector<std::string>> template_variables(std::string_view uri_template);

}  // namespace gantry::host
