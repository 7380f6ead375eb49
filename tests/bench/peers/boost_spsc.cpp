// SPDX-License-Identifier: Apache-2.0
#include <boost/lockfree/spsc_queue.hpp>
#include <memory>

#include "tests/bench/peers/spsc.hpp"

namespace {

using namespace peer;
using Ring = boost::lockfree::spsc_queue<float, boost::lockfree::capacity<kRingFloats>>;

void write(Ring& ring, const Block& block) {
  for (std::size_t done = 0; done < block.size();) done += ring.push(block.data() + done, block.size() - done);
}
void read(Ring& ring, Block& block) {
  for (std::size_t done = 0; done < block.size();) done += ring.pop(block.data() + done, block.size() - done);
}

}  // namespace

int main(int argc, char** argv) {
  const auto with_ring = [](auto shape) {
    return [shape](u64 ops, Timer& timer) {
      const auto ring = std::make_unique<Ring>();
      return shape(ops, timer, [&](const Block& b) { write(*ring, b); }, [&](Block& b) { read(*ring, b); });
    };
  };
  return run({{"spsc.480.1t", "floats in bulk", with_ring([](auto&&... args) { return in_turn(args...); })},
              {"spsc.480.2t", "floats in bulk", with_ring([](auto&&... args) { return two_threads(args...); })}},
             argc, argv);
}
