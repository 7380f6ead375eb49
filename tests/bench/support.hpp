// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/support.hpp: rows, rounds and child processes of `./dev bench`.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bench {

using json = nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string build_dir;
  bool quick = false;
};

/// One row of the table; times and sizes are in `unit`.
struct Row {
  std::string workload, peer, metric, unit;
  std::string better = "lower";
  std::vector<double> samples;
  double cpu_seconds = 0;
  std::string note;

  [[nodiscard]] double median() const {
    auto sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    return sorted.empty() ? 0 : sorted[sorted.size() / 2];
  }
  [[nodiscard]] json to_json() const {
    return {{"workload", workload}, {"peer", peer},
            {"metric", metric},     {"unit", unit},
            {"better", better},     {"min", samples.empty() ? 0 : *std::min_element(samples.begin(), samples.end())},
            {"median", median()},   {"max", samples.empty() ? 0 : *std::max_element(samples.begin(), samples.end())},
            {"n", samples.size()},  {"cpu_seconds", cpu_seconds},
            {"note", note}};
  }
};

[[nodiscard]] inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}
[[nodiscard]] inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A child process; the destructor kills it and waits for it.
class Child {
 public:
  /// `piped`: its stdin and stdout are pipes; else both are /dev/null. stderr is /dev/null.
  Child(const std::vector<std::string>& words, const std::vector<std::string>& environment, bool piped);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int in() const { return in_; }
  [[nodiscard]] int out() const { return out_; }
  /// The user and system time of the child so far, without its own children.
  [[nodiscard]] double cpu_seconds() const;
  /// As cpu_seconds(), from the child's processor clock: in nanoseconds instead of ticks.
  [[nodiscard]] double clock_seconds() const;
  [[nodiscard]] double rss_mib() const;
  [[nodiscard]] double pss_mib() const;

 private:
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
};

[[nodiscard]] double pss_mib_of(pid_t pid);
/// Of the process and all that descend from it.
[[nodiscard]] double tree_pss_mib(pid_t pid);

/// Connects to a Unix socket as soon as a server listens; -1 after 10 s.
[[nodiscard]] int connect_soon(const std::string& socket);
void write_all(int fd, const std::string& text);
/// Reads up to a line end; empty on EOF.
[[nodiscard]] std::string read_line(int fd);
/// Makes a temporary folder, which the system's cleaner removes at the latest.
[[nodiscard]] std::string temp_dir();

// The workloads.
void cold_start(const Options& options, std::vector<Row>& rows);
void idle(const Options& options, std::vector<Row>& rows);
void hover(const Options& options, std::vector<Row>& rows);
void lsp(const Options& options, std::vector<Row>& rows);
void lsp_blobs(const Options& options, std::vector<Row>& rows);
void lsp_agents(const Options& options, std::vector<Row>& rows);
void state(const Options& options, std::vector<Row>& rows);
void turn_designs(const Options& options, std::vector<Row>& rows);

}  // namespace bench
