// SPDX-License-Identifier: Apache-2.0
//
// host_metrics.hpp: the host's own performance and usage, as measurements.
//
//   host.rss_bytes, host.connections, host.tasks.running, host.events.waiting   as they are
//   host.events.published, host.events.dropped                                  since the sample before
//   host.calls, host.errors, host.call_seconds {method}                         likewise, of methods that were called
//
// Thread rule: a pure function.
#pragma once

#include <gantry/json.hpp>
#include <vector>

#include "plugins/project_state/metrics.hpp"

namespace gantry::state {

/// `now` and `before`: answers of `host.metrics`; `before` null: the first sample, which has no differences.
[[nodiscard]] std::vector<Measurement> host_measurements(const json& now, const json& before);

}  // namespace gantry::state
