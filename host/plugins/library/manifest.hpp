// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library/manifest.hpp: the manifest of a plugin, a JSON file beside its library. No
// code of the plugin is executed to read it.
//
// Thread rule: values; pure functions.
#pragma once

#include <filesystem>
#include <functional>
#include <gantry/json.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "host/config/grants.hpp"
#include "host/plugins/library/agent_offers.hpp"
#include "host/plugins/library/version.hpp"

namespace gantry::host {

struct ManifestMethod {
  std::string name;
  std::string summary;
  json params;
  json result;
  json item = json::object();     ///< of a stream's items; empty: not described
  std::vector<ErrorKind> errors;  ///< that the method may answer, besides those of any call
  bool idempotent = false;
  bool keeps_time = false;  ///< the router sets no default deadline
  bool stream = false;
  bool attach = false;
  /// Its answer may begin a subscription (`follow`), for which this method reads pages of a log; empty: it does not.
  std::string follows;
  AgentOffers offers;           ///< to agents
  bool while_stopping = false;  ///< of a host's own method: plugins that are stopping may call it
};

/// Another plugin, which must run while this one does.
struct ManifestNeed {
  std::string id;
  VersionRange version;
};

struct Manifest {
  std::string id;
  std::string version;
  std::string summary;
  std::uint32_t abi_major = 0;
  std::uint32_t abi_minor = 0;
  std::vector<std::string> services;
  std::map<std::string, ManifestMethod> methods;
  std::vector<std::string> publishes;
  std::vector<std::string> subscribes;
  std::vector<std::string> logs;
  std::string log_reader;  ///< the method that reads pages of its log; empty: there is none
  std::vector<std::string> activation;
  std::vector<ManifestNeed> needs;
  std::vector<Grant> grants;  ///< the grants that it asks for
  std::string settings;       ///< the configuration table that the plugin receives
  json settings_schema;       ///< of [plugins.NAME.settings]; null: not described
  bool nonblocking = false;
  bool handover = false;  ///< on reload the old one stops before the new one starts; else they overlap
  json document;          ///< the JSON as it was read

  [[nodiscard]] bool activated_by(std::string_view when) const;
  /// Topics (patterns) whose first event starts the plugin: those of `on_event:PATTERN`.
  [[nodiscard]] std::vector<std::string> activating_topics() const;
  /// Topics whose first event starts the plugin: those of `on_language:ID`.
  [[nodiscard]] std::vector<std::string> activating_languages() const;
};

[[nodiscard]] Result<void> check_plugin_id(std::string_view id);
[[nodiscard]] Result<Manifest> parse_manifest(std::string_view text);

/// NAME.json beside NAME.so. read_manifest() reads at most 1 MiB.
[[nodiscard]] std::filesystem::path manifest_path(const std::filesystem::path& library);
[[nodiscard]] Result<Manifest> read_manifest(const std::filesystem::path& library);
/// Reads the manifest of the library that `take` copies: a build may move both files into place
/// between the two steps; then both are read once more. `conflict`: that happened every time;
/// reload the plugin again.
[[nodiscard]] Result<Manifest> read_manifest_with(const std::filesystem::path& library,
                                                  const std::function<Result<void>()>& take);

}  // namespace gantry::host
