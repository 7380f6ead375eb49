// SPDX-License-Identifier: Apache-2.0
//
// ShardedMap and the counters.
#include <gantry/counter.hpp>
#include <gantry/sharded_map.hpp>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/unit/support/threads.hpp"

using namespace gantry;

TEST_CASE("sharded_map: each operation on a key is one step, and the bound is exact") {
  ShardedMap<int, std::string> map(3);
  REQUIRE(*map.insert_or_assign(1, "one"));
  REQUIRE(!*map.insert_or_assign(1, "uno"));
  REQUIRE(map.find(1) == "uno");
  REQUIRE(*map.try_insert(2, "two"));
  REQUIRE(!*map.try_insert(2, "dos"));
  REQUIRE(map.find(2) == "two");
  REQUIRE(*map.insert_or_assign(3, "three"));
  REQUIRE(map.insert_or_assign(4, "four").error().kind == ErrorKind::overloaded);
  REQUIRE(map.try_insert(4, "four").error().kind == ErrorKind::overloaded);
  REQUIRE(map.update(3, [](std::string& s) { s += "!"; }));
  REQUIRE(!map.update(4, [](std::string&) {}));
  REQUIRE(map.erase(3) == "three!");
  REQUIRE(!map.erase(3));
  REQUIRE(!map.contains(3));
  REQUIRE(*map.insert_or_assign(4, "four"));
  std::size_t seen = 0;
  map.for_each([&](int, const std::string&) { ++seen; });
  REQUIRE(seen == 3);
  REQUIRE(map.size() == 3);
  map.clear();
  REQUIRE(map.size() == 0);
  REQUIRE(*map.insert_or_assign(9, "nine"));
}

TEST_CASE("sharded_map: many writers lose no update") {
  ShardedMap<std::uint64_t, std::uint64_t> map;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < 4000; ++i) {
        (void)map.try_insert(i % 100, 0);
        (void)map.update(i % 100, [](auto& v) { ++v; });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::uint64_t sum = 0;
  map.for_each([&](auto, auto v) { sum += v; });
  REQUIRE(sum == 16'000);
  REQUIRE(map.size() == 100);
}

TEST_CASE("sharded_map: many writers of different keys fill it exactly to its bound") {
  for (int round = 0; round < core_test::rounds(20); ++round) {
    ShardedMap<int, int> map(500);
    std::atomic<int> inserted{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 300; ++i) {
          if (map.try_insert(t * 1000 + i, i)) ++inserted;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    std::size_t there = 0;
    map.for_each([&](int, int) { ++there; });
    REQUIRE(inserted == 500);
    REQUIRE(there == 500);
    REQUIRE(map.size() == 500);
  }
}

TEST_CASE("sharded_map: a key that cannot be stored takes no place") {
  struct Key {
    int number;
    bool* fails;
    Key(int n, bool* f) : number(n), fails(f) {}
    Key(const Key& other) : number(other.number), fails(other.fails) {
      if (*fails) throw std::runtime_error("no");
    }
    Key& operator=(const Key&) = default;
    bool operator==(const Key& other) const { return number == other.number; }
  };
  struct Hash {
    std::size_t operator()(const Key& key) const { return static_cast<std::size_t>(key.number); }
  };
  bool fails = true;
  ShardedMap<Key, int, Hash> map(1);
  REQUIRE_THROWS(map.try_insert(Key(1, &fails), 1));
  REQUIRE_THROWS(map.insert_or_assign(Key(1, &fails), 1));
  REQUIRE(map.size() == 0);
  fails = false;
  REQUIRE(*map.try_insert(Key(1, &fails), 1));
}

TEST_CASE("counter: many threads lose no count") {
  Counter one;
  StripedCounter striped;
  std::vector<std::thread> threads;
  for (int t = 0; t < 10; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        one.add();
        striped.add(2);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  REQUIRE(one.get() == 50'000);
  REQUIRE(striped.get() == 100'000);
}
