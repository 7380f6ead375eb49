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
//   unreadable-backup a damaged store whose newest backup may not be read waits, until an older one is put back by hand
//   no-descriptors    opens the store, and recovers a damaged one, with 0, 1, 2 ... descriptors left
//   restore-without   puts a backup back with 0, 1, 2 ... descriptors left
//   descriptors-gone  loses its descriptors while the store is open
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

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gantry/testing.hpp>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/other_user.hpp"

namespace {
rlim_t everything = 0;  // NOLINT: the limit of descriptors that this process began with; 0: it stands
}

// UBSan looks by a pipe whether an object's memory can be read, and takes it for none where there is no descriptor.
extern "C" int pipe(int* ends) {  // NOLINT(readability-inconsistent-declaration-parameter-name)
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  rlimit now{};
  if (everything == 0 || ::getrlimit(RLIMIT_NOFILE, &now) != 0) return ::pipe2(ends, 0);
  const rlimit all{everything, now.rlim_max};
  (void)::setrlimit(RLIMIT_NOFILE, &all);
  const int made = ::pipe2(ends, 0);
  (void)::setrlimit(RLIMIT_NOFILE, &now);
  return made;
}

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
  auto events = host.events();
  std::erase_if(events, [](const auto& event) { return event.topic == "state.setting.failed"; });
  expect(events.size() <= static_cast<std::size_t>(count), "no event of what was refused");
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
    // A setting that is answered before its commit is lost: the next flush says so, once.
    expect(
        host.call("state.settings.set", {{"key", "early"}, {"value", std::string(20'000, 'f')}, {"durability", "D0"}})
            .has_value(),
        "D0 is answered");
    const auto flushed = host.call("state.flush");
    expect(!flushed && flushed.error().kind == ErrorKind::storage_failed &&
               flushed.error().message.find("was not written") != std::string::npos,
           "a flush says that a setting was lost");
    expect(host.call("state.flush").has_value(), "and says so once");
    (void)host.call("state.backup.create");
    for (const char* left : {"/backups/new.db", "/backups/new.db-journal"})
      expect(!std::filesystem::exists(folder + left), std::string("nothing is left of a backup: ") + left);
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

/// Modes bind this process from now on. False: this machine does not allow it.
bool become_nobody(const std::string& folder) {
  constexpr uid_t kNobody = 65534;
  if (::getuid() != 0) return true;
  expect(::chown(folder.c_str(), kNobody, kNobody) == 0, "chown");
  if (::setresgid(kNobody, kNobody, kNobody) != 0 || ::setresuid(kNobody, kNobody, kNobody) != 0) return false;
  ::prctl(PR_SET_DUMPABLE, 1);
  return true;
}

int no_access(const std::string& folder) {
  expect(::dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr, "the plugin loads");
  if (!become_nobody(folder)) return kSkip;
  expect(::chmod(folder.c_str(), 0500) == 0, "chmod");
  expect_refusal_then_recovery(folder, [&] { expect(::chmod(folder.c_str(), 0700) == 0, "chmod"); }, false);
  return 0;
}

void overwrite(const std::string& file, char with);

int unreadable_backup(const std::string& folder) {
  expect(::dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr, "the plugin loads");
  if (!become_nobody(folder)) return kSkip;
  std::string older, newest;
  {
    TestHost host(plugin, config(folder));
    for (std::string* const file : {&older, &newest}) {
      expect(host.call("state.settings.set", {{"key", "k"}, {"value", file == &older ? 1 : 2}}).has_value(),
             "a change");
      *file = host.call("state.backup.create")->at("backup").at("file");
    }
    host.stop();
  }
  overwrite(folder + "/state.db", 'x');
  expect(::chmod((folder + "/backups/" + newest).c_str(), 0) == 0, "chmod");
  TestHost host(plugin, config(folder));
  expect(host.started() == 0, "a start; " + host.log());
  const auto refused = host.call("state.settings.get", {{"key", "k"}});
  expect(!refused && refused.error().kind == ErrorKind::storage_failed, "a read is storage_failed");
  expect(refused.error().message.find(newest) != std::string::npos, "its name in " + refused.error().message);
  const auto restored = host.call("state.backup.restore", {{"file", older}});
  expect(restored.has_value(), "the older one is put back" + (restored ? "" : ": " + restored.error().message));
  expect(host.call("state.settings.get", {{"key", "k"}})->at("value") == 1, "its value");
  return 0;
}

/// No more than `left` descriptors can be opened while this lives.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t left) {
    expect(::getrlimit(RLIMIT_NOFILE, &before_) == 0, "getrlimit");
    rlim_t end = 0;  // behind the highest that is open
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
      end = std::max(end, static_cast<rlim_t>(std::stoul(entry.path().filename().string())) + 1);
    set(end);
    for (int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0; fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC))
      gaps_.push_back(fd);
    everything = before_.rlim_cur;
    set(end + left);
    expect(left > 0 || ::open("/dev/null", O_RDONLY | O_CLOEXEC) < 0, "no descriptor is left");
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() {
    for (const int fd : gaps_) ::close(fd);
    set(before_.rlim_cur);
    everything = 0;
  }

 private:
  void set(rlim_t most) const {
    const rlimit limit{most, before_.rlim_max};
    expect(::setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
  }
  rlimit before_{};
  std::vector<int> gaps_;
};

/// One value more, once `descriptors` are there again; whether it was taken before that.
bool set_one(TestHost& host, int& stored, const char* when) {
  const json set{{"key", "k" + std::to_string(stored)}, {"value", stored}};
  const auto done = host.call("state.settings.set", set);
  if (done) {
    ++stored;
    return true;
  }
  expect(done.error().kind == ErrorKind::storage_failed,
         std::string("storage_failed ") + when + ", not " + done.error().message);
  return false;
}

/// What `left` descriptors allow is done, and the rest is refused; nothing is lost, whatever the store has to do.
bool open_with(const std::string& folder, rlim_t left, int& stored) {
  bool taken = false;
  std::optional<FewDescriptors> few(left);
  TestHost host(plugin, config(folder));
  {
    const std::string when = "with " + std::to_string(left) + " descriptors";
    expect(host.started() == 0, "a start " + when + "; " + host.log());
    const int before = stored;
    taken = set_one(host, stored, when.c_str());
    const auto got = host.call("state.settings.get", {{"key", "k0"}});
    if (got) {
      expect((*got)["value"] == 0, "the value of k0 " + when);
    } else {
      expect(got.error().kind == ErrorKind::storage_failed, "storage_failed " + when + ", not " + got.error().message);
    }
    expect(taken || stored == before, "what is refused is not counted");
  }
  few.reset();
  expect(set_one(host, stored, "afterwards"), "a change works once descriptors are there; " + host.log());
  for (int i = 0; i < stored; ++i) {
    const auto got = host.call("state.settings.get", {{"key", "k" + std::to_string(i)}});
    expect(got && (*got)["value"] == i, "k" + std::to_string(i) + " is there with " + std::to_string(left) +
                                            (got ? ": " + got->dump() : ": " + got.error().message));
  }
  const auto next = host.call("state.settings.get", {{"key", "k" + std::to_string(stored)}});
  expect(next && (*next)["value"].is_null(), "nothing that was refused is there");
  host.stop();
  return taken;
}

void overwrite(const std::string& file, char with) {
  std::error_code gone;
  const auto size = std::filesystem::file_size(file, gone);
  if (gone) return;
  std::ofstream(file, std::ios::binary | std::ios::trunc) << std::string(size, with);
}

int no_descriptors(const std::string& folder) {
  expect(::dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr, "the plugin loads");
  constexpr rlim_t kMost = 40;
  int stored = 0;
  rlim_t left = 0;
  while (!open_with(folder, left, stored)) expect(++left < kMost, "a store opens with 40 descriptors");
  expect(left > 0, "without descriptors no store opens");

  // The same once the store is damaged: the backup is taken, or nothing is done.
  int recovered = 0;
  for (left = 0; recovered < 2; ++left) {
    expect(left < kMost, "a store is recovered with 40 descriptors");
    {
      TestHost host(plugin, config(folder));
      expect(host.call("state.backup.create").has_value(), "a backup");
      host.stop();
    }
    overwrite(folder + "/state.db", 'x');
    if (open_with(folder, left, stored)) ++recovered;
  }
  return 0;
}

/// A backup that is put back takes the place of the store, or changes nothing, and the caller is told which.
int restore_without(const std::string& folder) {
  TestHost host(plugin, config(folder));
  int stored = 0;
  expect(set_one(host, stored, "at first"), "a first change");
  const auto backup = host.call("state.backup.create");
  expect(backup.has_value(), "a backup");
  expect(set_one(host, stored, "behind the backup"), "a second change");
  bool restored = false;
  for (rlim_t left = 0; !restored; ++left) {
    expect(left < 40, "a backup is put back with 40 descriptors");
    {
      const FewDescriptors few(left);
      const auto done = host.call("state.backup.restore", {{"file", (*backup)["backup"]["file"]}});
      restored = done.has_value();
      if (!done) {
        expect(done.error().kind == ErrorKind::storage_failed, "storage_failed, not " + done.error().message);
        restored = done.error().message.find("was put back") != std::string::npos;
      }
    }
    const auto second = host.call("state.settings.get", {{"key", "k1"}});
    expect(second.has_value(), "a read" + (second ? "" : ": " + second.error().message));
    expect((*second)["value"].is_null() == restored,
           "what was behind the backup is there with " + std::to_string(left) + ": " + second->dump());
  }
  return 0;
}

int descriptors_gone(const std::string& folder) {
  int stored = 0;
  {
    TestHost host(plugin, config(folder));
    expect(set_one(host, stored, "at first"), "a first change");
    expect(host.call("state.backup.create").has_value(), "a first backup");
    {
      const FewDescriptors none(0);
      for (int i = 0; i < 20; ++i) (void)set_one(host, stored, "without descriptors");
      for (const auto& [method, params] : {std::pair<const char*, json>{"state.backup.create", json::object()},
                                           {"state.settings.list", json::object()},
                                           {"state.check", json::object()},
                                           {"state.at", {{"seq", 1}, {"scope", "settings"}}},
                                           {"state.gc", {{"stale_days", 30}}},
                                           {"state.metrics.record", {{"name", "m"}, {"value", 1}}},
                                           {"state.flush", json::object()}}) {
        const auto result = host.call(method, params);
        expect(result || result.error().message.find("replaced") == std::string::npos, "what is wrong is said");
        expect(result || result.error().kind == ErrorKind::storage_failed,
               std::string(method) + " works or is storage_failed" + (result ? "" : ", not " + result.error().message));
      }
    }
    expect(set_one(host, stored, "afterwards"), "a change works again");
    const auto backup = host.call("state.backup.create");
    expect(backup.has_value(), "a backup works again" + (backup ? "" : ": " + backup.error().message));
    expect(host.call("state.check").has_value(), "and a check");
    host.stop();
  }
  TestHost host(plugin, config(folder));
  for (int i = 0; i < stored; ++i)
    expect(host.call("state.settings.get", {{"key", "k" + std::to_string(i)}})->at("value") == i,
           "k" + std::to_string(i));
  expect(host.call("state.flush")->at("seq") == stored, "the log ends with the last acknowledged change");
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
  if (scenario == "unreadable-backup") return unreadable_backup(folder);
  if (scenario == "no-descriptors") return no_descriptors(folder);
  if (scenario == "restore-without") return restore_without(folder);
  if (scenario == "descriptors-gone") return descriptors_gone(folder);
  failed("no such scenario: " + scenario);
}
