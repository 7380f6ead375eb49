// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/spawner.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "host/runtime/own_signals.hpp"

namespace gantry::host {

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
  Attributes() {
    ::posix_spawnattr_init(&raw);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&raw, &none);
    ::posix_spawnattr_setsigdefault(&raw, &all);
    ::posix_spawnattr_setpgroup(&raw, 0);
    ::posix_spawnattr_setflags(&raw, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~Attributes() { ::posix_spawnattr_destroy(&raw); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
};

/// Copies of descriptors that lie where others are to be placed.
struct Copies {
  std::vector<int> fds;
  Copies() = default;
  ~Copies() {
    for (const int fd : fds) ::close(fd);
  }
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;
};

[[nodiscard]] std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const auto& word : words) out.push_back(const_cast<char*>(word.c_str()));  // posix_spawn changes none
  out.push_back(nullptr);
  return out;
}

[[nodiscard]] ErrorKind kind_of(int error) {
  if (error == ENOENT || error == ENOTDIR) return ErrorKind::not_found;
  if (error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE) return ErrorKind::overloaded;
  return ErrorKind::unavailable;
}

[[nodiscard]] std::unexpected<Error> refused(const std::string& what, int error) {
  return fail(kind_of(error), what + ": " + std::strerror(error));
}

[[nodiscard]] Result<void> place(Actions& actions, Copies& copies, const std::vector<int>& descriptors) {
  const int count = static_cast<int>(descriptors.size());
  for (int at = 0; at < count; ++at) {
    int from = descriptors[static_cast<std::size_t>(at)];
    if (from < 0) {
      ::posix_spawn_file_actions_addopen(&actions.raw, at, "/dev/null", O_RDWR, 0);
      continue;
    }
    if (from < count) {
      from = ::fcntl(from, F_DUPFD_CLOEXEC, count);
      if (from < 0) return refused("a descriptor cannot be copied", errno);
      copies.fds.push_back(from);
    }
    ::posix_spawn_file_actions_adddup2(&actions.raw, from, at);
  }
  ::posix_spawn_file_actions_addclosefrom_np(&actions.raw, count);
  return {};
}

[[nodiscard]] Result<Spawned> start(const SpawnRequest& request) {
  (void)mend_signals();  // how it ends must come to light
  Actions actions;
  Copies copies;
  const Attributes attributes;
  if (request.folder) {
    // As an action of its own it would fail like a program that is missing.
    std::error_code failed;
    if (!std::filesystem::is_directory(*request.folder, failed))
      return fail(ErrorKind::not_found, "there is no folder " + request.folder->string());
    ::posix_spawn_file_actions_addchdir_np(&actions.raw, request.folder->c_str());
  }
  if (auto placed = place(actions, copies, request.descriptors); !placed) return std::unexpected(placed.error());
  const auto argv = pointers(request.argv);
  const auto environment = pointers(request.environment);
  Spawned out;
  const int failed =
      ::posix_spawnp(&out.pid, request.program.c_str(), &actions.raw, &attributes.raw, argv.data(), environment.data());
  if (failed != 0) return refused(request.program.string() + " cannot be started", failed);
  // glibc 2.36 declares pidfd_open for C only. It closes on exec by itself.
  out.pidfd = static_cast<int>(::syscall(SYS_pidfd_open, out.pid, 0));
  if (out.pidfd < 0) {
    const int why = errno;
    (void)::kill(-out.pid, SIGKILL);
    (void)::waitpid(out.pid, nullptr, 0);
    return refused("the process of " + request.program.string() + " cannot be watched", why);
  }
  return out;
}

}  // namespace

std::string what_became_of(int pidfd) {
  siginfo_t info{};
  if (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED) != 0) return "unknown";
  if (info.si_code == CLD_EXITED) return "exit code " + std::to_string(info.si_status);
  return "signal " + std::to_string(info.si_status) + " (" + ::strsignal(info.si_status) + ")";
}

Spawner::~Spawner() {
  {
    const auto last = std::move(jobs_.tx);
  }
  const Lock lock(mutex_);
  if (thread_.joinable()) thread_.join();
}

Result<Spawned> Spawner::spawn(const SpawnRequest& request) {
  {
    const Lock lock(mutex_);
    if (!thread_.joinable()) {
      try {
        thread_ = std::thread([this] {
          while (auto job = jobs_.rx.recv()) (void)job->reply.send(start(*job->request));
        });
      } catch (const std::system_error& e) {
        return fail(ErrorKind::overloaded, std::string("the system gives no thread to start a process: ") + e.what());
      }
    }
  }
  auto [reply, answer] = oneshot::channel<Result<Spawned>>();
  if (auto sent = jobs_.tx.send(Job{&request, std::move(reply)}); !sent) return std::unexpected(sent.error());
  auto spawned = answer.recv();
  return spawned ? std::move(*spawned) : fail(ErrorKind::unavailable, "the spawner has ended");
}

}  // namespace gantry::host
