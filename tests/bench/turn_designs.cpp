// SPDX-License-Identifier: Apache-2.0
//
// Three ways to keep the turns of agents, in one process: the two of seed 000, each persisting as its section says,
// beside ours. Two readers never pause, one writer makes a change each millisecond.
//   snapshot  the change is committed by the writer's thread, then the immutable value is replaced
//   rwlock    the change is made under the write lock, and committed when the lock is free again
//   actor     a thread with a bounded queue answers each read, and commits each change before it makes it
// The disk is SQLite with synchronous=FULL, or one whose fsync takes two seconds.
#include <sqlite3.h>

#include <atomic>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/channel/oneshot.hpp>
#include <gantry/snapshot.hpp>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <thread>

#include "tests/bench/support.hpp"

namespace bench {

namespace {

constexpr std::size_t kTurns = 64;

using Turns = std::map<std::uint64_t, std::string>;
using Commit = std::function<void(std::uint64_t, const std::string&)>;

[[nodiscard]] Turns first_turns() {
  Turns out;
  for (std::uint64_t i = 0; i < kTurns; ++i) out[i] = "created";
  return out;
}

class Disk {
 public:
  explicit Disk(const std::string& file) {
    if (sqlite3_open(file.c_str(), &db_) != SQLITE_OK) throw std::runtime_error("sqlite3_open");
    sqlite3_exec(db_,
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                 "CREATE TABLE IF NOT EXISTS turns (id INTEGER PRIMARY KEY, state TEXT)",
                 nullptr, nullptr, nullptr);
    sqlite3_prepare_v2(db_, "INSERT OR REPLACE INTO turns VALUES (?, ?)", -1, &put_, nullptr);
  }
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;
  ~Disk() {
    sqlite3_finalize(put_);
    sqlite3_close(db_);
  }
  void commit(std::uint64_t id, const std::string& state) {
    sqlite3_bind_int64(put_, 1, static_cast<std::int64_t>(id));
    sqlite3_bind_text(put_, 2, state.c_str(), -1, SQLITE_TRANSIENT);
    if (sqlite3_step(put_) != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(db_));
    sqlite3_reset(put_);
  }

