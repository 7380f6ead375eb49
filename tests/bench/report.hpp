// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/report.hpp: what was measured, for people.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/measure.hpp"

namespace bench {

/// One group as a table on stdout.
void print(const Group& group);
/// Rows that are not of a group (cold_start, idle, hover).
void print(const std::vector<Row>& rows);
/// Goals met and missed.
void print_goals(const std::vector<Group>& groups);

struct Report {
  std::string machine;
  std::string noise;
  bool quick = false;
  std::vector<Row> rows;  ///< not of a group
  std::vector<Group> groups;
};
[[nodiscard]] std::string markdown(const Report& report);
/// Gantry's speed as a ratio to each goal's peer, with a mark at the goal; on a logarithmic scale.
[[nodiscard]] std::string plot(const Report& report);

}  // namespace bench
