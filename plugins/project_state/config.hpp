// SPDX-License-Identifier: Apache-2.0
//
// config.hpp: the table [state] of the configuration, read and checked.
//
// Thread rule: pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <gantry/json.hpp>

#include "plugins/project_state/backup_thread.hpp"
#include "plugins/project_state/transaction.hpp"
#include "plugins/project_state/turn_table.hpp"

namespace gantry::state {

struct StateConfig {
  Limits limits;
  std::size_t cache_bytes = 0;
  BackupThread::Options backups;
  std::int64_t stale_days = 0;          ///< 0: no session goes by itself
  std::chrono::seconds host_metrics{};  ///< between two samples; 0: none
  TurnTable turns;
};

/// `invalid_params` names the key.
[[nodiscard]] Result<StateConfig> read_config(const json& settings);

}  // namespace gantry::state
