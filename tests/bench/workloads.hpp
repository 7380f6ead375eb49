// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/workloads.hpp: the table of workloads that programs are measured with, and Gantry's
// goals.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/programs.hpp"

namespace bench {

/// Gantry is to be `at_least` times as fast as the fastest of `peers` (none named: of all peers), or, if `above_ns` is
/// set, to take at most so much longer for an operation, or, if `at_most_ns` is, so long, whatever others do.
struct Goal {
  std::vector<std::string> peers;
  std::string words;
  double at_least = 1;
  double above_ns = 0;
  std::string ours = "gantry";  ///< the row of Gantry that the goal is for
  double at_most_ns = 0;
};

/// A row that comes from a workload of another name; `program` "" is every peer but the limits, if some program lists
/// the workload by its own name.
struct Also {
  std::string program, argument, label;
};

enum class Unit { kRate, kTime };

struct Workload {
  std::string name;      ///< as shown
  std::string argument;  ///< as listed by the programs
  double ops = 1e6;
  bool one_core = false;
  Unit unit = Unit::kRate;
  std::vector<Goal> goals;
  std::vector<Also> also;
};

/// The table, followed by what the programs list beyond it (without a goal).
[[nodiscard]] std::vector<Workload> workloads(const std::vector<Listed>& listed);

}  // namespace bench
