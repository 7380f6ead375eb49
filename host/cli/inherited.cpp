// SPDX-License-Identifier: Apache-2.0
#include "host/cli/inherited.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace gantry::host {

void open_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) == 0 || errno != EBADF) continue;
    if (::open("/dev/null", O_RDONLY) != fd) return;  // the lowest that is free: this one
  }
}

void keep_own_access() {
  constexpr mode_t kOfOthers = 0077;
  (void)::umask(::umask(0) & kOfOthers);
}

void drop_inherited() {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action{};
    // What a parent can hand down is that a signal is ignored (execve(2)); handlers are this process's own.
    if (number == SIGPIPE || ::sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_IGN) continue;
    (void)std::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
  constexpr itimerval kOff{};
  (void)::setitimer(ITIMER_REAL, &kOff, nullptr);
  // Of a shell, for what it runs itself. The hard limits stay.
  for (const auto what : {RLIMIT_CPU, RLIMIT_AS, RLIMIT_FSIZE}) {
    rlimit limit{};
    if (::getrlimit(what, &limit) != 0) continue;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(what, &limit);
  }
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) continue;
    const int null = ::open("/dev/null", O_RDWR);
    if (null < 0) continue;
    (void)::dup2(null, fd);
    if (null != fd) (void)::close(null);
  }
}

}  // namespace gantry::host
