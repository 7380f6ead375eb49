// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/trust_service.hpp: the methods `trust.*`: what waits for the user's trust, and what
// the user says.
//
// Who trusts names what it has seen (the grants of a plugin, the digest of a file): if that has changed meanwhile, the
// answer is `conflict` and nothing is trusted. Plugins may call none of these (host/trust/plugin_rights.hpp).
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
    /// What is in force of this folder's file may be something else now: what is wrong with it.
    std::function<std::vector<std::string>(const std::string& folder)> folder_changed;
  };
  explicit TrustService(Deps deps) : deps_(std::move(deps)) {}

  [[nodiscard]] static std::vector<ManifestMethod> methods();
  /// One of methods().
  [[nodiscard]] Result<json> call(const CallRequest& request);

 private:
  /// What a plugin asks for in the manifest that lies beside its library now.
  struct Asks {
    PluginSpec spec;
    bool is_new = false;  ///< the host has another manifest of it
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
