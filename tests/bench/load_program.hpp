// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/load_program.hpp: the load of the echo rows by a peer's own client, a program that
// speaks the protocol of peers/echo_load.hpp.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/echo_client.hpp"
#include "tests/bench/support.hpp"

namespace bench {

class LoadProgram {
 public:
  /// Starts `words` with the load's figures behind the first two, and waits until it is connected.
  /// Throws with what it said when it is not.
  LoadProgram(const std::vector<std::string>& words, EchoLoad load);
  /// Calls for so long, then waits for the last answers. Throws with what it said when it failed.
  [[nodiscard]] EchoCounts run(double seconds);

 private:
  [[nodiscard]] std::string next_line() const;
  Child child_;
};

}  // namespace bench
