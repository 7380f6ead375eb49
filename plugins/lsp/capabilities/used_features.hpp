// SPDX-License-Identifier: Apache-2.0
//
// used_features.hpp: which features (superset.hpp) each server has been found to use, so that a client that lacks one
// is not started a server which it would have to leave at once.
//
// Thread rule: any thread.
// Bounds: kMaxServers.
#pragma once

#include <cstddef>
#include <gantry/mutex.hpp>
#include <map>
#include <string>

#include "plugins/lsp/capabilities/superset.hpp"

namespace gantry::lsp {

class UsedFeatures {
 public:
  static constexpr std::size_t kMaxServers = 256;

  /// `server`: its table in the configuration, as text.
  void note(const std::string& server, Features used) {
    Lock lock(mutex_);
    if (used == 0 || (servers_.size() >= kMaxServers && !servers_.contains(server))) return;
    servers_[server] |= used;
  }
  [[nodiscard]] Features of(const std::string& server) const {
    Lock lock(mutex_);
    const auto it = servers_.find(server);
    return it == servers_.end() ? 0 : it->second;
  }

 private:
  mutable Mutex mutex_{"lsp used features"};
  std::map<std::string, Features> servers_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::lsp
