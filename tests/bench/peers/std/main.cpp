// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/peers/std/groups.hpp"

int main(int argc, char** argv) {
  std::vector<peer::Workload> all;
  for (auto& group : {channels(), locks(), reads()}) all.insert(all.end(), group.begin(), group.end());
  return peer::run(all, argc, argv);
}
