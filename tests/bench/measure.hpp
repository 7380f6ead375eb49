// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/measure.hpp: one workload, run by all programs that have it, and what became of its
// goals.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/bench/support.hpp"
#include "tests/bench/workloads.hpp"

namespace bench {

/// One program's rounds. `failure` is empty or says what went wrong.
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

/// A goal beside what was measured. Samples are ratios of speed, a round each, or nanoseconds above for `above_ns`.
struct Outcome {
  Goal goal;
  std::string peer;
  std::vector<double> samples;
  double ratio = 0;       ///< median ratio of speed; what plots show
  double ratio_goal = 1;  ///< the goal as such a ratio
  [[nodiscard]] bool met() const { return ratio >= ratio_goal; }
  /// "3.4x the best peer (go), goal 2x: met"
  [[nodiscard]] std::string words() const;
};

struct Group {
  Workload workload;
  std::vector<Measured> rows;  ///< the fastest first
  std::vector<Outcome> outcomes;
  double spin = 1;                      ///< how many times its best time the fixed loop took just before
  std::vector<std::string> missing;     ///< what is not installed
  std::vector<std::string> unmeasured;  ///< whom a goal names and no row shows
};

/// A round of each row in turn by `once`, then the goals.
[[nodiscard]] Group measure_rows(const Workload& workload, std::vector<Measured> rows, const Options& options,
                                 const std::function<Run(Measured&)>& once);

/// All programs that list the workload, a round each in turn.
[[nodiscard]] Group measure(const Workload& workload, const std::vector<Listed>& listed, const Options& options);

/// The group as rows of the JSON file.
[[nodiscard]] std::vector<Row> to_rows(const Group& group);

}  // namespace bench
