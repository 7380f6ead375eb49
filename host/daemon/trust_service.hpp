// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/trust_service.hpp: the methods `trust.*`: list what waits for the user's trust, give
// trust and revoke it.
//
// A call that gives trust names what the user has seen (the grants of a plugin, the digest of a
// file): if that has changed meanwhile, the answer is `conflict` and nothing is trusted. Plugins
// may not call these methods (host/trust/plugin_rights.hpp).
//
// Thread rule: any thread that may block.
#pragma once

#include <functional>
#include <gantry/json.hpp>
#include <memory>
#include <string>
#include <vector>

#include "host/bus/event_bus.hpp"
#include "host/calls/call.hpp"
#include "host/config/config.hpp"
#include "host/observe/log.hpp"
#include "host/plugins/library/manifest.hpp"
#include "host/services/service_manager.hpp"
#include "host/trust/trust_store.hpp"

namespace gantry::host {

class TrustService {
 public:
  struct Deps {
    TrustStore& store;
    ServiceManager& services;
    EventBus& bus;
    Log& log;
    std::function<std::shared_ptr<const Config>()> config;
    /// Called when the trust of a folder has changed, to read its project file again; returns the
    /// errors in that file.
    std::function<std::vector<std::string>(const std::string& folder)> folder_changed;
  };
  explicit TrustService(Deps deps) : deps_(std::move(deps)) {}

  [[nodiscard]] static std::vector<ManifestMethod> methods();
  /// Answers one of methods().
  [[nodiscard]] Result<json> call(const CallRequest& request);

 private:
  /// The grants that a plugin asks for in the manifest beside its library.
  struct Asks {
    PluginSpec spec;
    bool is_new = false;  ///< the host has loaded another manifest
  };
  [[nodiscard]] Result<Asks> asks_of(const std::string& plugin) const;
  [[nodiscard]] Result<json> look(const std::string& plugin) const;
  [[nodiscard]] Result<json> trust_plugin(const std::string& plugin, const std::vector<std::string>& seen,
                                          std::string_view traceparent);
  [[nodiscard]] Result<json> revoke_plugin(const std::string& plugin, std::string_view traceparent);
  [[nodiscard]] Result<json> look_folder(const std::string& folder) const;
  [[nodiscard]] Result<json> trust_folder(const std::string& folder, const std::string& seen,
                                          std::string_view traceparent);
  [[nodiscard]] Result<json> revoke_folder(const std::string& folder, std::string_view traceparent);
  void audit(const char* what, const std::string& line, json event, std::string_view traceparent) const;

  const Deps deps_;
};

}  // namespace gantry::host
