// SPDX-License-Identifier: Apache-2.0
//
// state_child PLUGIN SCENARIO FOLDER [SEED]: a process for the tests of project_state to kill, starve or lock out.
//
//   write       changes state for ever, and tells on stdout what it tries and what was acknowledged
//   hold        opens the store, says so, and keeps it until stdin ends
//   file-limit  fills the store until a file size limit stops it
//   full-disk   the same on a tiny tmpfs of its own
//   read-only   starts on a read-only file system, which then becomes writable
//   no-access   starts as a user who may not write the folder, and then may
//
// Exit: 0 as it should be, 1 not (stderr says what), 77 this machine does not allow the scenario.
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gantry/testing.hpp>
#include <iostream>
#include <map>
#include <random>
#include <string>

#include "tests/other_user.hpp"

namespace {

using gantry::ErrorKind;
using gantry::json;
using gantry::testing::TestHost;

constexpr int kSkip = gantry::test::kSkipped;
std::string plugin;  // NOLINT: set once in main

[[noreturn]] void failed(const std::string& what) {
  std::cerr << "state_child: " << what << std::endl;
  std::_Exit(1);
}
void expect(bool holds, const std::string& what) {
  if (!holds) failed("expected: " + what);
}
json config(const std::string& folder) { return {{"name", "project_state"}, {"state_dir", folder}}; }

void say(const json& line) {
  const std::string text = line.dump() + "\n";
  if (::write(STDOUT_FILENO, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::_Exit(0);
}

/// One random change; `known` maps session ids to revs.
std::pair<std::string, json> random_change(std::mt19937_64& random, const std::map<std::string, std::uint64_t>& known) {
  const auto pick = random() % 10;
  const std::string filler(random() % 3000, 'f');
  if (pick < 4) {
    const json value = random() % 8 == 0 ? json() : json(filler);
    return {"state.settings.set", {{"key", "k" + std::to_string(random() % 20)}, {"value", value}}};
  }
  if (known.empty() || pick < 6) return {"state.session.create", {{"name", "n"}, {"attributes", {{"filler", filler}}}}};
  auto it = known.begin();
  std::advance(it, static_cast<long>(random() % known.size()));
  if (pick < 7) return {"state.session.delete", {{"id", it->first}, {"rev", it->second}}};
  if (pick < 8) {
    const json pane{{"session_id", it->first}, {"kind", "editor"}, {"attributes", {{"filler", filler}}}};
    const json set{{"key", "of the batch"}, {"value", filler}};
    return {
        "state.batch",
        {{"ops",
          {{{"method", "state.pane.create"}, {"params", pane}}, {{"method", "state.settings.set"}, {"params", set}}}}}};
  }
  return {"state.session.update",
          {{"id", it->first},
           {"rev", it->second},
           {"patch", {{"attributes", {{"m" + std::to_string(random() % 5), filler}}}}}}};
}

int write_for_ever(const std::string& folder, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  say({{"starting", true}});
  TestHost host(plugin, config(folder));
  expect(host.started() == 0, "a start; " + host.log());
  std::map<std::string, std::uint64_t> known;
  for (const auto& item : host.call("state.session.list", {{"limit", 1000}})->at("items"))
    known[item["id"]] = item["rev"];
  for (std::uint64_t n = 0;; ++n) {
    auto [method, params] = random_change(random, known);
    params["mutation"] = {{"client_id", "writer" + std::to_string(seed)}, {"mutation_id", n}};
    say({{"try", method}, {"params", params}});
    const auto result = host.call(method, params);
    expect(result.has_value(), method + " works" + (result ? "" : ": " + result.error().message));
    if (method == "state.session.delete") {
      known.erase(params["id"]);
    } else if (result->contains("session")) {
      known[(*result)["session"]["id"]] = (*result)["session"]["rev"];
    }
    say({{"acknowledged", *result}});
  }
}

int hold(const std::string& folder) {
  TestHost host(plugin, config(folder));
  say({{"started", host.started()}});
  char byte = 0;
  (void)!::read(STDIN_FILENO, &byte, 1);
  return 0;
}

/// Sets new keys until one is refused; returns how many were acknowledged.
int fill(TestHost& host, int from) {
  const std::string filler(20'000, 'f');
  for (int i = from; i < from + 1000; ++i) {
    const auto result = host.call("state.settings.set", {{"key", "k" + std::to_string(i)}, {"value", filler}});
    if (result) continue;
    expect(result.error().kind == ErrorKind::storage_failed, "storage_failed, not " + result.error().message);
    expect(result.error().message.find("state.db") != std::string::npos,
           "the file's name in " + result.error().message);
    return i;
  }
  failed("1000 values of 20 kB were taken by a disk that cannot hold them");
}

/// Exactly the first `count` keys have a value.
void expect_keys(TestHost& host, int count) {
  for (int i = 0; i <= count; ++i) {
    const auto got = host.call("state.settings.get", {{"key", "k" + std::to_string(i)}});
    expect(got.has_value(), "k" + std::to_string(i) + " is readable" + (got ? "" : ": " + got.error().message));
    expect((*got)["value"].is_null() == (i == count), "k" + std::to_string(i) + " is there if it was acknowledged");
  }
  const auto head = host.call("state.flush");
  expect(head && (*head)["seq"] == count, "the log ends with the last acknowledged change");
  expect(host.events().size() <= static_cast<std::size_t>(count), "no event of what was refused");
}

void exhaust_and_mend(const std::string& folder, const std::function<void()>& mend) {
  int stored = 0;
  {
    TestHost host(plugin, config(folder));
    expect(host.started() == 0, "a start; " + host.log());
    stored = fill(host, 0);
    expect(stored > 0, "something was stored before the limit");
    expect_keys(host, stored);
    expect(!host.call("state.session.create",
                      {{"name", std::string(1000, 'n')}, {"attributes", {{"a", std::string(20'000, 'f')}}}}),
           "what does not fit is still refused");
    mend();
    const auto again = host.call("state.settings.set", {{"key", "k" + std::to_string(stored)}, {"value", "fits"}});
    expect(again.has_value(), "a change works again" + (again ? "" : ": " + again.error().message));
    ++stored;
    expect_keys(host, stored);
    host.stop();
  }
  TestHost host(plugin, config(folder));
  expect(host.started() == 0, "a start afterwards; " + host.log());
  expect_keys(host, stored);
}

int file_limit(const std::string& folder) {
  // A host must do this: the signal's default action ends the process.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{300'000, old.rlim_max};
  expect(setrlimit(RLIMIT_FSIZE, &small) == 0, "setrlimit");
  exhaust_and_mend(folder, [&] { expect(setrlimit(RLIMIT_FSIZE, &old) == 0, "setrlimit"); });
  return 0;
}

/// Gets a mount name space, as root or with one of its own users.
bool unshare_mounts() {
  if (::unshare(CLONE_NEWNS) == 0) return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

int full_disk(const std::string& folder) {
  if (!unshare_mounts() || ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=1m") != 0) return kSkip;
  const std::string ballast = folder + "/ballast";
  std::ofstream(ballast) << std::string(400'000, 'b');
  std::filesystem::create_directory(folder + "/state");
  exhaust_and_mend(folder + "/state", [&] { std::filesystem::remove(ballast); });
  return 0;
}

void expect_refusal_then_recovery(const std::string& folder, const std::function<void()>& mend, bool was_filled) {
  TestHost host(plugin, config(folder));
  expect(host.started() == 0, "a start although the folder cannot be written; " + host.log());
  const json set{{"key", "k"}, {"value", 2}};
  for (const auto& [method, params] : {std::pair<const char*, json>{"state.settings.set", set},
                                       {"state.settings.get", {{"key", "k"}}},
                                       {"state.session.list", json::object()}}) {
    const auto refused = host.call(method, params);
    expect(!refused && refused.error().kind == ErrorKind::storage_failed, std::string(method) + " is storage_failed");
    expect(refused.error().message.find(folder) != std::string::npos,
           "the folder's name in " + refused.error().message);
  }
  expect(host.events().empty(), "no events");
  mend();
  if (was_filled) expect(host.call("state.settings.get", {{"key", "k"}})->at("value") == 1, "what was there before");
  const auto done = host.call("state.settings.set", set);
  expect(done.has_value(), "a change works again" + (done ? "" : ": " + done.error().message));
  expect(host.event("state.setting.changed").seq == (was_filled ? 2 : 1), "its event");
}

int read_only(const std::string& folder) {
  if (!unshare_mounts() || ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=8m") != 0) return kSkip;
  const std::string state = folder + "/state";
  {
    TestHost host(plugin, config(state));
    expect(host.call("state.settings.set", {{"key", "k"}, {"value", 1}}).has_value(), "a first change");
    host.stop();
  }
  expect(::mount("tmpfs", folder.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) == 0, "remount");
  expect_refusal_then_recovery(
      state, [&] { expect(::mount("tmpfs", folder.c_str(), "tmpfs", MS_REMOUNT, nullptr) == 0, "remount"); }, true);
  return 0;
}

int no_access(const std::string& folder) {
  constexpr uid_t kNobody = 65534;
  expect(::dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr, "the plugin loads");
  if (::getuid() == 0) {  // modes do not bind root
    expect(::chown(folder.c_str(), kNobody, kNobody) == 0, "chown");
    if (::setresgid(kNobody, kNobody, kNobody) != 0 || ::setresuid(kNobody, kNobody, kNobody) != 0) return kSkip;
    ::prctl(PR_SET_DUMPABLE, 1);
  }
  expect(::chmod(folder.c_str(), 0500) == 0, "chmod");
  expect_refusal_then_recovery(folder, [&] { expect(::chmod(folder.c_str(), 0700) == 0, "chmod"); }, false);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) failed("usage: state_child PLUGIN SCENARIO FOLDER [SEED]");
  plugin = argv[1];
  const std::string scenario = argv[2];
  const std::string folder = argv[3];
  if (scenario == "write") return write_for_ever(folder, std::strtoull(argc > 4 ? argv[4] : "1", nullptr, 10));
  if (scenario == "hold") return hold(folder);
  if (scenario == "file-limit") return file_limit(folder);
  if (scenario == "full-disk") return full_disk(folder);
  if (scenario == "read-only") return read_only(folder);
  if (scenario == "no-access") return no_access(folder);
  failed("no such scenario: " + scenario);
}
