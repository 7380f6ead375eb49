// SPDX-License-Identifier: Apache-2.0
//
// What a confined process may not do to others by a system call, also where the kernel's Landlock is an older one. Each
// test confines a process of its own.
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <asm/sockios.h>
#include <functional>

#include "host/sandbox/confine.hpp"
#include "tests/folders.hpp"
#include "tests/unit/sandbox/support.hpp"
#include "tests/unit/support/child.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

constexpr int kIoprioWhoProcess = 1;  // of linux/ioprio.h, which newer kernels have in C alone

/// What `body` returns in a process that is confined so, which has no more of Landlock than that version of it.
template <class F>
[[nodiscard]] int confined(const Confinement& confinement, int landlock, F&& body) {
  return core_test::exit_code_of([&] {
    const auto level = confine(confinement, landlock);
    if (!level) return 100;
    bool filters = false;
    for (const auto& what : level->enforced) filters = filters || what == "seccomp";
    return filters ? body() : core_test::kNoFilter;
  });
}
/// 0: the call was refused with this error.
[[nodiscard]] int refused(long result, int error) { return result == -1 && errno == error ? 0 : 1; }
[[nodiscard]] int granted(long result) { return result == -1 ? 1 : 0; }

/// True: the older call for it, where this machine has one, is refused too.
[[nodiscard]] bool open_refuses_to_empty([[maybe_unused]] const std::string& file) {
#ifdef SYS_open
  return refused(::syscall(SYS_open, file.c_str(), O_RDONLY | O_TRUNC), EACCES) == 0 &&
         refused(::syscall(SYS_open, file.c_str(), O_ACCMODE | O_TRUNC), EACCES) == 0;
#else
  return true;
#endif
}

/// Another process of this user, until the end of the test.
struct Other {
  pid_t pid = ::fork();
  Other() {
    if (pid == 0) {
      for (;;) ::pause();
    }
  }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;
  ~Other() {
    (void)::kill(pid, SIGKILL);
    (void)::waitpid(pid, nullptr, 0);
  }
};

/// The error of each of the calls that change limits, scheduling or priority of the process `pid`; 0: it was let.
[[nodiscard]] std::vector<int> act_on(pid_t pid) {
  const rlimit core{0, 0};
  cpu_set_t cpus;
  (void)::sched_getaffinity(0, sizeof cpus, &cpus);
  const sched_param normal{};
  const int nice = ::getpriority(PRIO_PROCESS, 0);  // who runs the tests may have given up some of it
  struct {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
  } attributes{48, SCHED_OTHER, 0, nice, 0, 0, 0, 0};
  constexpr int kBestEffort = (2 << 13) | 4;
  const auto error = [](long result) { return result == -1 ? errno : 0; };
  return {error(::syscall(SYS_prlimit64, pid, RLIMIT_CORE, &core, nullptr)),
          error(::syscall(SYS_sched_setaffinity, pid, sizeof cpus, &cpus)),
          error(::syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &normal)),
          error(::syscall(SYS_sched_setparam, pid, &normal)),
          error(::syscall(SYS_sched_setattr, pid, &attributes, 0)),
          error(::syscall(SYS_setpriority, PRIO_PROCESS, pid, nice)),
          error(::syscall(SYS_ioprio_set, kIoprioWhoProcess, pid, kBestEffort))};
}

}  // namespace

TEST_CASE("security: a child and a helper act on their own limits, scheduling and priority, and on nobody else's") {
  const Other other;
  const bool helper = GENERATE(false, true);
  Confinement confinement;
  confinement.processes = helper;
  REQUIRE(confined(confinement, kAnyLandlock, [&] {
            for (const pid_t pid : {0, ::getpid()}) {
              for (const int error : act_on(pid)) {
                if (error != 0) return 1;
              }
            }
            for (const int error : act_on(other.pid)) {
              if (error != EPERM) return 2;
            }
            // a number of which the kernel looks at the lower half
            const rlimit core{0, 0};
            const long wide = (1L << 32) + other.pid;
            return refused(::syscall(SYS_prlimit64, wide, RLIMIT_CORE, &core, nullptr), EPERM);
          }) == 0);
}

TEST_CASE("security: neither a group nor all of a user's processes get another priority") {
  REQUIRE(confined({}, kAnyLandlock, [] {
            for (const int which : {PRIO_PGRP, PRIO_USER}) {
              if (refused(::syscall(SYS_setpriority, which, 0, 1), EPERM) != 0) return 1;
            }
            for (const int which : {2, 3}) {
              if (refused(::syscall(SYS_ioprio_set, which, 0, 4), EPERM) != 0) return 2;
            }
            return 0;
          }) == 0);
}

TEST_CASE("security: a helper's own processes name themselves by 0") {
  Confinement helper;
  helper.processes = true;
  REQUIRE(confined(helper, kAnyLandlock, [] {
            const pid_t child = ::fork();
            if (child != 0) return gantry::test::exit_code(child);
            const rlimit core{0, 0};
            if (::syscall(SYS_prlimit64, 0, RLIMIT_CORE, &core, nullptr) != 0) ::_exit(1);
            ::_exit(refused(::syscall(SYS_prlimit64, ::getpid(), RLIMIT_CORE, &core, nullptr), EPERM));
          }) == 0);
}

TEST_CASE("security: no confined process has System V IPC or message queues") {
  Confinement confinement;
  confinement.processes = GENERATE(false, true);
  REQUIRE(confined(confinement, kAnyLandlock, [] {
            const std::array calls{SYS_shmget, SYS_shmat,      SYS_shmdt,   SYS_shmctl,   SYS_msgget,
                                   SYS_msgsnd, SYS_msgrcv,     SYS_msgctl,  SYS_semget,   SYS_semop,
                                   SYS_semctl, SYS_semtimedop, SYS_mq_open, SYS_mq_unlink};
            for (const long call : calls) {
              if (refused(::syscall(call, 0, 0, 0, 0, 0), EPERM) != 0) return 1;
            }
            return 0;
          }) == 0);
}

