// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/noise.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

namespace bench {

namespace {

/// A chain of multiplications that nothing can shorten: about 10 ms.
[[nodiscard]] double spin_ms() {
  const auto start = Clock::now();
  std::uint64_t x = 1;
  for (int i = 0; i < 8'000'000; ++i) {
    x = x * 6364136223846793005U + 1442695040888963407U;
    asm volatile("" : "+r"(x));
  }
  return seconds_since(start) * 1000;
}

[[nodiscard]] double load_average() {
  double load = 0;
  (void)::getloadavg(&load, 1);
  return load;
}

[[nodiscard]] std::string first_line_of(const std::string& command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen((command + " 2>/dev/null").c_str(), "r"),
                                                             ::pclose);
  std::array<char, 256> line{};
  if (!pipe || std::fgets(line.data(), line.size(), pipe.get()) == nullptr) return {};
  const std::string text = line.data();
  return text.substr(0, text.find('\n'));
}

}  // namespace

Noise::Noise() : first_(ticks()), first_own_(own_cpu()), first_load_(load_average()) {}

double Noise::sample() {
  cpu_set_t before;
  cpu_set_t core;
  CPU_ZERO(&core);
  CPU_SET(0, &core);
  ::sched_getaffinity(0, sizeof before, &before);
  ::sched_setaffinity(0, sizeof core, &core);
  ms_.push_back(spin_ms());
  ::sched_setaffinity(0, sizeof before, &before);
  return ms_.back() / *std::min_element(ms_.begin(), ms_.end());
}

Noise::Ticks Noise::ticks() {
  std::ifstream in("/proc/stat");
  std::string cpu;
  std::array<double, 8> t{};  // user nice system idle iowait irq softirq steal
  in >> cpu;
  for (auto& one : t) in >> one;
  const double idle = t[3] + t[4];
  double total = 0;
  for (const double one : t) total += one;
  return {total - idle - t[7], t[7], total};
}

double Noise::own_cpu() {
  double sum = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    for (const auto& t : {usage.ru_utime, usage.ru_stime})
      sum += static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  }
  return sum;
}

std::string Noise::words() const {
  const Row spin = row();
  const auto [least, most] = std::minmax_element(ms_.begin(), ms_.end());
  const Ticks now = ticks();
  const double total = std::max(1.0, now.total - first_.total);
  const double own = (own_cpu() - first_own_) * static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double others = std::max(0.0, now.busy - first_.busy - own);
  std::array<char, 512> text{};
  std::snprintf(
      text.data(), text.size(),
      "fixed loop on core 0, %zu times: min %.2f ms, median %.2f (%+.0f %%), max %.2f (%+.0f %%); load average "
      "%.2f at first, %.2f at last; other processes used %.1f %% of the processors, the hypervisor took %.1f %%",
      ms_.size(), *least, spin.median(), (spin.median() / *least - 1) * 100, *most, (*most / *least - 1) * 100,
      first_load_, load_average(), others / total * 100, (now.stolen - first_.stolen) / total * 100);
  return text.data();
}

Row Noise::row() const {
  return {
      "machine", "limit spin", "fixed loop", "ms", "lower", ms_, 0, "on core 0, before each workload and at the end"};
}

std::string machine() {
  std::string model = first_line_of("sed -n 's/^model name.*: //p' /proc/cpuinfo");
  utsname kernel{};
  ::uname(&kernel);
  std::string text =
      model + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores; Linux " + kernel.release;
  for (const char* command : {"clang++-19 --version", "rustc --version", "go version", "node --version"}) {
    const std::string said = first_line_of(command);
    if (!said.empty()) text += "; " + (std::string(command).starts_with("node") ? "node " + said : said);
  }
  return text;
}

}  // namespace bench
