// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/noise.hpp: how steady the machine was during the measurements.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/support.hpp"

namespace bench {

/// Times a fixed loop on core 0 now and then, and measures the processor time of other programs.
class Noise {
 public:
  Noise();
  /// Runs the loop; returns its duration as a multiple of its best time.
  double sample();
  /// One line: the spread of the loop's times, the load average, the processor time of other
  /// programs and of the hypervisor.
  [[nodiscard]] std::string words() const;
  [[nodiscard]] Row row() const;

 private:
  struct Ticks {
    double busy = 0;
    double stolen = 0;
    double total = 0;
  };
  [[nodiscard]] static Ticks ticks();
  /// The processor time of this process and its children, in seconds.
  [[nodiscard]] static double own_cpu();

  std::vector<double> ms_;
  Ticks first_;
  double first_own_ = 0;
  double first_load_ = 0;
};

/// CPU model, cores, kernel, and the compilers' versions.
[[nodiscard]] std::string machine();

}  // namespace bench
