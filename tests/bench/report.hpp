// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/report.hpp: prints results for people.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/measure.hpp"

namespace bench {

/// Prints one group as a table on stdout.
void print(const Group& group);
/// Prints rows that belong to no group (cold_start, idle, hover).
void print(const std::vector<Row>& rows);
/// Prints the goals that were met and missed.
void print_goals(const std::vector<Group>& groups);

struct Report {
  std::string machine;
  std::string noise;
  bool quick = false;
  std::vector<Row> rows;  ///< rows that belong to no group
  std::vector<Group> groups;
};
[[nodiscard]] std::string markdown(const Report& report);
/// Plots Gantry's speed as a ratio to each goal's peer, on a logarithmic scale, with a mark at the
/// goal.
[[nodiscard]] std::string plot(const Report& report);

}  // namespace bench
