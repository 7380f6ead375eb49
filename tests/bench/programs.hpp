// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/programs.hpp: the measured programs, which speak the protocol of peers/README.md.
#pragma once

#include <string>
#include <vector>

namespace bench {

/// One line of a program's --list.
struct Listed {
  std::string program;   ///< "gantry", "tokio", "limit", ...
  std::string path;      ///< path of its executable
  std::string argument;  ///< as listed, variant included
  std::string workload;  ///< without the variant
  std::string variant;   ///< "" or what follows the plus sign, with spaces for underscores
  std::string note;
  [[nodiscard]] std::string label() const { return variant.empty() ? program : program + " " + variant; }
};

/// The lists of BUILD_DIR/bench/gantry-core and BUILD_DIR/bench/peer-*. Throws when a program lists
/// nothing.
[[nodiscard]] std::vector<Listed> list_programs(const std::string& build_dir);

/// The output of one run.
struct Run {
  double ops = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  double max_rss_mib = 0;
  double p50_ns = 0;  ///< 0: single operations were not timed
  double p99_ns = 0;
  double client_cpu_seconds = 0;  ///< 0: the load does not come from a client
  [[nodiscard]] double speed() const { return p50_ns > 0 ? 1e9 / p50_ns : ops / seconds; }
};

/// Runs the program to its end, on core 0 alone if `one_core`. Throws with its output when it fails
/// or takes two minutes.
[[nodiscard]] Run run_program(const Listed& listed, double ops, bool one_core);

}  // namespace bench
