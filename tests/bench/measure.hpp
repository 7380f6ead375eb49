// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/measure.hpp: measures one workload with all programs that have it, and compares the
// results with its goals.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/bench/support.hpp"
#include "tests/bench/workloads.hpp"

namespace bench {

/// The rounds of one program. `failure` is empty, or says what went wrong.
struct Measured {
  Listed listed;
  std::string label;
  std::string note;
  double ops = 0;
  std::vector<Run> runs;
  std::string failure;
  [[nodiscard]] std::vector<double> each(const std::function<double(const Run&)>& figure) const;
  [[nodiscard]] double speed() const { return median(each(&Run::speed)); }
};

/// A goal and the samples for it. Samples are ratios of speed, or of CPU time for `cpu_at_most`, one
/// a round, or, for `above_ns`, nanoseconds above the peer. A gain has one sample, of medians.
struct Outcome {
  Goal goal;
  std::string peer;
  std::vector<double> samples;
  double ratio = 0;       ///< median ratio of speed, which plots show
  double ratio_goal = 1;  ///< the goal as such a ratio
  [[nodiscard]] bool met() const { return ratio >= ratio_goal; }
  /// Text such as "3.4x the best peer (go), goal 2x: met".
  [[nodiscard]] std::string words() const;
};

struct Group {
  Workload workload;
  std::vector<Measured> rows;  ///< the fastest first
  std::vector<Outcome> outcomes;
  double spin = 1;                      ///< duration of the fixed loop just before, as a multiple of its best time
  std::vector<std::string> missing;     ///< programs that are not installed
  std::vector<std::string> unmeasured;  ///< peers that a goal names and no row shows
};

/// Runs one round of each row in turn by `once`, then evaluates the goals.
[[nodiscard]] Group measure_rows(const Workload& workload, std::vector<Measured> rows, const Options& options,
                                 const std::function<Run(Measured&)>& once);

/// Evaluates the goals of `group` that compare it to one of `earlier`.
void judge_gains(Group& group, const std::vector<Group>& earlier);

/// Measures all programs that list the workload, one round each in turn.
[[nodiscard]] Group measure(const Workload& workload, const std::vector<Listed>& listed, const Options& options);

/// The group as rows of the JSON file.
[[nodiscard]] std::vector<Row> to_rows(const Group& group);

}  // namespace bench
