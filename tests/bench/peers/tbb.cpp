// SPDX-License-Identifier: Apache-2.0
#include <oneapi/tbb/concurrent_queue.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <limits>

#include "tests/bench/peers/common.hpp"

namespace {

using namespace peer;
namespace tbb = oneapi::tbb;

u64 mpsc(std::size_t senders, bool bounded, u64 ops, Timer& timer) {
  tbb::concurrent_bounded_queue<Message> queue;
  if (bounded) queue.set_capacity(kCapacity);
  Order order(senders);
  Team team(senders, [&](std::size_t sender) {
    const u64 mine = share(ops, senders, sender);
    for (u64 i = 0; i < mine; ++i) queue.push({sender, i});
  });
  Message message;
  timer.start();
  team.go();
  for (u64 i = 0; i < ops; ++i) {
    queue.pop(message);
    order.got(message);
  }
  timer.stop();
  team.join();
  order.finished(ops);
  return ops;
}

u64 pool(u64 ops, Timer& timer) {
  tbb::task_arena arena(2);
  std::vector<u64> out(ops);
  arena.execute([&] {
    tbb::task_group group;
    timer.start();
    for (u64 i = 0; i < ops; ++i) group.run([&out, i] { out[i] = i + 1; });
    group.wait();
    timer.stop();
  });
  for (u64 i = 0; i < ops; ++i) require(out[i] == i + 1, "a job did not run");
  return ops;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Workload> all{
      {"pool.2", "task_group in a task_arena of 2, the caller is one of them; work stealing", pool}};
  for (const std::size_t n : {1, 4}) {
    const std::string suffix = "." + std::to_string(n) + "p.thr";
    constexpr const char* kNote = "concurrent_bounded_queue; any number of receivers";
    all.push_back({"mpsc.bounded" + suffix, kNote, [=](u64 ops, Timer& t) { return mpsc(n, true, ops, t); }});
    all.push_back({"mpsc.unbounded" + suffix, kNote, [=](u64 ops, Timer& t) { return mpsc(n, false, ops, t); }});
  }
  return run(all, argc, argv);
}
