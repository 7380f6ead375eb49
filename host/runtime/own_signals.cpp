// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/own_signals.hpp"

#include <signal.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace gantry::host {

namespace {

struct Kept {
  int signal;
  const char* name;
  struct sigaction action{};
};
/// As the process has one disposition of each: constant once kept.
std::array<Kept, 4> kept{Kept{SIGTERM, "SIGTERM"}, Kept{SIGINT, "SIGINT"}, Kept{SIGHUP, "SIGHUP"},
                         Kept{SIGXFSZ, "SIGXFSZ"}};
std::atomic<bool> is_kept{false};

[[nodiscard]] bool is_same(const struct sigaction& a, const struct sigaction& b) {
  return a.sa_handler == b.sa_handler && (a.sa_flags & SA_SIGINFO) == (b.sa_flags & SA_SIGINFO);
}

void note(std::string& names, const char* name) { names += std::string(names.empty() ? "" : ", ") + name; }

}  // namespace

void keep_signals() {
  for (auto& one : kept) (void)::sigaction(one.signal, nullptr, &one.action);
  is_kept = true;
}

void block_broken_pipes() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  (void)::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

std::string mend_signals() {
  std::string names;
  struct sigaction now{};
  if (::sigaction(SIGCHLD, nullptr, &now) == 0 && (now.sa_handler == SIG_IGN || (now.sa_flags & SA_NOCLDWAIT) != 0)) {
    if (now.sa_handler == SIG_IGN) now.sa_handler = SIG_DFL;
    now.sa_flags &= ~SA_NOCLDWAIT;
    if (::sigaction(SIGCHLD, &now, nullptr) == 0) note(names, "SIGCHLD");
  }
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) {
    now.sa_handler = SIG_IGN;
    if (::sigaction(SIGPIPE, &now, nullptr) == 0) note(names, "SIGPIPE");
  }
  if (!is_kept) return names;
  for (const auto& one : kept) {
    if (::sigaction(one.signal, nullptr, &now) != 0 || is_same(now, one.action)) continue;
    if (::sigaction(one.signal, &one.action, nullptr) == 0) note(names, one.name);
  }
  return names;
}

}  // namespace gantry::host
