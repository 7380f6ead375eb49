// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/workloads.hpp: the table of the measured workloads, with Gantry's goals.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/programs.hpp"

namespace bench {

/// The goal is that Gantry is `at_least` times as fast as the fastest of `peers` (empty: of all
/// peers); or, with `above_ns`, takes at most that much longer for an operation; or, with
/// `at_most_ns`, takes at most that long, whatever the peers need; or, with `cpu_at_most`, uses at
/// most that many times the peer's CPU time for an operation; or, with `gain_over`, gains at least
/// `at_least` times as much as the peer over the workload of that name.
struct Goal {
  std::vector<std::string> peers;
  std::string words;
  double at_least = 1;
  double above_ns = 0;
  std::string ours = "gantry";  ///< the row of Gantry that the goal concerns
  double at_most_ns = 0;
  double cpu_at_most = 0;
  std::string gain_over;
};

/// A row from a workload of another name; an empty `program` means every peer except the limits, if
/// some program lists the workload by its own name.
struct Also {
  std::string program, argument, label;
};

enum class Unit { kRate, kTime };

struct Workload {
  std::string name;      ///< as shown
  std::string argument;  ///< as the programs list it
  double ops = 1e6;
  bool one_core = false;
  Unit unit = Unit::kRate;
  std::vector<Goal> goals;
  std::vector<Also> also;
};

/// The table, followed by further workloads that the programs list (without a goal).
[[nodiscard]] std::vector<Workload> workloads(const std::vector<Listed>& listed);

}  // namespace bench
