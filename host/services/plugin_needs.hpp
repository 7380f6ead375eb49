// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_needs.hpp: what the start and the end of one plugin have to do with others.
//
// A plugin ends after those that need it and starts after those that it needs: an end, and a start, wait until no
// plugin that needs this one is ending, and a start then asks for what it needs, one after the other.
//
// Thread rule: on the strand of the lives.
#pragma once

#include <functional>
#include <gantry/result.hpp>
#include <string>
#include <vector>

namespace gantry::host {

class PluginLife;
class PluginLives;

class PluginNeeds {
 public:
  PluginNeeds(PluginLife& life, PluginLives& lives) : life_(life), lives_(lives) {}

  /// Makes ready what it needs: one of the events `needs_...` or `refused` comes of it. `first`: it has never run.
  void gather(bool first);
  /// When none of those that need it ends any more; perhaps at once.
  void when_clear(std::function<void()> then);
  void look_if_clear();
  /// need_closed, need_open or neither, by the states of those that it needs.
  void review();
  void review_dependents() const;
  /// This one serves: those that start with the host may now.
  void start_dependents() const;
  /// A plugin that starts with the host needs it, directly or through others.
  [[nodiscard]] bool is_needed_at_start() const;
  /// They are started again after it.
  void retire_dependents() const;
  /// What it needs and is in its way, for people.
  [[nodiscard]] const std::string& blocked_by() const { return blocked_by_; }

 private:
  void gather_on(std::uint64_t number);
  [[nodiscard]] bool is_gathering(std::uint64_t number) const;
  void refused(const PluginLife& need, const Error& error);
  void note_blocked_by(const PluginLife& need);
  [[nodiscard]] std::vector<PluginLife*> needs() const;
  [[nodiscard]] std::vector<PluginLife*> dependents() const;

  PluginLife& life_;
  PluginLives& lives_;
  std::uint64_t gathering_ = 0;  ///< numbers them: what comes of an older one is forgotten
  std::function<void()> when_clear_;
  std::string blocked_by_;
};

}  // namespace gantry::host
