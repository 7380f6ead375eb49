// SPDX-License-Identifier: Apache-2.0
//
// A process may change limits, scheduling and priority of every process of its user, by the other's number; with
// RLIMIT_CPU the kernel then kills whom it names. Landlock does not look at that. This filter lets through the number
// 0, which is the caller, and this process's own. A library compares an argument with one value a rule, so it is
// written out here.
//
// glibc names a thread by its own number: pthread_setschedparam and pthread_setaffinity_np are refused for every thread
// but the first. Processes that this one starts have numbers of their own, and may name themselves by 0 only.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <vector>

#include "host/sandbox/confine.hpp"

namespace gantry::host {

namespace {

constexpr unsigned kIoprioWhoProcess = 1;  // of linux/ioprio.h, which newer kernels have in C alone

static_assert(std::endian::native == std::endian::little);

struct Named {
  long call;
  unsigned argument;              ///< that names a process
  std::optional<unsigned> which;  ///< of argument 0: what is named is a process, not a group or a user
};
constexpr std::array kNamed{Named{SYS_prlimit64, 0, {}},
                            Named{SYS_sched_setaffinity, 0, {}},
                            Named{SYS_sched_setattr, 0, {}},
                            Named{SYS_sched_setparam, 0, {}},
                            Named{SYS_sched_setscheduler, 0, {}},
                            Named{SYS_migrate_pages, 0, {}},
                            Named{SYS_move_pages, 0, {}},
                            Named{SYS_setpriority, 1, PRIO_PROCESS},
                            Named{SYS_ioprio_set, 1, kIoprioWhoProcess}};

[[nodiscard]] sock_filter load(std::size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(offset));
}
/// The kernel looks at the lower half of a number alone.
[[nodiscard]] sock_filter load_argument(unsigned argument) {
  return load(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t));
}
[[nodiscard]] sock_filter skip_if(unsigned value, unsigned char when_equal, unsigned char when_not) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, when_equal, when_not);
}
[[nodiscard]] sock_filter answer(unsigned what) { return BPF_STMT(BPF_RET | BPF_K, what); }

[[nodiscard]] std::vector<sock_filter> program(unsigned own) {
  // Another machine's calls are the other filter's to refuse.
  std::vector<sock_filter> out{load(offsetof(seccomp_data, arch)), skip_if(seccomp_arch_native(), 1, 0),
                               answer(SECCOMP_RET_ALLOW), load(offsetof(seccomp_data, nr))};
  for (const auto& named : kNamed) {
    std::vector<sock_filter> body;
    if (named.which) {
      body.push_back(load_argument(0));
      body.push_back(skip_if(*named.which, 0, 3));
    }
    body.push_back(load_argument(named.argument));
    body.push_back(skip_if(0, 2, 0));
    body.push_back(skip_if(own, 1, 0));
    body.push_back(answer(SECCOMP_RET_ERRNO | EPERM));
    body.push_back(answer(SECCOMP_RET_ALLOW));
    out.push_back(skip_if(static_cast<unsigned>(named.call), 0, static_cast<unsigned char>(body.size())));
    out.insert(out.end(), body.begin(), body.end());
  }
  out.push_back(answer(SECCOMP_RET_ALLOW));
  return out;
}

}  // namespace

Result<void> restrict_calls_on_others() {
  auto code = program(static_cast<unsigned>(::getpid()));
  const sock_fprog filter{static_cast<unsigned short>(code.size()), code.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) return not_confined("seccomp", errno);
  return {};
}

}  // namespace gantry::host
