// SPDX-License-Identifier: Apache-2.0
//
// Mutex, LockBoth and Snapshot.
#include <gantry/mutex.hpp>
#include <gantry/snapshot.hpp>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/unit/support/threads.hpp"

using namespace gantry;
using namespace std::chrono_literals;

TEST_CASE("mutex: counts holds and waits under its name") {
  Mutex mutex("router");
  {
    const Lock lock(mutex);
    REQUIRE(!mutex.try_lock());
  }
  REQUIRE(std::string(mutex.name()) == "router");
  REQUIRE(mutex.counts().holds == 1);
  REQUIRE(mutex.counts().waits == 0);
  // Whoever looks while it is held has no way in but to wait. Again, until one did look in time.
  std::uint64_t holds = 1;
  for (const auto until = std::chrono::steady_clock::now() + 20s; mutex.counts().waits == 0;) {
    if (std::chrono::steady_clock::now() > until) FAIL("no wait was counted");
    std::latch about(1);
    mutex.lock();
    std::thread other([&] {
      about.count_down();
      const Lock lock(mutex);
    });
    about.wait();
    std::this_thread::yield();
    mutex.unlock();
    other.join();
    holds += 2;
  }
  REQUIRE(mutex.counts().waits == 1);
  REQUIRE(mutex.counts().holds == holds);
  // What need not wait counts none.
  for (int i = 0; i < 100; ++i) {
    const Lock lock(mutex);
  }
  REQUIRE(mutex.counts().waits == 1);
  REQUIRE(mutex.counts().holds == holds + 100);
}

TEST_CASE("mutex: under contention each hold is counted, and no more waits than holds") {
  Mutex mutex("busy");
  std::uint64_t total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        const Lock lock(mutex);
        ++total;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  REQUIRE(total == 40'000);
  REQUIRE(mutex.counts().holds == total);
  REQUIRE(mutex.counts().waits < total);
}

TEST_CASE("mutex: eight threads exclude each other, and a condition reaches who waits for it") {
  Mutex mutex;
  CondVar changed;
  std::uint64_t turn = 0;
  std::vector<std::thread> threads;
  const std::uint64_t n = 8;
  for (std::uint64_t me = 0; me < n; ++me) {
    threads.emplace_back([&, me] {
      for (std::uint64_t i = 0; i < 200; ++i) {
        const Lock lock(mutex);
        while (turn % n != me) changed.wait(mutex);
        ++turn;
        changed.notify_all();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  REQUIRE(turn == n * 200);
}

TEST_CASE("mutex: a condition that never comes ends with the time") {
  Mutex mutex;
  CondVar never;
  const Lock lock(mutex);
  while (never.wait_until(mutex, std::chrono::steady_clock::now() + 1ms)) {
  }
  SUCCEED();
}

TEST_CASE("lock_both: transfers in opposite directions never deadlock, and the same account twice is one") {
  struct Account {
    Mutex mutex{"account"};
    long balance = 1000;
  };
  Account a;
  Account b;
  const auto transfer = [](Account& from, Account& to, long amount) {
    const LockBoth both(from.mutex, to.mutex);
    from.balance -= amount;
    to.balance += amount;
  };
  std::thread one([&] {
    for (int i = 0; i < 20'000; ++i) transfer(a, b, 1);
  });
  std::thread two([&] {
    for (int i = 0; i < 20'000; ++i) transfer(b, a, 1);
  });
  one.join();
  two.join();
  transfer(a, a, 7);
  REQUIRE(a.balance == 1000);
  REQUIRE(b.balance == 1000);
}

TEST_CASE("snapshot: a reader sees the newest value, keeps what it holds, and lets it go") {
  Snapshot<std::string> snapshot("one");
  Snapshot<std::string>::Reader reader(snapshot);
  Snapshot<std::string>::Reader other(snapshot);
  const std::string& held = reader.get();
  snapshot.publish("two");
  REQUIRE(held == "one");
  REQUIRE(other.get() == "two");
  REQUIRE(reader.get() == "two");
  std::weak_ptr<const std::string> watched = snapshot.load();
  snapshot.update([](const std::string& old) { return old + "!"; });
  REQUIRE(!watched.expired());  // both readers still hold it
  REQUIRE(reader.get() == "two!");
  other.release();
  REQUIRE(watched.expired());
  REQUIRE(other.get() == "two!");
  REQUIRE_THROWS(snapshot.update([](const std::string&) -> std::string { throw std::runtime_error("no"); }));
  REQUIRE(reader.get() == "two!");
}

TEST_CASE("snapshot: a reader that was moved from and the one it became both see the newest value") {
  Snapshot<std::string> snapshot("one");
  Snapshot<std::string>::Reader reader(snapshot);
  REQUIRE(reader.get() == "one");
  Snapshot<std::string>::Reader moved(std::move(reader));
  REQUIRE(moved.get() == "one");
  REQUIRE(reader.get() == "one");  // NOLINT(bugprone-use-after-move): it is as if released
  snapshot.publish("two");
  REQUIRE(moved.get() == "two");
  REQUIRE(reader.get() == "two");
}

TEST_CASE("snapshot: updates from many threads are all there, and no reader ever goes back") {
  Snapshot<std::vector<int>> snapshot(std::vector<int>{});
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      Snapshot<std::vector<int>>::Reader reader(snapshot);
      std::size_t last = 0;
      while (!over) {
        const auto& now = reader.get();
        if (now.size() < last || (!now.empty() && now.front() != now.back())) ++wrong;
        last = now.size();
      }
    });
  }
  std::vector<std::thread> writers;
  for (int t = 0; t < 3; ++t) {
    writers.emplace_back([&] {
      for (int i = 0; i < 300; ++i)
        snapshot.update([](const auto& old) { return std::vector<int>(old.size() + 1, static_cast<int>(old.size())); });
    });
  }
  for (auto& writer : writers) writer.join();
  over = true;
  for (auto& reader : readers) reader.join();
  REQUIRE(wrong == 0);
  REQUIRE(snapshot.load()->size() == 900);
}
