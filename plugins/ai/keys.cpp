// SPDX-License-Identifier: Apache-2.0
#include "keys.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <gantry/mutex.hpp>
#include <new>
#include <thread>

namespace gantry::ai {

namespace {

std::unexpected<Error> no_key(const std::string& why) { return fail(ErrorKind::unavailable, why); }

// The first line, without the white space around it.
Result<std::string> checked(std::string text, const std::string& from) {
  text.resize(std::min(text.size(), text.find_first_of("\r\n")));
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return no_key("the key from " + from + " is empty");
  text = text.substr(first, text.find_last_not_of(" \t") - first + 1);
  if (text.size() > kMaxKey) return no_key("the key from " + from + " is longer than 16 KiB");
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7F; })) {
    return no_key("the key from " + from + " holds characters that an HTTP header cannot carry");
  }
  return text;
}

Result<void> check_file(int fd, const std::string& path) {
  struct stat info{};
  if (fd < 0 || ::fstat(fd, &info) != 0)
    return no_key("the key file " + path + " cannot be read: " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return no_key("the key file " + path + " is no regular file");
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return no_key("the key file " + path + " is open to other users; run: chmod 600 " + path);
  }
  return {};
}

Result<std::string> read_file(const std::string& path, bool contents) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (auto ok = check_file(fd, path); !ok) {
    if (fd >= 0) (void)::close(fd);
    return std::unexpected(ok.error());
  }
  std::string text(contents ? kMaxKey + 2 : 0, '\0');
  const ssize_t got = contents ? ::read(fd, text.data(), text.size()) : 0;
  const int why = errno;
  (void)::close(fd);
  if (got < 0) return no_key("the key file " + path + " cannot be read: " + std::strerror(why));
  text.resize(static_cast<std::size_t>(got));
  return text;
}

// Runs `sh -c command` in a process group of its own, with its output into `out`. 0: it did not start.
pid_t spawn(const std::string& command, int out) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  std::string shell = "sh";
  std::string flag = "-c";
  std::string line = command;
  char* const argv[] = {shell.data(), flag.data(), line.data(), nullptr};
  pid_t pid = 0;
  if (posix_spawn(&pid, "/bin/sh", &actions, &attributes, argv, environ) != 0) pid = 0;
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return pid;
}

enum class Ended { output, time, stopped };

// Reads until the end of the output, the time or the stop, whichever is first.
Ended read_output(int fd, int stop, std::string& text) {
  const auto until = std::chrono::steady_clock::now() + kCommandTime;
  while (text.size() <= kMaxKey) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Ended::time;
    pollfd fds[2] = {{fd, POLLIN, 0}, {stop, POLLIN, 0}};
    const int ready = ::poll(fds, 2, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) break;
    if (ready <= 0) continue;
    if (fds[1].revents != 0) return Ended::stopped;
    char buffer[4096];
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return Ended::output;
}

// Waits a moment for a command that has closed its output, when `stop` is given; then ends its group. Its wait status.
int reap(pid_t pid, int stop) {
  if (const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); fd >= 0 && stop >= 0) {
    pollfd fds[2] = {{fd, POLLIN, 0}, {stop, POLLIN, 0}};
    (void)::poll(fds, 2, 1000);
    (void)::close(fd);
  } else if (fd >= 0) {
    (void)::close(fd);
  }
  siginfo_t exited{};
  const bool over =
      ::waitid(P_PID, static_cast<id_t>(pid), &exited, WEXITED | WNOHANG | WNOWAIT) == 0 && exited.si_pid != 0;
  if (!over) (void)::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

Result<std::string> run_command(const std::string& command, int stop) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0)
    return no_key("api_key_command cannot be run: " + std::string(std::strerror(errno)));
  const pid_t pid = spawn(command, pipe[1]);
  (void)::close(pipe[1]);
  std::string text;
  const Ended ended = pid == 0 ? Ended::output : read_output(pipe[0], stop, text);
  (void)::close(pipe[0]);
  if (pid == 0) return no_key("api_key_command cannot be run: there is no /bin/sh to start");
  const int status = reap(pid, ended == Ended::output ? stop : -1);
  if (ended == Ended::time) return no_key("api_key_command gave no key within 10 s and was ended");
  if (ended == Ended::stopped) return no_key("api_key_command was ended: the host is stopping");
  if (!WIFEXITED(status)) return no_key("api_key_command was ended by a signal");
  if (WEXITSTATUS(status) != 0) {
    return no_key("api_key_command failed with exit status " + std::to_string(WEXITSTATUS(status)));
  }
  return checked(std::move(text), "api_key_command");
}

}  // namespace

Result<void> key_available(const KeySource& source) {
  if (source.kind == KeySource::Kind::environment && std::getenv(source.value.c_str()) == nullptr) {
    return no_key("the environment variable " + source.value + ", which should hold the key, is not set");
  }
  if (source.kind == KeySource::Kind::file) {
    if (auto file = read_file(source.value, false); !file) return std::unexpected(file.error());
  }
  return {};
}

struct KeyRing::Command {
  Command() : stop(::eventfd(0, EFD_CLOEXEC)) {}
  ~Command() {
    const std::uint64_t one = 1;
    (void)!::write(stop, &one, sizeof one);
    if (thread.joinable()) thread.join();
    (void)::close(stop);
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  int stop;
  Mutex mutex;
  std::optional<Result<std::string>> key GANTRY_GUARDED_BY(mutex);
  std::thread thread;
};

KeyRing::KeyRing(std::function<void()> wake) : wake_(std::move(wake)) {}
KeyRing::~KeyRing() = default;

std::optional<Result<std::string>> KeyRing::get(const KeySource& source) {
  switch (source.kind) {
    case KeySource::Kind::none:
      return Result<std::string>(std::string());
    case KeySource::Kind::environment: {
      if (auto ok = key_available(source); !ok) return Result<std::string>(std::unexpected(ok.error()));
      return checked(std::getenv(source.value.c_str()), "the environment variable " + source.value);
    }
    case KeySource::Kind::file: {
      auto text = read_file(source.value, true);
      return text ? checked(std::move(*text), "the file " + source.value) : std::move(text);
    }
    case KeySource::Kind::command:
      break;
  }
  auto& command = commands_[source.value];
  if (!command) {
    command = std::make_unique<Command>();
    command->thread = std::thread([line = source.value, &answer = *command, wake = wake_] {
      Result<std::string> key = no_key("api_key_command cannot be run: out of memory");
      try {
        key = run_command(line, answer.stop);
      } catch (const std::bad_alloc&) {
        // Told as it is.
      }
      {
        Lock lock(answer.mutex);
        answer.key.emplace(std::move(key));
      }
      wake();
    });
    return std::nullopt;
  }
  std::optional<Result<std::string>> key;
  {
    Lock lock(command->mutex);
    key = command->key;
  }
  // A failure is told once; the next request runs the command again.
  if (key && !*key) commands_.erase(source.value);
  return key;
}

void KeyRing::forget(const KeySource& source) {
  if (source.kind == KeySource::Kind::command) commands_.erase(source.value);
}

}  // namespace gantry::ai
