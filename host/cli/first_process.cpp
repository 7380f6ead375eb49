// SPDX-License-Identifier: Apache-2.0
//
// The kernel gives every orphan of a pid namespace to its first process, which must wait for it. The host waits for its
// own processes only, each by its pidfd, and cannot wait for just any without taking the ends of those away from
// whoever waits for them.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "host/cli/inherited.hpp"

namespace gantry::host {

namespace {

// Waits for every child that has ended; ends when `second` has.
void reap(pid_t second) {
  int status = 0;
  for (pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (ended != second) continue;
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
}

[[noreturn]] void be_first(const sigset_t& all, pid_t second) {
  for (;;) {
    siginfo_t info{};
    const int number = ::sigwaitinfo(&all, &info);
    if (number == SIGCHLD) reap(second);
    // What a terminal sends (SI_KERNEL), it sends to both.
    if (number > 0 && number != SIGCHLD && info.si_code != SI_KERNEL) (void)::kill(second, number);
  }
}

}  // namespace

void continue_behind_first_process() {
  if (::getpid() != 1) return;
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  (void)::sigprocmask(SIG_BLOCK, &all, &before);
  const pid_t second = ::fork();
  if (second > 0) be_first(all, second);
  (void)::sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace gantry::host
