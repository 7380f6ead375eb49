// SPDX-License-Identifier: Apache-2.0
//
// The system calls that a plugin's process has no use for. They fail, so that a plugin hears of it; it is not ended.
#include <asm/sockios.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <memory>

#include "host/sandbox/confine.hpp"

namespace gantry::host {

namespace {

// Younger than libseccomp's headers; their numbers are the same on every machine.
constexpr int kProcessMrelease = 448;
constexpr int kFchmodat2 = 452;
constexpr int kSetxattrat = 463;
constexpr int kRemovexattrat = 466;
constexpr int kOpenTreeAttr = 467;
constexpr int kFileSetattr = 469;
constexpr int kPrSchedCore = 62;

/// Arguments are 64 bits wide, and the kernel looks at the lower half of an int only. So what is refused by value is
/// compared under a mask, and what is let through is compared whole.
[[nodiscard]] scmp_arg_cmp has(unsigned argument, scmp_datum_t value, scmp_datum_t mask = 0xFFFFFFFF) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}
[[nodiscard]] scmp_arg_cmp is(unsigned argument, scmp_compare how, scmp_datum_t value) {
  return {argument, how, value, 0};
}

class Filter {
 public:
  Filter() : filter_(::seccomp_init(SCMP_ACT_ALLOW), &::seccomp_release) {
    if (!filter_) {
      error_ = ENOMEM;
      return;
    }
    note(::seccomp_attr_set(filter_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)));
    note(::seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));
  }
  void refuse(std::initializer_list<int> calls, int error = EPERM) {
    for (const int call : calls) refuse_if(call, {}, error);
  }
  void refuse_if(int call, std::initializer_list<scmp_arg_cmp> when, int error = EPERM) {
    if (error_ != 0) return;
    note(::seccomp_rule_add_array(filter_.get(), SCMP_ACT_ERRNO(static_cast<std::uint32_t>(error)), call,
                                  static_cast<unsigned>(when.size()), when.begin()));
  }
  [[nodiscard]] int load() {
    if (error_ == 0) note(::seccomp_load(filter_.get()));
    return error_;
  }

 private:
  void note(int result) {
    if (error_ == 0) error_ = -result;
  }
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter_;
  int error_ = 0;
};

// None of it has a place in a service of an IDE.
void refuse_always(Filter& f) {
  // to look into other processes and to take what they have
  f.refuse({SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise),
            SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp), SCMP_SYS(perf_event_open), kProcessMrelease});
  f.refuse_if(SCMP_SYS(prctl), {has(0, kPrSchedCore)});
  // to speak with any other process of the user's, past Landlock
  f.refuse({SCMP_SYS(shmget), SCMP_SYS(shmat), SCMP_SYS(shmdt), SCMP_SYS(shmctl), SCMP_SYS(msgget), SCMP_SYS(msgsnd),
            SCMP_SYS(msgrcv), SCMP_SYS(msgctl), SCMP_SYS(semget), SCMP_SYS(semop), SCMP_SYS(semtimedop),
            SCMP_SYS(semctl), SCMP_SYS(mq_open), SCMP_SYS(mq_unlink)});
  // to change what a file is like by its path, which Landlock does not look at
  f.refuse({kSetxattrat, kRemovexattrat, kFileSetattr});
  // to rearrange the file system, or to see another one
  f.refuse({SCMP_SYS(mount),         SCMP_SYS(umount2),       SCMP_SYS(pivot_root),
            SCMP_SYS(chroot),        SCMP_SYS(move_mount),    SCMP_SYS(open_tree),
            SCMP_SYS(fsopen),        SCMP_SYS(fsconfig),      SCMP_SYS(fsmount),
            SCMP_SYS(fspick),        SCMP_SYS(mount_setattr), kOpenTreeAttr,
            SCMP_SYS(unshare),       SCMP_SYS(setns),         SCMP_SYS(open_by_handle_at),
            SCMP_SYS(fanotify_init), SCMP_SYS(quotactl),      SCMP_SYS(quotactl_fd),
            SCMP_SYS(swapon),        SCMP_SYS(swapoff),       SCMP_SYS(acct)});
  // parts of the kernel that its exploits have come through; io_uring passes by this filter as well
  f.refuse({SCMP_SYS(bpf), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
            SCMP_SYS(io_uring_register), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key)});
  // the machine's own affairs
  f.refuse({SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
            SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(syslog), SCMP_SYS(settimeofday),
            SCMP_SYS(clock_settime), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime), SCMP_SYS(sethostname),
            SCMP_SYS(setdomainname), SCMP_SYS(iopl), SCMP_SYS(ioperm)});
  // to type into the terminal that the host was started from
  f.refuse_if(SCMP_SYS(ioctl), {has(1, TIOCSTI)});
  f.refuse_if(SCMP_SYS(ioctl), {has(1, TIOCLINUX)});
}

