// SPDX-License-Identifier: Apache-2.0
//
// A map that is read more often than it is changed; an object that is built on first use.
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "tests/bench/peers/snapshot.hpp"
#include "tests/bench/peers/std/groups.hpp"

namespace {

using namespace peer;

u64 under_shared_mutex(u64 ops, Timer& timer) {
  Map map = first_map();
  std::shared_mutex mutex;
  return read_while_replacing(
      ops, timer,
      [&](u64 key) {
        const std::shared_lock lock(mutex);
        return map.find(key)->second;
      },
      [&](u64 key, u64 value) {
        const std::unique_lock lock(mutex);
        map.insert_or_assign(key, value);
      });
}

u64 atomic_shared_ptr(u64 ops, Timer& timer) {
  std::atomic<std::shared_ptr<const Map>> current(std::make_shared<const Map>(first_map()));
  return read_while_replacing(
      ops, timer, [&](u64 key) { return current.load()->find(key)->second; },
      [&](u64 key, u64 value) {
        auto next = std::make_shared<Map>(*current.load());
        next->insert_or_assign(key, value);
        current.store(std::move(next));
      });
}

struct Thing {
  Thing() : value(static_cast<u64>(std::rand()) | 1U) {}
  u64 value;
};

Thing& function_static() {
  static Thing thing;
  return thing;
}

u64 borrow_static(std::size_t threads, u64 ops, Timer& timer) {
  function_static();
  return run_threads(threads, ops, timer, [](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) keep_pointer(&function_static());
    require(function_static().value != 0, "no object");
  });
}

u64 borrow_call_once(std::size_t threads, u64 ops, Timer& timer) {
  std::once_flag once;
  std::unique_ptr<Thing> thing;
  const auto get = [&]() -> Thing* {
    std::call_once(once, [&] { thing = std::make_unique<Thing>(); });
    return thing.get();
  };
  get();
  return run_threads(threads, ops, timer, [&](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) keep_pointer(get());
    require(get()->value != 0, "no object");
  });
}

u64 borrow_shared_ptr(std::size_t threads, u64 ops, Timer& timer) {
  std::mutex mutex;
  std::shared_ptr<Thing> thing;
  const auto get = [&] {
    const std::lock_guard lock(mutex);
    if (!thing) thing = std::make_shared<Thing>();
    return thing;
  };
  get();
  return run_threads(threads, ops, timer, [&](std::size_t, u64 mine) {
    for (u64 i = 0; i < mine; ++i) keep_pointer(get().get());
    require(get()->value != 0, "no object");
  });
}

}  // namespace

std::vector<Workload> reads() {
  std::vector<Workload> all{
      {"snapshot.read.2r+shared_mutex", "std::shared_mutex; changed in place", under_shared_mutex},
      {"snapshot.read.2r+atomic_shared_ptr", "std::atomic<std::shared_ptr>; copied whole for a change",
       atomic_shared_ptr}};
  for (const std::size_t n : {1, 2}) {
    const std::string name = "lazy.borrow." + std::to_string(n) + "t";
    all.push_back({name + "+function_static", "never destroyed before the program's end",
                   [=](u64 ops, Timer& t) { return borrow_static(n, ops, t); }});
    all.push_back({name + "+call_once", "the pointer is kept beside the flag",
                   [=](u64 ops, Timer& t) { return borrow_call_once(n, ops, t); }});
    all.push_back({name + "+shared_ptr_behind_mutex", "keeps the object alive",
                   [=](u64 ops, Timer& t) { return borrow_shared_ptr(n, ops, t); }});
  }
  return all;
}