TEST_CASE("security: the younger calls that change a file by its path are refused as the older ones are") {
  constexpr std::array kCalls{463, 466, 467, 469};  // setxattrat, removexattrat, open_tree_attr, file_setattr
  Confinement confinement;
  confinement.processes = GENERATE(false, true);
  REQUIRE(confined(confinement, kAnyLandlock, [&] {
            for (const long call : kCalls) {
              if (refused(::syscall(call, AT_FDCWD, "/tmp", 0, 0, 0, 0), EPERM) != 0) return 1;
            }
            return 0;
          }) == 0);
}

TEST_CASE("security: below Landlock 6 a process names nobody who is signalled when a descriptor is ready") {
  const auto try_all = [] {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) return 100;
    int self = ::getpid();
    const f_owner_ex owner{F_OWNER_PID, self};
    return refused(::fcntl(ends[0], F_SETOWN, self), EPERM) + refused(::fcntl(ends[0], F_SETOWN_EX, &owner), EPERM) +
           refused(::fcntl(ends[0], F_SETSIG, SIGIO), EPERM) + refused(::ioctl(ends[0], FIOSETOWN, &self), EPERM) +
           refused(::ioctl(ends[0], SIOCSPGRP, &self), EPERM);
  };
  Confinement confinement;
  confinement.processes = GENERATE(false, true);
  REQUIRE(confined(confinement, 5, try_all) == 0);
  REQUIRE(confined(confinement, 0, try_all) == 0);
}

TEST_CASE("security: below Landlock 3 a file that may only be read is not emptied, in any way") {
  const TempDir dir;
  const std::string file = dir.path() / "file";
  put(file);
  Confinement confinement;
  confinement.read = {dir.path().string()};
  confinement.processes = GENERATE(false, true);
  REQUIRE(confined(confinement, 2, [&] {
            if (granted(::open(file.c_str(), O_RDONLY)) != 0) return 1;
            if (refused(::syscall(SYS_truncate, file.c_str(), 0), EACCES) != 0) return 2;
            if (refused(::open(file.c_str(), O_RDONLY | O_TRUNC), EACCES) != 0) return 3;
            if (refused(::open(file.c_str(), O_ACCMODE | O_TRUNC), EACCES) != 0) return 4;
            if (!open_refuses_to_empty(file)) return 5;
            if (refused(::open(file.c_str(), O_WRONLY | O_TRUNC), EACCES) != 0) return 7;
            const std::array<std::uint64_t, 3> how{O_RDONLY, 0, 0};
            return refused(::syscall(SYS_openat2, AT_FDCWD, file.c_str(), how.data(), sizeof how), ENOSYS);
          }) == 0);
  REQUIRE(std::filesystem::file_size(file) == 4);
}

TEST_CASE("security: below Landlock 3 a file that may be written is emptied as ever") {
  const TempDir dir;
  const std::string file = dir.path() / "file";
  put(file);
  Confinement confinement;
  confinement.write = {dir.path().string()};
  REQUIRE(confined(confinement, 2, [&] { return granted(::open(file.c_str(), O_WRONLY | O_TRUNC)); }) == 0);
  REQUIRE(std::filesystem::file_size(file) == 0);
}

TEST_CASE("security: a kernel's Landlock is used no further than it is known, and said so") {
  REQUIRE(core_test::exit_code_of([] {
            const auto level = confine({}, 2);
            if (!level) return 1;
            for (const auto& what : level->enforced) {
              if (what.starts_with("landlock")) return what == "landlock:2" ? 0 : 2;
            }
            return core_test::kNoFilter;
          }) == 0);
}

TEST_CASE("security: the host's memory and environment are closed to other processes of its user") {
  // As a user without root's rights, whom nothing else would keep out.
  const std::string program = gantry::folders::build() + "/gantry";
  const int code = gantry::test::exit_code(gantry::test::start_without_root([&] {
    std::string dir = "/tmp/gantry-host-XXXXXX";
    if (::mkdtemp(dir.data()) == nullptr || ::access(program.c_str(), X_OK) != 0) return gantry::test::kSkipped;
    ::setenv("GANTRY_STATE_DIR", (dir + "/state").c_str(), 1);
    ::setenv("GANTRY_CONFIG", (dir + "/gantry.toml").c_str(), 1);
    std::ofstream(dir + "/gantry.toml") << "[log]\nstderr = false\n";
    const std::string socket = dir + "/run/host.sock";
    std::array<int, 2> out{};
    if (::pipe(out.data()) != 0) return 1;
    const pid_t host = ::fork();
    if (host == 0) {
      (void)::dup2(out[1], 1);
      ::execl(program.c_str(), "gantry", "serve", "--socket", socket.c_str(), nullptr);
      ::_exit(1);
    }
    ::close(out[1]);
    char byte = 0;
    int result = ::read(out[0], &byte, 1) == 1 ? 0 : 2;  // it greets when it serves
    const std::string proc = "/proc/" + std::to_string(host);
    for (const char* file : {"/environ", "/mem", "/maps", "/auxv"}) {
      if (result == 0 && ::open((proc + file).c_str(), O_RDONLY) != -1) result = 3;
    }
    (void)::kill(host, SIGTERM);
    while (::read(out[0], &byte, 1) == 1) {
    }
    (void)::waitpid(host, nullptr, 0);
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
    return result;
  }));
  if (code == gantry::test::kSkipped) gantry::test::skip("an ordinary user cannot run the program where it was built");
  REQUIRE(code == 0);
}
