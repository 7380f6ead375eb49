// SPDX-License-Identifier: Apache-2.0
//
// Linearizability: threads record when each operation was called and when it returned, and a search looks for one order
// of all of them that a plain queue or a plain register could have gone through, in which nothing that had returned
// comes after what was called later. Source: Wing and Gong, "Testing and Verifying Concurrent Objects", 1993; the
// memory of seen states is Lowe's, 2017.
#include <algorithm>
#include <deque>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/snapshot.hpp>
#include <set>
#include <thread>

#include "tests/unit/support/threads.hpp"

using namespace gantry;
using core_test::Random;
using core_test::rounds;

namespace {

struct Operation {
  enum Kind { put, take } kind = put;
  int value = 0;
  bool done = true;  ///< false: full, or empty
  std::uint64_t called = 0;
  std::uint64_t returned = 0;
};

class Recorder {
 public:
  template <class F>
  void run(std::vector<Operation>& mine, Operation::Kind kind, F&& f) {
    Operation op;
    op.kind = kind;
    op.called = clock_.fetch_add(1);
    f(op);
    op.returned = clock_.fetch_add(1);
    mine.push_back(op);
  }

 private:
  std::atomic<std::uint64_t> clock_{0};
};

/// `State` is a value; `step(state, op)` is false when a sequential object in `state` could not do `op` like that.
template <class State>
class Search {
 public:
  using Step = bool (*)(State&, const Operation&);
  Search(std::vector<Operation> history, Step step) : history_(std::move(history)), step_(step) {}

  [[nodiscard]] bool linearizable(const State& start) { return go(start, 0); }

 private:
  // `taken`: the operations that are placed already, one bit each.
  bool go(const State& state, std::uint64_t taken) {
    if (taken == (1ULL << history_.size()) - 1) return true;
    if (!seen_.emplace(taken, state).second) return false;
    std::uint64_t first_return = ~0ULL;
    for (std::size_t i = 0; i < history_.size(); ++i) {
      if ((taken >> i & 1U) == 0) first_return = std::min(first_return, history_[i].returned);
    }
    for (std::size_t i = 0; i < history_.size(); ++i) {
      if ((taken >> i & 1U) != 0 || history_[i].called > first_return) continue;
      State next = state;
      if (step_(next, history_[i]) && go(next, taken | 1ULL << i)) return true;
    }
    return false;
  }
  const std::vector<Operation> history_;
  const Step step_;
  std::set<std::pair<std::uint64_t, State>> seen_;
};

constexpr std::size_t kCapacity = 2;

bool queue_step(std::deque<int>& queue, const Operation& op) {
  if (op.kind == Operation::put) {
    if (!op.done) return queue.size() == kCapacity;
    if (queue.size() == kCapacity) return false;
    queue.push_back(op.value);
    return true;
  }
  if (!op.done) return queue.empty();
  if (queue.empty() || queue.front() != op.value) return false;
  queue.pop_front();
  return true;
}

bool register_step(int& value, const Operation& op) {
  if (op.kind == Operation::put) {
    value = op.value;
    return true;
  }
  return op.value == value;
}

std::vector<Operation> together(const std::vector<std::vector<Operation>>& parts) {
  std::vector<Operation> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// Runs `body(thread, its operations, random)` on each of `threads` threads at once and returns the history.
std::vector<Operation> history(std::size_t threads, std::uint64_t seed,
                               const std::function<void(std::size_t, std::vector<Operation>&, Random&)>& body) {
  std::vector<std::vector<Operation>> parts(threads);
  std::latch ready(static_cast<std::ptrdiff_t>(threads));
  std::vector<std::thread> running;
  for (std::size_t t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      Random random(seed + t);
      ready.arrive_and_wait();
      body(t, parts[t], random);
    });
  }
  for (auto& thread : running) thread.join();
  return together(parts);
}

}  // namespace

TEST_CASE("linear: the search accepts what a register can do and refuses what it cannot") {
  const auto write = [](int v, std::uint64_t c, std::uint64_t r) { return Operation{Operation::put, v, true, c, r}; };
  const auto read = [](int v, std::uint64_t c, std::uint64_t r) { return Operation{Operation::take, v, true, c, r}; };
  REQUIRE(Search<int>({write(1, 0, 3), read(1, 1, 2)}, register_step).linearizable(0));
  REQUIRE(Search<int>({write(1, 0, 3), read(0, 1, 2)}, register_step).linearizable(0));
  REQUIRE(!Search<int>({write(1, 0, 1), read(0, 2, 3)}, register_step).linearizable(0));
  REQUIRE(!Search<int>({write(1, 0, 5), read(1, 1, 2), read(0, 3, 4)}, register_step).linearizable(0));
}

TEST_CASE("linear: recorded histories of a bounded mpsc channel are those of a queue") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  Random random(seed);
  for (int round = 0; round < rounds(300); ++round) {
    auto [tx, rx] = mpsc::channel<int>(kCapacity);
    Recorder recorder;
    std::vector<mpsc::Sender<int>> senders(3, tx);
    const auto all = history(4, random.below(1 << 30), [&, &in = rx](std::size_t t, auto& mine, Random& r) {
      for (int i = 0; i < 6; ++i) {
        r.dawdle();
        if (t < 3) {
          recorder.run(mine, Operation::put, [&](Operation& op) {
            op.value = static_cast<int>(t) * 100 + i;
            op.done = senders[t].try_send(op.value).has_value();
          });
        } else {
          recorder.run(mine, Operation::take, [&](Operation& op) {
            const auto got = in.try_recv();
            op.done = got.has_value();
            op.value = got.value_or(0);
          });
        }
      }
    });
    REQUIRE(Search<std::deque<int>>(all, queue_step).linearizable({}));
  }
}

TEST_CASE("linear: recorded histories of senders that wait are those of a queue") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  Random random(seed);
  for (int round = 0; round < rounds(200); ++round) {
    auto [tx, rx] = mpsc::channel<int>(kCapacity);
    Recorder recorder;
    std::vector<mpsc::Sender<int>> senders(3, tx);
    const auto all = history(4, random.below(1 << 30), [&, &in = rx](std::size_t t, auto& mine, Random& r) {
      for (int i = 0; i < (t < 3 ? 4 : 12); ++i) {
        r.dawdle();
        if (t < 3) {
          recorder.run(mine, Operation::put, [&](Operation& op) {
            op.value = static_cast<int>(t) * 100 + i;
            op.done = senders[t].send(op.value).has_value();
          });
        } else {
          recorder.run(mine, Operation::take, [&](Operation& op) { op.value = *in.recv(); });
        }
      }
    });
    REQUIRE(Search<std::deque<int>>(all, queue_step).linearizable({}));
  }
}

TEST_CASE("linear: recorded histories of a Snapshot are those of a register") {
  const auto seed = core_test::seed();
  INFO("GANTRY_SEED=" << seed);
  Random random(seed);
  for (int round = 0; round < rounds(300); ++round) {
    Snapshot<int> value(0);
    Recorder recorder;
    const auto all = history(4, random.below(1 << 30), [&](std::size_t t, auto& mine, Random& r) {
      Snapshot<int>::Reader reader(value);
      for (int i = 1; i <= 6; ++i) {
        r.dawdle();
        if (r.one_in(2)) {
          recorder.run(mine, Operation::put, [&](Operation& op) {
            op.value = static_cast<int>(t) * 100 + i;
            value.publish(op.value);
          });
        } else {
          recorder.run(mine, Operation::take, [&](Operation& op) { op.value = reader.get(); });
        }
      }
    });
    REQUIRE(Search<int>(all, register_step).linearizable(0));
  }
}
