// SPDX-License-Identifier: Apache-2.0
//
// config.hpp: the [ai] table and the [async] keys that concern it, as typed values.
//
// Thread rule: built on the serial thread, immutable afterwards; shared by pointer.
#pragma once

#include <chrono>
#include <cstddef>
#include <gantry/deadline.hpp>
#include <gantry/plugin/host.hpp>
#include <gantry/result.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gantry::ai {

/// The model that always exists: learned from the workspace, on this machine.
inline constexpr const char* kEmbedded = "embedded";

enum class ProviderKind { openai, embedded };

/// The source of a provider's key. The key itself is read when a request needs it, and is never
/// kept here.
struct KeySource {
  enum class Kind { none, environment, file, command };
  Kind kind = Kind::none;
  std::string value;  ///< the name of the variable, the file, or the command line
};

struct ProviderConfig {
  std::string name;
  ProviderKind kind = ProviderKind::openai;
  std::string base_url;  ///< without a slash at its end
  KeySource key;
  int max_retries = 2;
  Duration connect_timeout = std::chrono::seconds(5);  ///< the limit for a connection that is ready for the request
  std::vector<std::string> omit;                       ///< members that are left out of a request
};

struct ModelConfig {
  std::string name;
  std::shared_ptr<const ProviderConfig> provider;
  std::string upstream;  ///< the model's name at the provider
  std::vector<std::string> fallback;
};

/// One model that a request may be sent to.
struct Target {
  std::string model;
  std::shared_ptr<const ProviderConfig> provider;
  std::string upstream;
};

struct AiConfig {
  std::string default_model = kEmbedded;
  std::map<std::string, std::string> default_in_workspace;  ///< for workspaces whose project has a default of its own
  std::map<std::string, std::shared_ptr<const ProviderConfig>> providers;
  std::map<std::string, ModelConfig> models;  ///< always holds "embedded"
  std::size_t max_concurrent = 4;
  Duration timeout = std::chrono::seconds(30);
  std::size_t embedded_max_tokens = 4'000'000;  ///< per workspace, about 10 bytes each; for those learned from now on

  /// Checks everything; an error names the key as it is written in TOML.
  [[nodiscard]] static Result<std::shared_ptr<const AiConfig>> parse(const PluginConfig& config);

  /// The model and its fallbacks in order, each once. Empty name: the default of the workspace.
  [[nodiscard]] Result<std::vector<Target>> chain(const std::string& model, const std::string& workspace = {}) const;
  [[nodiscard]] const std::string& default_for(const std::string& workspace) const;
};

}  // namespace gantry::ai
