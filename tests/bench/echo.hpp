// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/echo.hpp: the echo rows: calls of 200 bytes over a Unix socket, answered by Gantry's
// host through a plugin, and by other servers.
#pragma once

#include <vector>

#include "tests/bench/echo_client.hpp"
#include "tests/bench/measure.hpp"

namespace bench {

struct EchoWorkload {
  Workload workload;
  EchoLoad load;
  bool polling = false;  ///< polling of Gantry's host is on
};

[[nodiscard]] std::vector<EchoWorkload> echo_workloads();

/// Measures all installed servers, one round each in turn; each round starts a new server.
[[nodiscard]] Group measure(const EchoWorkload& echo, const Options& options);

}  // namespace bench
