// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/load_program.hpp: the load of the echo rows from a peer's own client, a program that
// follows the protocol of peers/echo_load.hpp.
#pragma once

#include <string>
#include <vector>

#include "tests/bench/echo_client.hpp"
#include "tests/bench/support.hpp"

namespace bench {

class LoadProgram {
 public:
  /// Starts `words` with the figures of the load behind the first two, and waits until the program
  /// is connected. On failure throws with the program's message.
  LoadProgram(const std::vector<std::string>& words, EchoLoad load);
  /// Calls for `seconds`, then waits for the last answers. On failure throws with the program's
  /// message.
  [[nodiscard]] EchoCounts run(double seconds);

 private:
  [[nodiscard]] std::string next_line() const;
  Child child_;
};

}  // namespace bench
