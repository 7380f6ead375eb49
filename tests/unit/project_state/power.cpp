// SPDX-License-Identifier: Apache-2.0
//
// The power fails: an SQLite VFS of the test's own keeps what was written and what was synced, and the files are made
// as a disk may have them at any moment: what was synced is there; of what was not, each sector of 512 bytes is there,
// or is not, or is rubbish.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <random>
#include <set>

#include "tests/unit/project_state/support.hpp"
#include "tests/unit/project_state/vfs.hpp"

using namespace state_test;

namespace {

namespace fs = std::filesystem;

struct Step {
  enum class Kind : std::uint8_t { write, truncate, sync };
  Kind kind;
  std::string file;  ///< its name without the folder
  std::int64_t at = 0;
  std::string bytes;
};

/// What has been done to the files, in order.
class Recorder {
 public:
  void begin() {
    const std::lock_guard lock(mutex_);
    steps_.clear();
    on_ = true;
  }
  std::vector<Step> end() {
    const std::lock_guard lock(mutex_);
    on_ = false;
    return std::move(steps_);
  }
  void add(Step step) {
    const std::lock_guard lock(mutex_);
    if (on_) steps_.push_back(std::move(step));
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return steps_.size();
  }

 private:
  std::mutex mutex_;
  std::vector<Step> steps_;
  bool on_ = false;
};
Recorder recorder;  // NOLINT: the VFS is the process's

void note(sqlite3_file* file, Step::Kind kind, std::int64_t at = 0, std::string bytes = {}) {
  if (const char* const name = vfs_file(file)->name; name != nullptr)
    recorder.add({kind, fs::path(name).filename(), at, std::move(bytes)});
}

const sqlite3_io_methods kMethods = [] {
  sqlite3_io_methods out = kPassing;
  out.xWrite = [](sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
    note(f, Step::Kind::write, at, std::string(static_cast<const char*>(from), static_cast<std::size_t>(n)));
    return kPassing.xWrite(f, from, n, at);
  };
  out.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) {
    note(f, Step::Kind::truncate, size);
    return kPassing.xTruncate(f, size);
  };
  out.xSync = [](sqlite3_file* f, int /*flags*/) {
    note(f, Step::Kind::sync);
    return SQLITE_OK;  // what is synced is the test's to say
  };
  return out;
}();

[[nodiscard]] bool all_of_it() { return std::getenv("GANTRY_STRESS") != nullptr; }
[[nodiscard]] int changes() { return all_of_it() ? 200 : 32; }
constexpr std::size_t kSector = 512;

