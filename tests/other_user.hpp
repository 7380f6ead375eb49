// SPDX-License-Identifier: Apache-2.0
//
// Runs a test's code as another user, or without root's rights: in a child process, because a
// thread cannot change its user alone.
#pragma once

#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace gantry::test {

inline constexpr uid_t kNobody = 65534;
inline constexpr int kSkipped = 77;  ///< ctest reports a case that exits with this code as skipped

[[noreturn]] inline void skip(const char* why) {
  std::fprintf(stderr, "skipped: %s\n", why);
  std::_Exit(kSkipped);
}

inline bool become_nobody() {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(kNobody, kNobody, kNobody) == 0 &&
         ::setresuid(kNobody, kNobody, kNobody) == 0;
}

/// Starts `body` in a child of this process: as `nobody` if this is root, else as the same user.
/// `body` returns the child's exit code and must use nothing of Catch.
template <class F>
[[nodiscard]] pid_t start_without_root(F&& body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  if (::geteuid() == 0 && !become_nobody()) ::_exit(126);
  ::_exit(body());
}
[[nodiscard]] inline int exit_code(pid_t child) {
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace gantry::test
