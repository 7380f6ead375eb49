// SPDX-License-Identifier: Apache-2.0
//
// A fault at every n-th operation of the file system below SQLite.
#include "tests/unit/project_state/support.hpp"
#include "tests/unit/project_state/vfs.hpp"

using namespace state_test;

namespace {

enum class Operation { write, sync, truncate };

struct Fault {
  std::atomic<bool> armed{false};
  std::atomic<Operation> operation{Operation::write};
  std::atomic<int> code{SQLITE_IOERR};
  std::atomic<bool> stays{false};  // until disarmed; else it strikes once
  std::atomic<long> countdown{0};
  std::atomic<long> struck{0};

  /// What the operation returns instead, or SQLITE_OK.
  int strike(Operation what) {
    if (!armed || what != operation) return SQLITE_OK;
    const long left = countdown.fetch_sub(1);
    if (left > 0 || (left < 0 && !stays)) return SQLITE_OK;
    ++struck;
    return code;
  }
  void arm(Operation what, int with, long nth, bool for_ever) {
    operation = what;
    code = with;
    countdown = nth;
    stays = for_ever;
    struck = 0;
    armed = true;
  }
};
Fault fault;  // NOLINT: the VFS is the process's

const sqlite3_io_methods kMethods = [] {
  sqlite3_io_methods out = kPassing;
  out.xWrite = [](sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
    const int code = fault.strike(Operation::write);
    return code != SQLITE_OK ? code : kPassing.xWrite(f, from, n, at);
  };
  out.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) {
    const int code = fault.strike(Operation::truncate);
    return code != SQLITE_OK ? code : kPassing.xTruncate(f, size);
  };
  out.xSync = [](sqlite3_file* f, int flags) {
    const int code = fault.strike(Operation::sync);
    return code != SQLITE_OK ? code : kPassing.xSync(f, flags);
  };
  return out;
}();

struct Faulty : TestVfs<kMethods> {
  Faulty() : TestVfs("faulty") {}
  Faulty(const Faulty&) = delete;
  Faulty& operator=(const Faulty&) = delete;
  ~Faulty() { fault.armed = false; }
};

constexpr int kChanges = 3;
json change(int n) {
  return {{"key", "k" + std::to_string(n)},
          {"value", std::string(300, 'v')},
          {"mutation", {{"client_id", "c"}, {"mutation_id", n}}}};
}

/// A script of changes under the fault that is armed; then the fault goes, and every promise is looked at.
void run(const std::string& folder, bool from_start) {
  std::map<int, json> acknowledged;
  {
    std::unique_ptr<TestHost> host;
    if (from_start) {
      host = std::make_unique<TestHost>(kPlugin, config(folder));
    } else {
      const bool armed = fault.armed.exchange(false);
      host = std::make_unique<TestHost>(kPlugin, config(folder));
      fault.armed = armed;
    }
    CAPTURE(host->log());
    REQUIRE(host->started() == 0);
    for (int n = 0; n < kChanges; ++n) {
      const auto result = host->call("state.settings.set", change(n));
      if (result) {
        acknowledged[n] = *result;
      } else {
        CAPTURE(result.error().message);
        REQUIRE(result.error().kind == ErrorKind::storage_failed);
      }
    }
    if (fault.struck > 0 && !from_start) REQUIRE(acknowledged.size() < kChanges);
    fault.armed = false;
    // What was acknowledged is visible; all that was not works now, once.
    for (const auto& [n, answer] : acknowledged) {
      CAPTURE(n, answer);
      REQUIRE(good(host->call("state.settings.get", {{"key", change(n)["key"]}}))["rev"] == 1);
      REQUIRE(good(host->call("state.settings.set", change(n))) == answer);
    }
    for (int n = 0; n < kChanges; ++n) {
      CAPTURE(n);
      REQUIRE(good(host->call("state.settings.set", change(n)))["rev"] == 1);
    }
    settle(*host);
    const auto events = host->events();
    REQUIRE(events.size() == kChanges);
    for (std::size_t i = 0; i < events.size(); ++i) {
      CAPTURE(i);
      REQUIRE(events[i].seq == i + 1);
    }
    host->destroy();
  }
  REQUIRE(check_store(folder) == kChanges);
}

/// n = 0, 1, 2, ... until the script ends before the fault strikes. Returns how often it struck.
int at_every(Operation operation, int code, bool stays, bool from_start) {
  Faulty vfs;
  for (int n = 0;; ++n) {
    CAPTURE(n, code, stays, from_start);
    TempDir dir;
    fault.arm(operation, code, n, stays);
    run(dir / "state", from_start);
    if (fault.struck == 0) return n;
    REQUIRE(n < 2000);
  }
}

}  // namespace

TEST_CASE("state: a fault at any write is storage_failed, and nothing is acknowledged that is not stored") {
  for (const int code : {SQLITE_IOERR_WRITE, SQLITE_FULL}) {
    CAPTURE(code);
    for (const bool stays : {false, true}) {
      CAPTURE(stays);
      REQUIRE(at_every(Operation::write, code, stays, false) >= kChanges);
    }
  }
}

TEST_CASE("state: a fault at any write of the first run leaves a folder that the next call can use") {
  REQUIRE(at_every(Operation::write, SQLITE_FULL, false, true) > 5);
  REQUIRE(at_every(Operation::write, SQLITE_FULL, true, true) > 5);
}

TEST_CASE("state: after a failed fsync the store is opened and checked anew before it is trusted") {
  for (const bool from_start : {false, true}) {
    CAPTURE(from_start);
    for (const bool stays : {false, true}) {
      CAPTURE(stays);
      REQUIRE(at_every(Operation::sync, SQLITE_IOERR_FSYNC, stays, from_start) >= kChanges);
    }
  }
  TempDir dir;
  Faulty vfs;
  TestHost host(kPlugin, config(dir.path()));
  fault.arm(Operation::sync, SQLITE_IOERR_FSYNC, 0, false);
  const auto failed = bad(host.call("state.settings.set", change(0)));
  REQUIRE(failed.kind == ErrorKind::storage_failed);
  REQUIRE(host.log().find("opened and checked anew") != std::string::npos);
  REQUIRE(host.call("state.settings.set", change(0)));
}
