// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_spec.hpp: a plugin as the host knows it before it runs, and the search for
// plugins.
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
  std::filesystem::path copy;  ///< the copy that is opened instead; empty: there is none
  bool enabled = true;
  bool bundled = false;                       ///< it is in the host's own plugin folder
  std::optional<std::vector<Grant>> granted;  ///< not set: if bundled those that it asks for, else the trusted
  std::vector<Grant> trusted{};               ///< the grants that the user has agreed to
  std::optional<std::int64_t> max_memory_mib;
  bool child = false;   ///< run it in a process of its own
  bool restart = true;  ///< restart it when it has failed
  std::optional<Manifest> manifest;
  std::string failure;  ///< why it cannot run: there is no manifest, or what it needs is not there

  /// Sets the manifest. The plugin's id is the name of its table, whatever the manifest says.
  void take(Manifest said);
  /// A defect that does not keep the plugin from running; empty: there is none.
  [[nodiscard]] std::string warning() const;
  [[nodiscard]] const std::filesystem::path& opened() const { return copy.empty() ? library : copy; }
  /// True: the plugin came with the host and receives the table of models: only it may read the
  /// keys that the table names.
  [[nodiscard]] bool reads_keys() const { return bundled && manifest && manifest->settings == "ai"; }
  /// The grants in force: those that the manifest asks for and the configuration grants, or the
  /// user has trusted it with.
  [[nodiscard]] std::vector<Grant> grants() const;
  /// True: it runs only when the user has agreed to all that it asks for.
  [[nodiscard]] bool needs_trust() const { return !bundled && !granted; }
  /// Something else than a call starts it.
  [[nodiscard]] bool starts_by_itself() const { return manifest && !manifest->activation.empty(); }
  [[nodiscard]] bool starts_with_host() const { return manifest && manifest->activated_by("start"); }
  /// For PluginRights.
  [[nodiscard]] Principal principal() const;
  /// The grants that it asks for and nobody has agreed to: it does not run before somebody has.
  [[nodiscard]] std::vector<Grant> untrusted() const;
  [[nodiscard]] std::string untrusted_reason() const;
  /// Why it must not be started or called: it is disabled, out of order, or waits for trust.
  [[nodiscard]] std::optional<Error> refusal() const;
  /// `permission_denied` names the trust that it waits for; empty: it waits for none.
  [[nodiscard]] std::optional<Error> trust_error() const;
};

[[nodiscard]] std::vector<std::string> grant_texts(const std::vector<Grant>& grants);

/// $HOME, or empty.
[[nodiscard]] std::string home_folder();

/// Reads the manifests of every NAME.so in `bundled` and of the plugins that are `configured` by
/// path. Sorted by name.
[[nodiscard]] std::vector<PluginSpec> find_plugins(const std::filesystem::path& bundled,
                                                   const std::vector<PluginSpec>& configured);

/// Why the folder cannot be read, for people; empty: it can be read, or does not exist.
[[nodiscard]] std::string unreadable_folder(const std::filesystem::path& folder);

/// Marks plugins that cannot run beside the others, or without them, as out of order: their
/// `failure` says why.
void refuse_what_does_not_fit(std::vector<PluginSpec>& specs);

}  // namespace gantry::host