json change(int n) {
  return {{"key", "k" + std::to_string(n % 7)},
          {"value", std::string(40'000, static_cast<char>('a' + n % 26)) + std::to_string(n)},
          {"mutation", {{"client_id", "c"}, {"mutation_id", n}}}};
}

struct Run {
  std::map<std::string, std::string> base;  ///< the files before
  std::vector<Step> steps;
  std::map<int, std::pair<std::size_t, json>> acknowledged;  ///< by change: behind which step, and the answer
};

std::string content(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Changes by four callers at once, of which some are committed together, and a checkpoint on the way.
Run run_changes() {
  Run out;
  TempDir dir;
  {
    TestHost host(kPlugin, config(dir.path(), {{"host_metrics_seconds", 0}}));
    REQUIRE(host.call("state.settings.set", {{"key", "before"}, {"value", 1}}));
    host.stop();
  }
  for (const char* name : {"state.db", "state.identity"}) out.base[name] = content(dir / name);
  const TestVfs<kMethods> vfs("recording");
  TestHost host(kPlugin, config(dir.path(), {{"host_metrics_seconds", 0}}));
  recorder.begin();
  for (int n = 0; n < changes(); n += 4) {
    std::vector<gantry::testing::TestStream> calls;
    for (int i = n; i < n + 4; ++i) calls.push_back(host.begin("state.settings.set", change(i)));
    for (int i = n; i < n + 4; ++i) {
      const json answer = good(calls[static_cast<std::size_t>(i - n)].result());
      out.acknowledged[i] = {recorder.size(), answer};
    }
  }
  out.steps = recorder.end();
  host.destroy();
  return out;
}

void put(std::string& file, const Step& step) {
  if (step.kind == Step::Kind::truncate) {
    file.resize(static_cast<std::size_t>(step.at));
    return;
  }
  const auto end = static_cast<std::size_t>(step.at) + step.bytes.size();
  if (file.size() < end) file.resize(end);
  std::memcpy(file.data() + step.at, step.bytes.data(), step.bytes.size());
}

/// Of a write that was not synced each sector is there, or is not, or is rubbish.
void put_torn(std::string& file, const Step& step, std::mt19937_64& random) {
  if (step.kind == Step::Kind::truncate) {
    if (random() % 2 == 0) put(file, step);
    return;
  }
  for (std::size_t at = 0; at < step.bytes.size(); at += kSector) {
    Step part{Step::Kind::write, step.file, step.at + static_cast<std::int64_t>(at), step.bytes.substr(at, kSector)};
    const auto fate = random() % 4;
    if (fate == 0) continue;
    if (fate == 1) std::ranges::generate(part.bytes, [&] { return static_cast<char>(random()); });
    put(file, part);
  }
}

/// The files as a disk may have them when the power fails before step `cut`. `lies`: a disk that syncs nothing.
std::map<std::string, std::string> files_at(const Run& run, std::size_t cut, std::mt19937_64& random, bool lies) {
  auto files = run.base;
  std::map<std::string, std::vector<const Step*>> pending;
  for (std::size_t i = 0; i < cut; ++i) {
    const Step& step = run.steps[i];
    if (step.kind != Step::Kind::sync) {
      pending[step.file].push_back(&step);
    } else if (!lies) {
      for (const Step* done : std::exchange(pending[step.file], {})) put(files[step.file], *done);
    }
  }
  for (const auto& [file, steps] : pending) {
    for (const Step* step : steps) put_torn(files[file], *step, random);
  }
  return files;
}

struct Outcome {
  int lost = 0;
  int duplicated = 0;
  bool recovered = false;  ///< it went down the recovery ladder
};

Outcome start_at(const Run& run, std::size_t cut, std::mt19937_64& random, bool lies) {
  TempDir dir;
  for (const auto& [name, bytes] : files_at(run, cut, random, lies))
    std::ofstream(dir / name, std::ios::binary) << bytes;
  Outcome out;
  TestHost host(kPlugin, config(dir.path(), {{"host_metrics_seconds", 0}}));
  CAPTURE(host.log());
  REQUIRE(host.started() == 0);
  out.recovered = host.log().find("was recovered") != std::string::npos;
  std::uint64_t head = good(host.call("state.flush"))["seq"];
  for (const auto& [n, told] : run.acknowledged) {
    const auto& [behind, answer] = told;
    if (behind > cut) continue;
    // Done already: the same answer, and no new event.
    if (answer["seq"] > head || good(host.call("state.settings.set", change(n))) != answer) ++out.lost;
    const std::uint64_t now = good(host.call("state.flush"))["seq"];
    if (now != head) ++out.duplicated;
    head = now;
  }
  host.destroy();
  if (!lies) check_store(dir.path());
  return out;
}

}  // namespace

TEST_CASE("state: after a power failure at any sync everything acknowledged is there, once, unless the disk lies") {
  const Run run = run_changes();
  std::mt19937_64 random(11);
  std::vector<std::size_t> syncs;
  std::set<std::string> files;
  for (std::size_t i = 0; i < run.steps.size(); ++i) {
    if (run.steps[i].kind != Step::Kind::sync) continue;
    syncs.push_back(i);
    files.insert(run.steps[i].file);
  }
  REQUIRE(files == std::set<std::string>{"state.db", "state.db-wal"});  // a checkpoint was among them
  REQUIRE(syncs.size() >= 8);
  // Each of a checkpoint; of commits one in four, or each of 200 where GANTRY_STRESS is set.
  std::size_t commits = 0;
  std::erase_if(syncs, [&](std::size_t sync) {
    return run.steps[sync].file == "state.db-wal" && commits++ % 4 != 0 && !all_of_it();
  });
  int lost = 0;
  int duplicated = 0;
  for (const std::size_t sync : syncs) {
    for (const std::size_t cut : {sync, sync + 1}) {
      CAPTURE(cut);
      const auto outcome = start_at(run, cut, random, false);
      lost += outcome.lost;
      duplicated += outcome.duplicated;
      REQUIRE_FALSE(outcome.recovered);
    }
  }
  WARN("power failures " << 2 * syncs.size() << ", acknowledged " << run.acknowledged.size() << ", lost " << lost
                         << ", duplicated " << duplicated);
  REQUIRE(lost == 0);
  REQUIRE(duplicated == 0);
  // The same with a disk that syncs nothing has to lose something, or this test sees nothing.
  int lost_to_lies = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto outcome = start_at(run, run.steps.size(), random, true);
    lost_to_lies += outcome.lost;
  }
  REQUIRE(lost_to_lies > 0);
}
