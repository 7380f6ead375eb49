// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_spec.hpp: which plugins there are.
//
// Thread rule: values; pure functions.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/plugins/library/manifest.hpp"
#include "host/trust/plugin_rights.hpp"

namespace gantry::host {

/// A plugin that was found or configured.
struct PluginSpec {
  std::string name;
  std::filesystem::path library;
  std::filesystem::path copy;  ///< of it, that is opened instead; empty: there is none
  bool enabled = true;
  bool bundled = false;                       ///< it lies in the host's own plugin folder
  std::optional<std::vector<Grant>> granted;  ///< not set: what it asks for if it is bundled, else what is trusted
  std::vector<Grant> trusted{};               ///< what it may ask for, as the user has agreed to
  std::optional<std::int64_t> max_memory_mib;
  bool child = false;   ///< in a process of its own
  bool restart = true;  ///< when it has failed
  std::optional<Manifest> manifest;
  std::string failure;  ///< why it cannot run: there is no manifest, or what it needs is not there

  /// `said` is its manifest. Its id is the name of its table, whatever the manifest says.
  void take(Manifest said);
  /// What is wrong with it, and does not keep it from running; empty: nothing.
  [[nodiscard]] std::string warning() const;
  [[nodiscard]] const std::filesystem::path& opened() const { return copy.empty() ? library : copy; }
  /// It came with the host and is given the table of models: it alone reads the keys that this names.
  [[nodiscard]] bool reads_keys() const { return bundled && manifest && manifest->settings == "ai"; }
  /// What the manifest asks for and the configuration grants, or the user has trusted it with.
  [[nodiscard]] std::vector<Grant> grants() const;
  /// Whether it runs only when the user has agreed to all that it asks for.
  [[nodiscard]] bool needs_trust() const { return !bundled && !granted; }
  /// Something else than a call starts it.
  [[nodiscard]] bool starts_by_itself() const { return manifest && !manifest->activation.empty(); }
  /// For PluginRights.
  [[nodiscard]] Principal principal() const;
  /// What it asks for that nobody has agreed to: it does not run before somebody has.
  [[nodiscard]] std::vector<Grant> untrusted() const;
  [[nodiscard]] std::string untrusted_reason() const;
  /// Why it must not be started or called: it is disabled, out of order, or waits for trust.
  [[nodiscard]] std::optional<Error> refusal() const;
  /// `permission_denied`, which names what it waits for; empty: nothing.
  [[nodiscard]] std::optional<Error> trust_error() const;
};

[[nodiscard]] std::vector<std::string> grant_texts(const std::vector<Grant>& grants);

/// $HOME, or nothing.
[[nodiscard]] std::string home_folder();

/// Reads the manifests of every NAME.so in `bundled` and of the plugins that are `configured` by path. The order is by
/// name.
[[nodiscard]] std::vector<PluginSpec> find_plugins(const std::filesystem::path& bundled,
                                                   const std::vector<PluginSpec>& configured);

/// Why nothing is found there, for people; empty: it can be read, or is not there.
[[nodiscard]] std::string unreadable_folder(const std::filesystem::path& folder);

/// Those that cannot run beside the others, or without them, are out of order: their `failure` says why.
void refuse_what_does_not_fit(std::vector<PluginSpec>& specs);

}  // namespace gantry::host
