// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/programs.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "tests/bench/support.hpp"

namespace bench {

namespace {

constexpr double kTimeout = 120;

[[nodiscard]] pid_t start(const std::vector<std::string>& words, bool one_core, int out) {
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid > 0) return pid;
  if (one_core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(0, &cores);
    ::sched_setaffinity(0, sizeof cores, &cores);
  }
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

/// Both outputs of a command that ends well.
[[nodiscard]] std::string output_of(const std::vector<std::string>& words, bool one_core) {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  const pid_t pid = start(words, one_core, fds[1]);
  ::close(fds[1]);
  std::string text;
  std::array<char, 65536> bytes{};
  bool late = false;
  const auto begun = Clock::now();
  while (true) {
    pollfd readable{fds[0], POLLIN, 0};
    const double left = kTimeout - seconds_since(begun);
    late = left <= 0 || ::poll(&readable, 1, static_cast<int>(left * 1000)) == 0;
    if (late) break;
    const ssize_t got = ::read(fds[0], bytes.data(), bytes.size());
    if (got <= 0) break;
    text.append(bytes.data(), static_cast<std::size_t>(got));
  }
  ::close(fds[0]);
  if (late) ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (late) throw std::runtime_error("did not end in " + std::to_string(static_cast<int>(kTimeout)) + " s");
  if (WIFSIGNALED(status)) throw std::runtime_error("died of signal " + std::to_string(WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0)
    throw std::runtime_error(text.empty() ? "exit " + std::to_string(WEXITSTATUS(status)) : text);
  return text;
}

void list(const std::string& program, const std::string& path, std::vector<Listed>& all) {
  std::istringstream lines(output_of({path, "--list"}, false));
  std::string line;
  while (std::getline(lines, line)) {
    Listed one{program, path, line.substr(0, line.find('\t')), {}, {}, {}};
    if (const auto tab = line.find('\t'); tab != std::string::npos) one.note = line.substr(tab + 1);
    const auto plus = one.argument.find('+');
    one.workload = one.argument.substr(0, plus);
    if (plus != std::string::npos) one.variant = one.argument.substr(plus + 1);
    std::replace(one.variant.begin(), one.variant.end(), '_', ' ');
    all.push_back(one);
  }
}

}  // namespace

std::vector<Listed> list_programs(const std::string& build_dir) {
  std::vector<std::pair<std::string, std::string>> found;
  const std::string dir = build_dir + "/bench";
  for (const auto& file : std::filesystem::directory_iterator(dir)) {
    const std::string name = file.path().filename();
    if (name.starts_with("peer-")) found.emplace_back(name.substr(5), file.path());
  }
  std::sort(found.begin(), found.end());
  for (const char* name : {"/gantry-plugins", "/gantry-core"}) {
    if (const std::string ours = dir + name; std::filesystem::exists(ours))
      found.emplace(found.begin(), "gantry", ours);
  }
  std::vector<Listed> all;
  for (const auto& [name, path] : found) {
    try {
      list(name, path, all);
    } catch (const std::exception& e) {
      throw std::runtime_error(path + " --list: " + e.what());
    }
  }
  return all;
}

Run run_program(const Listed& listed, double ops, bool one_core) {
  const auto count = std::to_string(static_cast<long long>(std::llround(ops)));
  const std::string text = output_of({listed.path, listed.argument, count}, one_core);
  const auto said = json::parse(text, nullptr, false);
  if (!said.is_object()) throw std::runtime_error("not the JSON that was expected: " + text);
  Run run{said.at("ops").get<double>(),
          said.at("seconds").get<double>(),
          said.at("cpu_seconds").get<double>(),
          said.at("max_rss_kib").get<double>() / 1024,
          said.value("p50_ns", 0.0),
          said.value("p99_ns", 0.0),
          0};
  if (run.ops <= 0 || run.seconds <= 0) throw std::runtime_error("nothing measured: " + text);
  return run;
}

}  // namespace bench
