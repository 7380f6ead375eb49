// SPDX-License-Identifier: Apache-2.0
//
// Userspace RCU (the flavour with sys_membarrier): a change copies the whole map. Built with _LGPL_SOURCE, which puts
// the read side inline.
#include <urcu/urcu-memb.h>

#include "tests/bench/peers/snapshot.hpp"

namespace {

using namespace peer;

u64 snapshot(u64 ops, Timer& timer) {
  Map* current = new Map(first_map());
  const u64 done = read_while_replacing(
      ops, timer,
      [&](u64 key) {
        urcu_memb_read_lock();
        const u64 value = rcu_dereference(current)->find(key)->second;
        urcu_memb_read_unlock();
        return value;
      },
      [&](u64 key, u64 value) {
        Map* const old = current;
        Map* const next = new Map(*old);
        next->insert_or_assign(key, value);
        (void)rcu_xchg_pointer(&current, next);
        urcu_memb_synchronize_rcu();
        delete old;
      },
      urcu_memb_register_thread, urcu_memb_unregister_thread);
  delete current;
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  return run({{"snapshot.read.2r", "readers register; copied whole for a change", snapshot}}, argc, argv);
}
