// SPDX-License-Identifier: Apache-2.0
//
// What a plugin in a process of its own may ask of the system besides files.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <set>

#include "host/sandbox/confine.hpp"
#include "tests/unit/sandbox/support.hpp"
#include "tests/unit/support/child.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("sandbox: without the network grant there is no socket but a connected pair") {
  ConfinedDaemon t;
  t.needs("seccomp");
  for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK}) {
    CAPTURE(family);
    REQUIRE(t.tried("prober.socket", {{"family", family}}) == EACCES);
  }
  REQUIRE(t.tried("prober.socketpair", {{"type", SOCK_STREAM}}) == 0);
  REQUIRE(t.tried("prober.socketpair", {{"type", SOCK_DGRAM | SOCK_CLOEXEC}}) == EACCES);
  REQUIRE(t.tried("prober.connects", at(t.socket())) == EACCES);
}

TEST_CASE("sandbox: the network grant opens the internet, and neither the host's socket nor the kernel's own sockets") {
  ConfinedDaemon t(grants({"network"}));
  t.needs("seccomp");
  REQUIRE(t.tried("asker.socket", {{"family", AF_INET}}) == 0);
  REQUIRE(t.tried("asker.socket", {{"family", AF_INET6}}) != EACCES);
  REQUIRE(t.tried("asker.socket", {{"family", AF_NETLINK}, {"type", SOCK_RAW}}) == 0);
  REQUIRE(t.tried("asker.socket", {{"family", AF_NETLINK}, {"type", SOCK_RAW}, {"protocol", 9}}) == EACCES);
  for (const int family : {AF_UNIX, AF_PACKET, AF_VSOCK}) {
    CAPTURE(family);
    REQUIRE(t.tried("asker.socket", {{"family", family}}) == EACCES);
  }
  REQUIRE(t.tried("asker.connects", at(t.socket())) == EACCES);
  REQUIRE(t.tried("asker.forks") == EPERM);
}

TEST_CASE("sandbox: without the processes grant there is no other process, and threads as ever") {
  ConfinedDaemon t;
  t.needs("seccomp");
  REQUIRE(t.tried("prober.forks") == EPERM);
  REQUIRE(t.tried("prober.executes") == EPERM);
  REQUIRE(t.tried("prober.becomes_another") == EPERM);
  REQUIRE((*t.call("prober.threads"))["seen"] == 1);
}

TEST_CASE("sandbox: the processes grant lets the host start programs for it, not itself") {
  ConfinedDaemon t(grants({"processes"}));
  t.needs("seccomp");
  REQUIRE(t.tried("asker.forks") == EPERM);
  REQUIRE(t.tried("asker.executes") == EPERM);
}

TEST_CASE("sandbox: a plugin signals itself and nobody else, and looks into nobody") {
  ConfinedDaemon t(grants({"processes"}));
  t.needs("seccomp");
  const json host{{"pid", ::getpid()}};
  REQUIRE(t.tried("prober.signals", host) == EPERM);
  REQUIRE(t.tried("prober.signals", {{"pid", -1}}) == EPERM);
  REQUIRE(t.tried("prober.raises") == 0);
  for (const std::string plugin : {"prober", "asker"}) {
    CAPTURE(plugin);
    REQUIRE(t.tried(plugin + ".traces", host) == EPERM);
    REQUIRE(t.tried(plugin + ".peeks", host) == EPERM);
  }
  REQUIRE(t.tried("asker.signals", host) == EPERM);
}

TEST_CASE("sandbox: calls that a plugin has no use for are refused, whatever is granted") {
  ConfinedDaemon t;
  t.needs("seccomp");
  for (const std::string plugin : {"prober", "asker"}) {
    for (const long number : {SYS_io_uring_setup, SYS_bpf, SYS_userfaultfd, SYS_keyctl, SYS_mount, SYS_unshare,
                              SYS_setns, SYS_open_by_handle_at, SYS_perf_event_open, SYS_pidfd_getfd}) {
      INFO(plugin << " " << number);
      REQUIRE(t.tried(plugin + ".calls", {{"number", number}}) == EPERM);
    }
    REQUIRE(t.tried(plugin + ".calls", {{"number", SYS_clone3}}) == ENOSYS);
  }
}

