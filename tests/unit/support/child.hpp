// SPDX-License-Identifier: Apache-2.0
//
// Runs code in a child process, to test how it ends or how it handles refused system calls.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string>

#include "tests/other_user.hpp"

namespace core_test {

/// The child's output on stderr before SIGABRT ended it; empty when it ended otherwise.
inline std::string abort_message(void (*body)()) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 2);
    std::signal(SIGABRT, SIG_DFL);
    body();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? said : "";
}

/// From here on the system refuses two system calls to this process. False: this system has no such
/// filters.
inline bool refuse(long one, long other, unsigned error) {
  const auto when = [](long call) {
    return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1);
  };
  const sock_filter fails BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
  std::array<sock_filter, 6> program{sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                     when(one),
                                     fails,
                                     when(other),
                                     fails,
                                     sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog filter{program.size(), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0;
}

/// The exit code of a child's body when refuse() did not work.
inline constexpr int kNoFilter = gantry::test::kSkipped;

/// The exit code of a child that runs `body`, which must use nothing of Catch. The test is skipped
/// if that is kNoFilter.
template <class F>
int exit_code_of(F&& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  const int code = gantry::test::exit_code(child);
  if (code == kNoFilter) gantry::test::skip("this system filters no system calls");
  return code;
}

}  // namespace core_test
