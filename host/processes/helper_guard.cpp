// SPDX-License-Identifier: Apache-2.0
#include "host/processes/helper_guard.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <gantry/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "host/sandbox/confine.hpp"

namespace gantry::host {

namespace {

constexpr int kSocket = 3;
constexpr int kFailed = 127;

/// Lines from the host.
class Lines {
 public:
  /// The next one; blocks only if `wait`. Empty: none yet, or closed().
  [[nodiscard]] std::optional<std::string> next(bool wait) {
    while (true) {
      if (const auto end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      std::array<char, 4096> chunk;
      const ssize_t got = ::recv(kSocket, chunk.data(), chunk.size(), wait ? 0 : MSG_DONTWAIT);
      if (got > 0) {
        buffer_.append(chunk.data(), static_cast<std::size_t>(got));
      } else if (got < 0 && errno == EINTR) {
        continue;
      } else {
        closed_ = got == 0 || errno != EAGAIN;
        return std::nullopt;
      }
    }
  }
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  std::string buffer_;
  bool closed_ = false;
};

void say(const json& what) {
  const std::string line = dump_json(what) + "\n";
  std::string_view left = line;
  while (!left.empty()) {
    const ssize_t sent = ::send(kSocket, left.data(), left.size(), MSG_NOSIGNAL);
    if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EINTR) return;
  }
}

[[nodiscard]] json error_json(const Error& error) {
  return {{"error", error.message}, {"kind", static_cast<int>(error.kind)}};
}

// A program without a slash is looked for on the PATH that it is given: not the one of the shell where the editor runs.
[[nodiscard]] std::string where_searched(const std::string& program) {
  constexpr std::size_t kMost = 1000;
  if (program.find('/') != std::string::npos) return {};
  const char* const path = std::getenv("PATH");
  if (path == nullptr) return "; the host has no PATH, so the system's folders were searched";
  std::string shown(path);
  if (shown.size() > kMost) shown = shown.substr(0, kMost) + "...";
  return "; the host's PATH was searched, not the editor's or the shell's of now: " + shown;
}

[[nodiscard]] Error cannot_run(const std::string& program, int error) {
  const ErrorKind kind = error == ENOENT || error == ENOTDIR ? ErrorKind::not_found
                         : error == EACCES                   ? ErrorKind::permission_denied
                                                             : ErrorKind::unavailable;
  std::string message = program + " cannot be started: " + std::strerror(error);
  if (kind == ErrorKind::not_found) message += where_searched(program);
  if (error == EACCES) message += "; it, or what it needs, may lie outside of what the plugin was granted (read:PATH)";
  return Error{kind, std::move(message), {}};
}

[[nodiscard]] Result<std::vector<std::string>> confine_helper(const json& request) {
  auto granted = confinement_of(request.at("granted"));
  if (!granted) return std::unexpected(granted.error());
  auto asked = confinement_of(request.at("asked"));
  if (!asked) return std::unexpected(asked.error());
  auto confined = confine(*granted);
  if (!confined) return std::unexpected(confined.error());
  // Landlock's layers add up: open is what lies in both, wherever links lead.
  if (auto more = restrict_paths(*asked, confined->notes); !more) return std::unexpected(more.error());
  return std::move(confined->notes);
}

/// In the helper's process, on its way to be the program: says on `report` why it cannot.
[[noreturn]] void become(const json& request, pid_t guard, int report) {
  const auto stop = [&](const Error& error) {
    const std::string line = dump_json(error_json(error));
    (void)!::write(report, line.data(), line.size());
    ::_exit(kFailed);
  };
  (void)::setsid();
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != guard) ::_exit(kFailed);
  const std::string folder = request.at("cwd");
  if (!folder.empty() && ::chdir(folder.c_str()) != 0)
    stop(Error{ErrorKind::invalid_params, "cwd: " + folder + ": " + std::strerror(errno), {}});
  auto notes = confine_helper(request);
  if (!notes) stop(notes.error());
  for (const auto& note : *notes) {
    const std::string line = dump_json({{"note", note}}) + "\n";
    (void)!::write(report, line.data(), line.size());
  }
  std::vector<std::string> argv = request.at("argv");
  std::vector<std::string> environment = request.at("environment");
  std::vector<char*> words;
  std::vector<char*> variables;
  for (auto& word : argv) words.push_back(word.data());
  for (auto& variable : environment) variables.push_back(variable.data());
  words.push_back(nullptr);
  variables.push_back(nullptr);
  environ = variables.data();
  for (int number = 1; number < NSIG; ++number) (void)std::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
  (void)::execvp(words[0], words.data());
  stop(cannot_run(argv.front(), errno));
  std::abort();
}

/// Starts it and tells the host. Empty: it did not start, and the host knows. `null`: /dev/null.
[[nodiscard]] std::optional<pid_t> start(const json& request, int null) {
  std::array<int, 2> report{-1, -1};
  const pid_t guard = ::getpid();
  const pid_t pid = ::pipe2(report.data(), O_CLOEXEC) == 0 ? ::fork() : -1;
  if (pid < 0) {
    say(error_json(
        Error{ErrorKind::overloaded, std::string("the system starts no process: ") + std::strerror(errno), {}}));
    return std::nullopt;
  }
  if (pid == 0) {
    ::close(report[0]);
    ::close(kSocket);
    become(request, guard, report[1]);
  }
  ::close(report[1]);
  // Who waits for the end of the helper's output must not wait for this process.
  for (int fd = 0; fd < kSocket; ++fd) (void)::dup2(null, fd);
  std::string said;
  std::array<char, 1024> chunk;
  while (true) {
    const ssize_t got = ::read(report[0], chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    said.append(chunk.data(), static_cast<std::size_t>(got));
  }
  ::close(report[0]);
  json notes = json::array();
  for (std::size_t at = 0; at < said.size();) {
    const auto end = std::min(said.find('\n', at), said.size());
    auto line = parse_json(std::string_view(said).substr(at, end - at));
    at = end + 1;
    if (!line) continue;
    if (line->contains("error")) {
      say(*line);
      (void)::waitpid(pid, nullptr, 0);
      return std::nullopt;
    }
    notes.push_back(line->at("note"));
  }
  say({{"pid", pid}, {"notes", std::move(notes)}});
  return pid;
}

[[nodiscard]] int open_children() {
  const std::string file = "/proc/self/task/" + std::to_string(::getpid()) + "/children";
  return ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
}

/// `list`: as open_children() has opened it.
void kill_children(int list) {
  std::string text;
  std::array<char, 4096> chunk;
  (void)::lseek(list, 0, SEEK_SET);
  for (ssize_t got = 0; (got = ::read(list, chunk.data(), chunk.size())) > 0;)
    text.append(chunk.data(), static_cast<std::size_t>(got));
  const char* at = text.c_str();
  for (char* end = nullptr;; at = end) {
    const long pid = std::strtol(at, &end, 10);
    if (end == at) return;
    (void)::kill(static_cast<pid_t>(pid), SIGKILL);
  }
}

/// Reaps who has ended. False: nobody is left to wait for.
[[nodiscard]] bool reap(pid_t helper, std::optional<json>& became) {
  while (true) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0) return errno != ECHILD;
    if (info.si_pid == 0) return true;
    if (info.si_pid != helper) continue;
    became = json{{info.si_code == CLD_EXITED ? "exit_code" : "signal", info.si_status}};
  }
}

