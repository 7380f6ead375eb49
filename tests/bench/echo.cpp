// SPDX-License-Identifier: Apache-2.0
//
// A round: a server is started, warmed up by the same load, and loaded; its processor time over the load and its memory
// after it stand in the row. On one core client and server share core 0; else the kernel places them.
#include "tests/bench/echo.hpp"

#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace bench {

namespace {

struct Server {
  std::string label;
  std::string program;  ///< in BUILD_DIR/bench; "gantry": the host
  std::vector<std::string> arguments;
  std::string note;
  EchoFraming framing = EchoFraming::kLines;
};

const char* const kHostNote =
    "plugin behind the C ABI; params as checked text; deadline, permits, cancel, counts a call; limits";

[[nodiscard]] std::vector<Server> servers() {
  const std::string headers = "Content-Length frames; ";
  return {{"gantry", "gantry", {}, kHostNote},
          {"gantry content-length", "gantry", {}, headers + kHostNote, EchoFraming::kContentLength},
          {"asio raw", "asio_echo", {}, "sends the bytes back; no JSON, no messages"},
          {"tokio", "echo-tokio", {}, "serde_json, params as checked text; current thread"},
          {"tokio mt2", "echo-tokio", {"mt2"}, "serde_json, params as checked text; two workers"},
          {"tokio value", "echo-tokio", {"value"}, "serde_json, params as a document; current thread"},
          {"boost-json", "echo-boost-json", {}, "Asio, params as a document"},
          {"go", "echo-go", {}, "encoding/json, params as checked text; a goroutine a connection"},
          {"vscode-jsonrpc",
           "echo-vscode-jsonrpc",
           {},
           headers + "Node, params as a document; cancel",
           EchoFraming::kContentLength}};
}

[[nodiscard]] std::string path_of(const Server& server, const Options& options) {
  return options.build_dir + (server.program == "gantry" ? "/gantry" : "/bench/" + server.program);
}

[[nodiscard]] std::string host_config(const Options& options, bool polling) {
  std::string text;
  text += std::string("[host]\npolling = ") + (polling ? "\"on\"" : "\"off\"") + "\n";
  return text + "[plugins.echo]\npath = \"" + options.build_dir + "/bench/plugins/echo_plugin.so\"\n";
}

/// This thread, and what it starts, on core 0 while it lives.
class OnOneCore {
 public:
  OnOneCore() {
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET(0, &core);
    ::sched_getaffinity(0, sizeof before_, &before_);
    ::sched_setaffinity(0, sizeof core, &core);
  }
  OnOneCore(const OnOneCore&) = delete;
  OnOneCore& operator=(const OnOneCore&) = delete;
  ~OnOneCore() { ::sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_{};
};

/// The host's state is of the round alone.
[[nodiscard]] std::unique_ptr<Child> start(const Server& server, const EchoWorkload& echo, const Options& options,
                                           const std::string& dir) {
  const std::string path = path_of(server, options);
  const std::string socket = dir + "/s.sock";
  if (server.program != "gantry") {
    std::vector<std::string> words{path, socket};
    words.insert(words.end(), server.arguments.begin(), server.arguments.end());
    return std::make_unique<Child>(words, std::vector<std::string>{}, false);
  }
  std::ofstream(dir + "/gantry.toml") << host_config(options, echo.polling);
  return std::make_unique<Child>(
      std::vector<std::string>{path, "serve", "--config", dir + "/gantry.toml", "--socket", socket, "--ready-fd", "1"},
      std::vector<std::string>{"GANTRY_STATE_DIR=" + dir + "/state"}, false);
}

[[nodiscard]] double percentile(std::vector<float>& values, double part) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(values.size() - 1) * part);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

[[nodiscard]] Run round_of(const Server& server, const EchoWorkload& echo, const Options& options) {
  const std::string dir = temp_dir();
  std::optional<OnOneCore> pinned;
  if (echo.workload.one_core) pinned.emplace();
  Run run;
  {
    const auto child = start(server, echo, options, dir);
    EchoClient client(dir + "/s.sock", server.framing, echo.load);
    (void)client.run(options.quick ? 0.1 : 0.2);
    const double cpu_before = child->clock_seconds();
    auto counts = client.run(options.quick ? 0.15 : 0.4);
    run = {counts.calls,
           counts.seconds,
           child->clock_seconds() - cpu_before,
           child->rss_mib(),
           percentile(counts.ns, 0.5),
           percentile(counts.ns, 0.99)};
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
  return run;
}

[[nodiscard]] std::vector<Goal> p50_goals() {
  return {{{"asio raw"}, "asio raw", 1 / 1.5}, {{"vscode-jsonrpc"}, "vscode-jsonrpc", 2, 0, "gantry content-length"}};
}

}  // namespace

std::vector<EchoWorkload> echo_workloads() {
  struct Place {
    std::string name;
    bool one_core, polling, last;
  };
  std::vector<Place> places{
      {"@1core", true, false, false}, {"@2core", false, false, false}, {"@2core polling", false, true, true}};
  std::vector<EchoWorkload> all;
  for (const auto& [place, one_core, polling, last] : places) {
    const auto add = [&](const std::string& name, EchoLoad load, std::vector<Goal> goals) {
      const Unit unit = load.timed ? Unit::kTime : Unit::kRate;
      all.push_back({{"echo." + name + place, "", 0, one_core, unit, std::move(goals), {}}, load, polling});
    };
    const Goal tokio{{"tokio", "tokio mt2"}, "tokio with serde_json", 1};
    const Goal go{{"go"}, "go", 1};
    add("1x1", {1, 1, true}, one_core ? p50_goals() : last ? std::vector{go} : std::vector<Goal>{});
    add("1x64", {1, 64, false}, one_core ? std::vector{tokio} : std::vector<Goal>{});
    add("64x8", {64, 8, false}, one_core ? std::vector{tokio} : std::vector<Goal>{});
  }
  return all;
}

Group measure(const EchoWorkload& echo, const Options& options) {
  std::vector<Measured> rows;
  std::vector<std::string> missing;
  const auto all = servers();
  for (const auto& server : all) {
    if (!std::filesystem::exists(path_of(server, options))) {
      missing.push_back(server.label);
      continue;
    }
    Measured row;
    row.listed.program = server.program;
    row.label = server.label;
    row.note = server.note;
    rows.push_back(std::move(row));
  }
  auto group = measure_rows(echo.workload, std::move(rows), options, [&](Measured& row) {
    const auto server = std::find_if(all.begin(), all.end(), [&](const Server& one) { return one.label == row.label; });
    const Run run = round_of(*server, echo, options);
    row.ops = std::max(row.ops, run.ops);
    return run;
  });
  group.missing = std::move(missing);
  return group;
}

}  // namespace bench
