// SPDX-License-Identifier: Apache-2.0
//
// host/trust/plugin_rights.hpp: what one plugin may call, publish and hear. Its own services and
// topics (those whose first word is its name or a service of its own) are its own; for the rest its
// grants decide.
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

/// Answered by KeyCommands: it prints a key.
inline constexpr std::string_view kKeyMethod = "config.secret";

/// A plugin, as far as its rights go.
struct Principal {
  std::string name;
  std::vector<Grant> asked;      ///< by its manifest
  std::vector<Grant> granted;    ///< of these
  std::vector<std::string> own;  ///< its name and its services: the first words of its own methods and topics
  bool reads_keys = false;       ///< it may call kKeyMethod
};

class PluginRights final : public CallerRights {
 public:
  static constexpr std::size_t kMaxReported = 64;
  /// A grant that is missing, by its text, what it was missing for, and the traceparent of that call.
  using OnRefused =
      std::function<void(const std::string& missing, const std::string& wanted, std::string_view traceparent)>;

  /// `refusals`: counted there.
  PluginRights(Principal plugin, std::shared_ptr<std::atomic<std::uint64_t>> refusals, OnRefused on_refused);

  /// `permission_denied`, which names the grant. What is for people to decide no grant gives, nor does one give keys.
  [[nodiscard]] Result<void> may_call(const std::string& method, std::string_view traceparent) const override;
  [[nodiscard]] Result<void> may_call_back(std::string_view traceparent) const override;
  /// Of the topics that its manifest lists those that it may have; the others are told.
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