/// Until nobody is left: each that ends leaves its own children to this process.
void kill_all(int list, int ended, pid_t helper, std::optional<json>& became) {
  constexpr int kLookAgainMs = 100;  // the list of children may miss one while another ends
  do {
    kill_children(list);
    pollfd someone{ended, POLLIN, 0};
    (void)::poll(&someone, 1, kLookAgainMs);
    signalfd_siginfo ignored;
    while (::read(ended, &ignored, sizeof ignored) > 0) {
    }
  } while (reap(helper, became));
}

}  // namespace

int helper_guard() {
  // Nobody ends it by a signal to the terminal's group, say; it ends by itself when its work is done.
  sigset_t all;
  sigfillset(&all);
  (void)::sigprocmask(SIG_SETMASK, &all, nullptr);
  (void)std::signal(SIGPIPE, SIG_DFL);
  (void)::fcntl(kSocket, F_SETFD, FD_CLOEXEC);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return 1;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  const int ended = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  // All that is opened is opened before there is a helper, which could use up what the system gives.
  const int children = open_children();
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  Lines lines;
  std::optional<pid_t> helper;
  {
    const auto line = lines.next(true);
    const auto request = line ? parse_json(*line) : fail(ErrorKind::unavailable, "the host is gone");
    if (!request) return 1;
    if (children < 0 || ended < 0 || null < 0) {
      say(error_json(Error{ErrorKind::unavailable,
                           "this kernel does not say what a helper leaves behind (/proc/PID/task/PID/children)",
                           {}}));
      return 1;
    }
    helper = start(*request, null);
  }
  if (!helper) return 1;
  (void)::malloc_trim(0);
  std::optional<json> became;
  while (true) {
    std::array<pollfd, 2> fds{{{kSocket, POLLIN, 0}, {ended, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) break;
    signalfd_siginfo ignored;
    while (::read(ended, &ignored, sizeof ignored) > 0) {
    }
    (void)reap(*helper, became);
    if (became) break;
    while (const auto line = lines.next(false)) {
      const auto request = parse_json(*line);
      if (request && request->contains("signal")) (void)::kill(-*helper, request->at("signal").get<int>());
    }
    if (lines.closed()) break;
  }
  kill_all(children, ended, *helper, became);
  if (became) say(*became);
  return 0;
}

}  // namespace gantry::host
