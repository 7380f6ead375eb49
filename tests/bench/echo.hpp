// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/echo.hpp: calls of 200 bytes over a Unix socket, answered by Gantry's host through a
// plugin and by others.
#pragma once

#include <vector>

#include "tests/bench/echo_client.hpp"
#include "tests/bench/measure.hpp"

namespace bench {

struct EchoWorkload {
  Workload workload;
  EchoLoad load;
  bool polling = false;  ///< Gantry's host polls
};

[[nodiscard]] std::vector<EchoWorkload> echo_workloads();

/// All servers that are there, a round each in turn; each round has a server of its own.
[[nodiscard]] Group measure(const EchoWorkload& echo, const Options& options);

}  // namespace bench
