// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/gantry/groups.hpp"

int main(int argc, char** argv) {
  std::vector<peer::Workload> all;
  for (auto* const group : {messages, events, state}) {
    for (auto& workload : group()) all.push_back(std::move(workload));
  }
  return peer::run(all, argc, argv);
}