// A socket of AF_UNIX is never granted: one that is connected to the host's socket would be a client with all its
// rights.
void refuse_sockets(Filter& f, bool network) {
  f.refuse_if(SCMP_SYS(socketpair), {is(0, SCMP_CMP_NE, AF_UNIX)}, EACCES);
  // These could still send to whom they like.
  f.refuse_if(SCMP_SYS(socketpair), {has(1, SOCK_DGRAM, 0xF)}, EACCES);
  f.refuse_if(SCMP_SYS(socketpair), {has(1, SOCK_RAW, 0xF)}, EACCES);
  if (!network) {
    f.refuse({SCMP_SYS(socket)}, EACCES);
    return;
  }
  for (int domain = 0; domain <= AF_NETLINK; ++domain) {
    if (domain == AF_INET || domain == AF_INET6 || domain == AF_NETLINK) continue;
    f.refuse_if(SCMP_SYS(socket), {is(0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(domain))}, EACCES);
  }
  f.refuse_if(SCMP_SYS(socket), {is(0, SCMP_CMP_GT, AF_NETLINK)}, EACCES);
  // The resolver asks the kernel for the machine's addresses, by protocol 0, and for nothing else.
  f.refuse_if(SCMP_SYS(socket), {is(0, SCMP_CMP_EQ, AF_NETLINK), is(2, SCMP_CMP_NE, 0)}, EACCES);
}

void refuse_processes(Filter& f, bool processes) {
  // Its flags lie in memory, where no filter looks. The C library does without it.
  f.refuse({SCMP_SYS(clone3)}, ENOSYS);
  if (processes) {
    for (const scmp_datum_t space :
         {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET})
      f.refuse_if(SCMP_SYS(clone), {has(0, space, space)});
    return;  // it may signal what it starts, whose numbers nobody knows yet; Landlock 6 keeps it from the others
  }
  f.refuse({SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(execve), SCMP_SYS(execveat)});
  f.refuse_if(SCMP_SYS(clone), {has(0, 0, CLONE_THREAD)});
  const auto own = static_cast<scmp_datum_t>(::getpid());
  for (const int call : {SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo)})
    f.refuse_if(call, {is(0, SCMP_CMP_NE, own)});
  f.refuse({SCMP_SYS(tkill), SCMP_SYS(pidfd_send_signal)});
  // It dies with the host.
  f.refuse_if(SCMP_SYS(prctl), {has(0, PR_SET_PDEATHSIG)});
  // Landlock does not look at what changes a file's mode, owner, times or attributes by its path. By a descriptor, of
  // what it could open, it may. Programs that it starts may need these.
  f.refuse({SCMP_SYS(chmod), SCMP_SYS(fchmodat), kFchmodat2, SCMP_SYS(chown), SCMP_SYS(lchown), SCMP_SYS(fchownat),
            SCMP_SYS(setxattr), SCMP_SYS(lsetxattr), SCMP_SYS(removexattr), SCMP_SYS(lremovexattr), SCMP_SYS(utime),
            SCMP_SYS(utimes), SCMP_SYS(futimesat)});
  f.refuse_if(SCMP_SYS(utimensat), {is(1, SCMP_CMP_NE, 0)});
}

// What later versions of Landlock hold, and this kernel's does not.
void refuse_what_landlock_lacks(Filter& f, int landlock) {
  if (landlock < 6) {  // a signal of one's choice to a process of one's choice, when a descriptor is ready
    for (const scmp_datum_t command : {F_SETOWN, F_SETOWN_EX, F_SETSIG})
      f.refuse_if(SCMP_SYS(fcntl), {has(1, command)});
    for (const scmp_datum_t request : {FIOSETOWN, SIOCSPGRP}) f.refuse_if(SCMP_SYS(ioctl), {has(1, request)});
  }
  if (landlock >= 3) return;
  // to empty a file that one may not write. An access mode of 3 asks for nothing, and truncates all the same.
  f.refuse({SCMP_SYS(truncate)}, EACCES);
  constexpr scmp_datum_t kLooked = O_TRUNC | O_ACCMODE;
  for (const scmp_datum_t mode : {O_RDONLY, O_ACCMODE}) {
    f.refuse_if(SCMP_SYS(open), {has(1, O_TRUNC | mode, kLooked)}, EACCES);
    f.refuse_if(SCMP_SYS(openat), {has(2, O_TRUNC | mode, kLooked)}, EACCES);
  }
  f.refuse({SCMP_SYS(openat2)}, ENOSYS);  // its flags lie in memory, where no filter looks
}

}  // namespace

Result<bool> restrict_calls(const Confinement& confinement, int landlock) {
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) return false;
  Filter filter;
  refuse_always(filter);
  refuse_sockets(filter, confinement.network);
  refuse_processes(filter, confinement.processes);
  refuse_what_landlock_lacks(filter, landlock);
  if (auto ok = restrict_calls_on_others(); !ok) return std::unexpected(ok.error());
  if (const int failed = filter.load(); failed != 0) return not_confined("seccomp", failed);
  return true;
}

}  // namespace gantry::host
