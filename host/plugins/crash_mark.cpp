// SPDX-License-Identifier: Apache-2.0
//
// A mark is `PID 0` while a plugin starts, and `PID SIGNAL` when a delivery has ended the process.
#include "host/plugins/crash_mark.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

namespace gantry::host {

namespace {

constexpr std::array kFatal{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
/// What was done about them before.
std::array<struct sigaction, kFatal.size()> before{};

// Everything here may be called in a signal handler.
[[nodiscard]] std::size_t append(char* out, std::size_t at, unsigned number) noexcept {
  std::array<char, 12> digits{};
  std::size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count != 0) out[at++] = digits[--count];
  return at;
}

void write_mark(const char* file, int signal) noexcept {
  const int fd = ::open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  std::array<char, 32> text{};
  auto size = append(text.data(), 0, static_cast<unsigned>(::getpid()));
  text[size++] = ' ';
  size = append(text.data(), size, static_cast<unsigned>(signal));
  text[size++] = '\n';
  (void)!::write(fd, text.data(), size);
  (void)::close(fd);
}

void on_fatal_signal(int signal, siginfo_t* info, void*) noexcept {
  if (const char* const file = DeliveryMark::current()) write_mark(file, signal);
  for (std::size_t i = 0; i < kFatal.size(); ++i) {
    if (kFatal[i] == signal) (void)::sigaction(signal, &before[i], nullptr);
  }
  // What the processor has found, it finds again when this returns; what was sent is sent again.
  if (info == nullptr || info->si_code <= 0) (void)::raise(signal);
}

}  // namespace

namespace {

/// A process that has ended and that nobody has waited for is none.
[[nodiscard]] bool runs(pid_t pid) {
  if (::kill(pid, 0) != 0 && errno != EPERM) return false;
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(in, stat);
  const auto name_ends = stat.rfind(") ");
  return name_ends == std::string::npos || (stat[name_ends + 2] != 'Z' && stat[name_ends + 2] != 'X');
}

}  // namespace

StartMark::StartMark(std::filesystem::path file) : file_(std::move(file)) {
  if (file_.empty()) return;
  std::error_code failed;
  std::filesystem::create_directories(file_.parent_path(), failed);
  write_mark(file_.c_str(), 0);
}

StartMark::~StartMark() {
  if (!file_.empty()) (void)::unlink(file_.c_str());
}

std::optional<std::string> read_crash_mark(const std::filesystem::path& file) {
  std::ifstream in(file);
  pid_t pid = 0;
  int signal = 0;
  if (!(in >> pid >> signal)) return std::nullopt;
  if (runs(pid)) return std::nullopt;
  const std::string who = "the host with pid " + std::to_string(pid);
  if (signal == 0) return "it was being started when " + who + " died";
  return "it was being called when " + who + " died of signal " + std::to_string(signal) + " (" + ::strsignal(signal) +
         ")";
}

void mark_fatal_signals() {
  struct sigaction action{};
  action.sa_sigaction = on_fatal_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (std::size_t i = 0; i < kFatal.size(); ++i) (void)::sigaction(kFatal[i], &action, &before[i]);
}

}  // namespace gantry::host
