// SPDX-License-Identifier: Apache-2.0
#include "spawn.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

extern char** environ;

namespace gantry::lsp {

namespace {

struct Actions {
  posix_spawn_file_actions_t raw;
  Actions() { ::posix_spawn_file_actions_init(&raw); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&raw); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
};

struct Attributes {
  posix_spawnattr_t raw;
  Attributes() { ::posix_spawnattr_init(&raw); }
  ~Attributes() { ::posix_spawnattr_destroy(&raw); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
};

struct Pair {
  Fd ours, theirs;
};

[[nodiscard]] std::unexpected<Error> refused(const std::string& what, int why) {
  return fail(ErrorKind::unavailable, what + ": " + std::strerror(why));
}

[[nodiscard]] Result<Pair> input_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return refused("cannot make a socket", errno);
  return Pair{Fd(fds[0]), Fd(fds[1])};
}

[[nodiscard]] Result<Pair> output_pair() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return refused("cannot make a pipe", errno);
  (void)::fcntl(fds[0], F_SETFL, O_NONBLOCK);
  (void)::fcntl(fds[0], F_SETPIPE_SZ, 256 * 1024);  // as large as the system allows; 64 KiB do as well
  return Pair{Fd(fds[0]), Fd(fds[1])};
}

void set_up(Attributes& attributes) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  sigdelset(&all, SIGKILL);
  sigdelset(&all, SIGSTOP);
  ::posix_spawnattr_setsigmask(&attributes.raw, &none);
  ::posix_spawnattr_setsigdefault(&attributes.raw, &all);
  ::posix_spawnattr_setpgroup(&attributes.raw, 0);
  ::posix_spawnattr_setflags(&attributes.raw, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

}  // namespace

Result<Child> spawn_child(const std::vector<std::string>& command, const std::string& folder) {
  struct stat info{};
  if (::stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return fail(ErrorKind::unavailable, "the folder " + folder + " does not exist");
  }
  auto input = input_pair();
  auto output = output_pair();
  auto errors = output_pair();
  for (const auto* pair : {&input, &output, &errors}) {
    if (!*pair) return std::unexpected(pair->error());
  }
  Actions actions;
  ::posix_spawn_file_actions_addchdir_np(&actions.raw, folder.c_str());
  ::posix_spawn_file_actions_adddup2(&actions.raw, input->theirs.get(), 0);
  ::posix_spawn_file_actions_adddup2(&actions.raw, output->theirs.get(), 1);
  ::posix_spawn_file_actions_adddup2(&actions.raw, errors->theirs.get(), 2);
  ::posix_spawn_file_actions_addclosefrom_np(&actions.raw, 3);
  Attributes attributes;
  set_up(attributes);

  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  Child child;
  const int status = ::posix_spawnp(&child.pid, argv[0], &actions.raw, &attributes.raw, argv.data(), environ);
  if (status != 0) {
    const bool missing = status == ENOENT || status == EACCES || status == ENOTDIR;
    return fail(missing ? ErrorKind::not_found : ErrorKind::unavailable,
                command.front() + " cannot be started: " + std::strerror(status));
  }
  // glibc 2.36 declares pidfd_open for C only.
  child.pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
  if (child.pidfd.get() < 0) {
    const int why = errno;
    (void)::kill(-child.pid, SIGKILL);
    (void)::waitpid(child.pid, nullptr, 0);
    return refused("cannot watch " + command.front(), why);
  }
  child.input = std::move(input->ours);
  child.output = std::move(output->ours);
  child.errors = std::move(errors->ours);
  return child;
}

}  // namespace gantry::lsp