TEST_CASE(
    "sandbox: of the host's environment a plugin sees what is no secret, and its own folder for what is temporary") {
  ::setenv("GANTRY_TEST_SECRET", "a key", 1);
  ConfinedDaemon t;
  const std::set<std::string> known{"PATH",         "HOME",          "USER",         "LANG",   "LC_ALL",        "TZ",
                                    "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "TMPDIR", "XDG_CACHE_HOME"};
  const auto environment = *t.call("prober.environment");
  REQUIRE_FALSE(environment.empty());
  bool has_folder = false;
  for (const auto& entry : environment) {
    const auto text = entry.get<std::string>();
    INFO(text);
    REQUIRE(known.contains(text.substr(0, text.find('='))));
    has_folder = has_folder || text == "TMPDIR=" + (*t.call("prober.folder"))["path"].get<std::string>();
  }
  REQUIRE(has_folder);
  ::unsetenv("GANTRY_TEST_SECRET");
}

TEST_CASE("sandbox: of the host's descriptors a plugin has its socket and its output, not those that were left open") {
  const TempDir dir;
  const int careless = ::open((dir.path() / "left open").c_str(), O_RDWR | O_CREAT, 0600);
  ConfinedDaemon t;
  const auto descriptors = *t.call("prober.descriptors");
  ::close(careless);
  REQUIRE(descriptors["0"] == "/dev/null");
  REQUIRE(descriptors["1"].get<std::string>().starts_with("pipe:"));
  REQUIRE(descriptors["2"] == descriptors["1"]);
  REQUIRE(descriptors["3"].get<std::string>().starts_with("socket:"));
  for (const auto& [number, target] : descriptors.items()) {
    if (std::stoi(number) < 4) continue;
    INFO(number << " " << target);
    REQUIRE(target.get<std::string>().starts_with("anon_inode:"));  // its own loop and timers
  }
}

TEST_CASE("sandbox: a plugin can open so many files, and have so much memory as the configuration says") {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  const std::optional<std::int64_t> memory;  // a sanitizer needs terabytes of addresses
#else
  const std::optional<std::int64_t> memory = 2048;
#endif
  ConfinedDaemon t([&](Config& c) { c.plugins["prober"].max_memory_mib = memory; });
  const auto limits = *t.call("prober.limits");
  REQUIRE(limits["files"] == 4096);
  if (memory) REQUIRE(limits["memory"] == *memory << 20);
}

TEST_CASE("sandbox: host.plugins says what holds a plugin, and what nothing holds it to") {
  ConfinedDaemon t([](Config& c) { c.plugins["asker"].isolation = Isolation::in_line; });
  REQUIRE(t.call("prober.folder"));
  REQUIRE(t.call("asker.folder"));
  const auto prober = t.entry("prober");
  std::vector<std::string> enforced = prober["enforced"];
  for (const char* always : {"environment", "descriptors", "parent_death", "no_new_privs", "rlimits", "capabilities"}) {
    CAPTURE(always);
    REQUIRE(std::erase(enforced, always) == 1);
  }
  for (const auto& level : enforced) {
    CAPTURE(level);
    REQUIRE((level.starts_with("landlock:") || level == "seccomp"));
  }
  REQUIRE_FALSE(prober.contains("unenforced"));
  const auto asker = t.entry("asker");
  REQUIRE(asker["enforced"] == json::array());
  REQUIRE(asker["unenforced"] == json{"network", "processes", "read:/", "write:$STATE/shared", "read:workspace"});
}

namespace {

constexpr long kLandlockCreate = 444;
constexpr long kLandlockRestrict = 446;

/// What comes of it in a process whose kernel refuses this call. 0: it is confined; 1: it is not.
[[nodiscard]] int confined_without(long call, unsigned error, std::string_view note = {}) {
  return core_test::exit_code_of([&] {
    if (!core_test::refuse(call, call, error)) return core_test::kNoFilter;
    const auto level = confine(Confinement{});
    if (!level) return 1;
    for (const auto& what : level->enforced) {
      if (call == kLandlockCreate && what.starts_with("landlock")) return 2;
    }
    if (note.empty()) return 0;
    return level->notes.size() == 1 && level->notes.front().find(note) != std::string::npos ? 0 : 3;
  });
}

}  // namespace

TEST_CASE("sandbox: what the kernel offers and refuses keeps a plugin from starting, what it lacks is a lower level") {
  REQUIRE(confined_without(kLandlockRestrict, EPERM) == 1);
  REQUIRE(confined_without(SYS_capset, EPERM) == 1);
  REQUIRE(confined_without(SYS_prlimit64, EPERM) == 1);
  REQUIRE(confined_without(kLandlockCreate, ENOSYS, "no Landlock") == 0);
}
