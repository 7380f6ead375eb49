// SPDX-License-Identifier: Apache-2.0
//
// Exec to the first answer: `gantry serve` and host.status, beside a bare Asio program that echoes a line.
#include <unistd.h>

#include <filesystem>

#include "tests/bench/support.hpp"

namespace bench {

namespace {

struct Sample {
  double ms;
  double cpu;
};

[[nodiscard]] Sample once(const std::vector<std::string>& words, const std::vector<std::string>& environment,
                          const std::string& socket, const std::string& question) {
  (void)::unlink(socket.c_str());
  const auto start = Clock::now();
  Child child(words, environment, false);
  const int fd = connect_soon(socket);
  if (fd < 0) throw std::runtime_error(words[0] + " does not listen");
  write_all(fd, question);
  if (read_line(fd).empty()) throw std::runtime_error(words[0] + " does not answer");
  const double ms = seconds_since(start) * 1000;
  const double cpu = child.cpu_seconds();
  ::close(fd);
  return {ms, cpu};
}

}  // namespace

void cold_start(const Options& options, std::vector<Row>& rows) {
  const std::string dir = temp_dir();
  std::filesystem::permissions(dir, std::filesystem::perms::owner_all);
  Row ours{"cold_start",
           "gantry",
           "exec to first answer",
           "ms",
           "lower",
           {},
           0,
           "host.status; three plugins known, none loaded"};
  Row echo{"cold_start",
           "asio echo",
           "exec to first answer",
           "ms",
           "lower",
           {},
           0,
           "bare Boost.Asio line echo on a Unix socket"};
  const std::string question = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"host.status\"}\n";
  const int rounds = options.quick ? 7 : 31;
  for (int i = 0; i < rounds; ++i) {
    const auto a = once({options.build_dir + "/gantry", "serve", "--socket", dir + "/g.sock", "--ready-fd", "1"},
                        {"GANTRY_STATE_DIR=" + dir + "/state"}, dir + "/g.sock", question);
    const auto b = once({options.build_dir + "/bench/asio_echo", dir + "/e.sock"}, {}, dir + "/e.sock", question);
    ours.samples.push_back(a.ms);
    ours.cpu_seconds += a.cpu;
    echo.samples.push_back(b.ms);
    echo.cpu_seconds += b.cpu;
  }
  Row ratio{"cold_start",     "gantry", "ratio to asio echo", "x", "lower", {ours.median() / echo.median()}, 0,
            "goal: at most 4"};
  rows.insert(rows.end(), {ours, echo, ratio});
}

void idle(const Options& options, std::vector<Row>& rows) {
  const std::string dir = temp_dir();
  Child host({options.build_dir + "/gantry", "serve", "--socket", dir + "/g.sock", "--ready-fd", "1"},
             {"GANTRY_STATE_DIR=" + dir + "/state"}, false);
  const int fd = connect_soon(dir + "/g.sock");
  write_all(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"host.plugins\"}\n");
  const auto plugins = json::parse(read_line(fd));
  ::close(fd);
  std::string known;
  for (const auto& p : plugins["result"])
    known += p["name"].get<std::string>() + "=" + p["state"].get<std::string>() + " ";
  ::sleep(1);
  const double before = host.cpu_seconds();
  const int span = options.quick ? 10 : 60;
  ::sleep(static_cast<unsigned>(span));
  const double used = host.cpu_seconds() - before;
  rows.push_back(Row{
      "idle", "gantry", "RSS", "MiB", "lower", {host.rss_mib()}, used, "no client; " + known + "; goal: at most 12"});
  rows.push_back(Row{"idle", "gantry", "PSS", "MiB", "lower", {host.pss_mib()}, used, "what the host alone costs"});
  rows.push_back(Row{"idle",
                     "gantry",
                     "CPU in " + std::to_string(span) + " s",
                     "s",
                     "lower",
                     {used},
                     used,
                     "clock ticks of 10 ms; goal: 0"});
}

}  // namespace bench