 private:
  sqlite3* db_ = nullptr;
  sqlite3_stmt* put_ = nullptr;
};

/// A design: how one thread reads, and how the writer's thread changes.
struct Design {
  std::function<std::function<std::size_t(std::uint64_t)>()> reader;  ///< for one thread; returns the length of a state
  std::function<void(std::uint64_t, const std::string&)> change;      ///< returns when the change is durable
  std::shared_ptr<void> owner;
};

[[nodiscard]] Design snapshot(Commit commit) {
  auto turns = std::make_shared<gantry::Snapshot<Turns>>(first_turns());
  return {[turns] {
            auto reader = std::make_shared<gantry::Snapshot<Turns>::Reader>(*turns);
            return [reader](std::uint64_t id) { return reader->get().at(id).size(); };
          },
          [turns, commit = std::move(commit)](std::uint64_t id, const std::string& state) {
            commit(id, state);
            turns->update([&](const Turns& old) {
              Turns next = old;
              next[id] = state;
              return next;
            });
          },
          turns};
}

[[nodiscard]] Design rwlock(Commit commit) {
  struct State {
    std::shared_mutex mutex;
    Turns turns = first_turns();
  };
  auto state = std::make_shared<State>();
  return {[state] {
            return [state](std::uint64_t id) {
              const std::shared_lock lock(state->mutex);
              return state->turns.at(id).size();
            };
          },
          [state, commit = std::move(commit)](std::uint64_t id, const std::string& to) {
            {
              const std::unique_lock lock(state->mutex);
              state->turns[id] = to;
            }
            commit(id, to);
          },
          state};
}

[[nodiscard]] Design actor(Commit commit) {
  struct Message {
    std::uint64_t id;
    std::optional<std::string> to;
    gantry::oneshot::Sender<std::size_t> reply;
  };
  struct Actor {
    explicit Actor(Commit disk) : commit(std::move(disk)) {
      thread = std::thread([this] {
        while (auto message = channel.rx.recv()) {
          if (message->to) {
            commit(message->id, *message->to);
            turns[message->id] = *message->to;
          }
          (void)message->reply.send(turns.at(message->id).size());
        }
      });
    }
    ~Actor() {
      channel.tx.close();
      thread.join();
    }
    std::size_t ask(std::uint64_t id, std::optional<std::string> to) {
      auto [reply, answer] = gantry::oneshot::channel<std::size_t>();
      (void)channel.tx.send({id, std::move(to), std::move(reply)});
      return answer.recv().value_or(0);
    }
    Commit commit;
    Turns turns = first_turns();
    gantry::mpsc::Channel<Message> channel = gantry::mpsc::channel<Message>(128);
    std::thread thread;
  };
  auto one = std::make_shared<Actor>(std::move(commit));
  return {[one] { return [one](std::uint64_t id) { return one->ask(id, std::nullopt); }; },
          [one](std::uint64_t id, const std::string& to) { (void)one->ask(id, to); }, one};
}

struct Measured {
  double reads = 0;    ///< a second, of both readers
  double longest = 0;  ///< of a read, in ms
  double change = 0;   ///< the median, in ms
  double cpu = 0;
};

[[nodiscard]] Measured run(const Design& design, double seconds) {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> reads{0};
  std::atomic<std::int64_t> longest{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      const auto read = design.reader();
      std::uint64_t count = 0;
      std::int64_t worst = 0;
      while (!stop) {
        const bool timed = count % 64 == 0;
        const auto before = timed ? Clock::now() : Clock::time_point();
        if (read(count % kTurns) == 0) std::abort();
        if (timed) worst = std::max(worst, (Clock::now() - before).count());
        ++count;
      }
      reads += count;
      std::int64_t known = longest;
      while (known < worst && !longest.compare_exchange_weak(known, worst)) {
      }
    });
  }
  std::vector<double> changes;
  const auto start = Clock::now();
  const auto cpu = std::clock();
  for (std::uint64_t n = 0; seconds_since(start) < seconds; ++n) {
    const auto before = Clock::now();
    design.change(n % kTurns, n % 2 == 0 ? "executing" : "completed");
    changes.push_back(seconds_since(before) * 1e3);
    std::this_thread::sleep_until(before + std::chrono::milliseconds(1));
  }
  const double took = seconds_since(start);
  stop = true;
  for (auto& reader : readers) reader.join();
  return {static_cast<double>(reads) / took, static_cast<double>(longest) / 1e6, median(changes),
          static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC};
}

}  // namespace

void turn_designs(const Options& options, std::vector<Row>& rows) {
  const std::vector<std::pair<const char*, Design (*)(Commit)>> designs{
      {"gantry", &snapshot}, {"rwlock", &rwlock}, {"actor", &actor}};
  const auto dir = temp_dir();
  const auto measure = [&](const std::string& workload, const Commit& commit, double seconds, int rounds) {
    std::map<std::string, double> reads;
    std::vector<Row> all;
    for (const auto& [name, make] : designs) {
      Row rate{workload, name, "reads", "1/s", "higher", {}, 0, "2 readers that never pause"};
      Row longest{workload, name, "longest read", "ms", "lower", {}, 0, "of one in 64"};
      Row change{workload, name, "a change", "ms", "lower", {}, 0, "until it is durable"};
      for (int i = 0; i < rounds; ++i) {
        const auto one = run(make(commit), seconds);
        rate.samples.push_back(one.reads);
        longest.samples.push_back(one.longest);
        change.samples.push_back(one.change);
        rate.cpu_seconds += one.cpu;
      }
      reads[name] = rate.median();
      all.insert(all.end(), {rate, longest, change});
    }
    rows.insert(rows.end(), all.begin(), all.end());
    for (const auto& [peer, goal] : {std::pair{"rwlock", "goal: at least 2"}, {"actor", "goal: at least 5"}}) {
      rows.push_back({workload,
                      "gantry",
                      std::string("ratio of reads to ") + peer,
                      "x",
                      "higher",
                      {reads["gantry"] / reads[peer]},
                      0,
                      goal});
    }
  };
  Disk disk(dir + "/turns.db");
  measure(
      "turn.designs", [&](std::uint64_t id, const std::string& to) { disk.commit(id, to); }, options.quick ? 0.5 : 2,
      3);
  // Its time is the fsync's: what lies in the page cache costs nothing beside it.
  measure(
      "turn.designs.slow_disk",
      [](std::uint64_t, const std::string&) { std::this_thread::sleep_for(std::chrono::seconds(2)); }, 2, 1);
}

}  // namespace bench
