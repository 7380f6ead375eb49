// SPDX-License-Identifier: Apache-2.0
//
// proposals.hpp: the edits that were proposed to agents and scripts, and wait to be checked or applied.
//
// A proposal belongs to the workspace of the client that asked for it; to any other it does not exist. An id names one
// instance of the plugin: after a reload it is unknown.
//
// Thread rule: any thread.
// Bounds: kMaxCount proposals for a workspace and kMaxBytes in all, of which the oldest go first; kMaxAge.
#pragma once

#include <cstdint>
#include <deque>
#include <gantry/mutex.hpp>
#include <gantry/plugin/host.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <string>

#include "plugins/lsp/edits/plan.hpp"

namespace gantry::lsp {

class Proposals {
 public:
  static constexpr std::size_t kMaxCount = 64;
  static constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
  static constexpr std::chrono::hours kMaxAge{1};

  /// `instance`: of the plugin, a part of each id.
  explicit Proposals(unsigned instance) : instance_(instance) {}

  /// Returns its id.
  [[nodiscard]] std::string add(const std::string& workspace, Plan plan, TimePoint now);
  /// `not_found`: there is none of this id for this workspace, any more or at all.
  [[nodiscard]] Result<std::shared_ptr<const Plan>> find(const std::string& id, const std::string& workspace,
                                                         TimePoint now);
  /// It was applied.
  void remove(const std::string& id);

 private:
  struct Proposal {
    std::string id;
    std::string workspace;
    std::shared_ptr<const Plan> plan;
    std::size_t bytes = 0;
    TimePoint made;
  };
  void drop(std::deque<Proposal>::iterator it) GANTRY_REQUIRES(mutex_);
  void expire(TimePoint now) GANTRY_REQUIRES(mutex_);

  const unsigned instance_;
  Mutex mutex_;
  std::deque<Proposal> all_ GANTRY_GUARDED_BY(mutex_);  ///< the oldest first
  std::size_t bytes_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t last_ GANTRY_GUARDED_BY(mutex_) = 0;
};

}  // namespace gantry::lsp
