// SPDX-License-Identifier: Apache-2.0
//
// A mark is `PID 0 STARTS BORN` while a plugin starts. When a fatal signal in it has ended the process the mark is
// `PID SIGNAL 1 BORN` if that was in its start, else `PID SIGNAL 0 BORN`. BORN is when the process was started, in the
// kernel's ticks since the machine's start: the number alone may be another process's by now, or, in a container, be
// the same for each host.
#include "host/plugins/crash_mark.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

#include "host/runtime/process_stat.hpp"

namespace gantry::host {

namespace {

constexpr std::array kFatal{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
/// What was done about them before.
std::array<struct sigaction, kFatal.size()> before{};

// Everything here may be called in a signal handler.
[[nodiscard]] std::size_t append(char* out, std::size_t at, std::uint64_t number) noexcept {
  std::array<char, 20> digits{};
  std::size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count != 0) out[at++] = digits[--count];
  return at;
}

/// When this process was started, once somebody has asked: reading it is nothing for a signal handler.
std::atomic<std::uint64_t> born{0};

void write_mark(const char* file, int signal, int starts) noexcept {
  const int fd = ::open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  std::array<char, 80> text{};
  auto size = append(text.data(), 0, static_cast<unsigned>(::getpid()));
  text[size++] = ' ';
  size = append(text.data(), size, static_cast<unsigned>(signal));
  text[size++] = ' ';
  size = append(text.data(), size, static_cast<unsigned>(starts));
  text[size++] = ' ';
  size = append(text.data(), size, born.load(std::memory_order_relaxed));
  text[size++] = '\n';
  (void)!::write(fd, text.data(), size);
  (void)::close(fd);
}

/// What the processor has found in this thread, or the process has sent itself (abort()); not what another has sent.
[[nodiscard]] bool arose_here(const siginfo_t* info) noexcept {
  return info == nullptr || info->si_code > 0 || info->si_pid == ::getpid();
}

void on_fatal_signal(int signal, siginfo_t* info, void*) noexcept {
  const auto inside = DeliveryMark::current();
  if (inside.file != nullptr && arose_here(info)) write_mark(inside.file, signal, inside.start ? 1 : 0);
  (void)::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);  // a core file is evidence
  for (std::size_t i = 0; i < kFatal.size(); ++i) {
    if (kFatal[i] == signal) (void)::sigaction(signal, &before[i], nullptr);
  }
  // What the processor has found, it finds again when this returns; what was sent is sent again.
  if (info == nullptr || info->si_code <= 0) (void)::raise(signal);
}

/// Is the process that has left the mark still there? One that has ended and that nobody has waited for is not.
[[nodiscard]] bool runs(pid_t pid, std::uint64_t since) {
  if (::kill(pid, 0) != 0 && errno != EPERM) return false;
  const auto stat = process_stat(pid);
  if (!stat) return true;
  if (stat->state == 'Z' || stat->state == 'X') return false;
  if (since != 0) return stat->born == since;
  return pid != ::getpid() && stat->name == "gantry";  // of a host that did not write when it was started
}

void learn_own_birth() {
  if (born != 0) return;
  if (const auto own = process_stat(::getpid())) born = own->born;
}

}  // namespace

StartMark::StartMark(std::filesystem::path file, const std::optional<CrashMark>& old) : file_(std::move(file)) {
  if (file_.empty()) return;
  std::error_code failed;
  std::filesystem::create_directories(file_.parent_path(), failed);
  learn_own_birth();
  write_mark(file_.c_str(), 0, old ? old->starts + 1 : 1);
}

StartMark::~StartMark() { remove_crash_mark(file_); }

void remove_crash_mark(const std::filesystem::path& file) {
  if (!file.empty()) (void)::unlink(file.c_str());
}

std::optional<CrashMark> read_crash_mark(const std::filesystem::path& file) {
  constexpr int kMost = 1000;  // more in a row say no more
  std::ifstream in(file);
  CrashMark mark;
  if (!(in >> mark.pid >> mark.signal)) return std::nullopt;
  if (!(in >> mark.starts)) mark.starts = mark.signal == 0 ? 1 : 0;  // of a host that did not count
  std::uint64_t since = 0;
  (void)(in >> since);
  if (runs(mark.pid, since)) return std::nullopt;
  mark.starts = std::clamp(mark.starts, 0, kMost);
  return mark;
}

std::string CrashMark::text() const {
  const std::string who = "the host with pid " + std::to_string(pid);
  if (signal != 0)
    return std::string("it was being ") + (starts == 0 ? "called" : "started") + " when " + who + " died of signal " +
           std::to_string(signal) + " (" + ::strsignal(signal) + ")";
  if (starts < 2) return "it was being started when " + who + " died";
  return "it was being started when " + who + " died, and each of the " + std::to_string(starts - 1) + " before that";
}

void mark_fatal_signals() {
  learn_own_birth();
  struct sigaction action{};
  action.sa_sigaction = on_fatal_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (std::size_t i = 0; i < kFatal.size(); ++i) (void)::sigaction(kFatal[i], &action, &before[i]);
}

}  // namespace gantry::host
