// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include "tests/bench/peers/asio/asio.hpp"

namespace {

using namespace peer;

Task<u64> small(u64 i) { co_return i; }

template <int Threads>
u64 spawn(u64 ops, Timer& timer) {
  asio::io_context context(Threads);
  std::vector<u64> out(ops);
  peer::Team others(Threads - 1, [&](std::size_t) { context.run(); });
  timer.start();
  for (u64 i = 0; i < ops; ++i) {
    co_spawn(context, small(i),
             [&out, i](const std::exception_ptr& failed, u64 value) { out[i] = failed ? 0 : value + 1; });
  }
  others.go();
  context.run();
  others.join();
  timer.stop();
  for (u64 i = 0; i < ops; ++i) require(out[i] == i + 1, "a task did not run");
  return ops;
}

u64 pool(u64 ops, Timer& timer) {
  asio::thread_pool pool(2);
  std::vector<u64> out(ops);
  timer.start();
  for (u64 i = 0; i < ops; ++i) asio::post(pool, [&out, i] { out[i] = i + 1; });
  pool.join();
  timer.stop();
  for (u64 i = 0; i < ops; ++i) require(out[i] == i + 1, "a job did not run");
  return ops;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Workload> all{{"spawn.ct", "co_spawn with a completion handler; no handle", spawn<1>},
                            {"spawn.mt2", "co_spawn with a completion handler; no handle", spawn<2>},
                            {"pool.2", "post to a thread_pool, then join it", pool}};
  add_channels<1>(all, "ct");
  add_channels<2>(all, "mt2");
  add_broadcast<1>(all, "ct");
  add_broadcast<2>(all, "mt2");
  return run(all, argc, argv);
}
