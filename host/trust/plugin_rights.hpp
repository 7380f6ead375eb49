// SPDX-License-Identifier: Apache-2.0
//
// host/trust/plugin_rights.hpp: what one plugin may call, publish and subscribe to. It may always
// use its own services and topics (those whose first word is its name or a service of its own); for
// the rest its grants decide.
//
// Thread rule: any thread. `on_refused` is called without a lock held.
// Bounds: kMaxReported different refusals are reported, each once; all are counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <gantry/mutex.hpp>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "host/calls/call.hpp"
#include "host/config/grants.hpp"

namespace gantry::host {

/// KeyCommands answers this method, which returns a key.
inline constexpr std::string_view kKeyMethod = "config.secret";

/// A plugin as the subject of rights.
struct Principal {
  std::string name;
  std::vector<Grant> asked;      ///< asked for by its manifest
  std::vector<Grant> granted;    ///< the granted ones of these
  std::vector<std::string> own;  ///< its name and its services: the first words of its own methods and topics
  bool reads_keys = false;       ///< it may call kKeyMethod
};

class PluginRights final : public CallerRights {
 public:
  static constexpr std::size_t kMaxReported = 64;
  /// Called with the missing grant as text, the method or topic that needs it, and the traceparent
  /// of the call.
  using OnRefused =
      std::function<void(const std::string& missing, const std::string& wanted, std::string_view traceparent)>;

  /// `refusals` counts the refusals.
  PluginRights(Principal plugin, std::shared_ptr<std::atomic<std::uint64_t>> refusals, OnRefused on_refused);

  /// `permission_denied` names the missing grant. No grant allows methods that only people may
  /// call, or reading keys.
  [[nodiscard]] Result<void> may_call(const std::string& method, std::string_view traceparent) const override;
  [[nodiscard]] Result<void> may_call_back(std::string_view traceparent) const override;
  /// Those topics of the manifest that the plugin may use; the others are reported.
  [[nodiscard]] std::vector<std::string> granted_topics(GrantKind kind, const std::vector<std::string>& patterns) const;

 private:
  [[nodiscard]] bool is_own(std::string_view name) const;
  [[nodiscard]] std::unexpected<Error> refuse(const std::string& missing, const std::string& wanted,
                                              std::string_view traceparent) const;
  void count(const std::string& missing, const std::string& wanted, std::string_view traceparent) const;

  const Principal plugin_;
  const OnRefused on_refused_;
  const std::shared_ptr<std::atomic<std::uint64_t>> refusals_;
  mutable Mutex mutex_;
  mutable std::set<std::string> reported_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
