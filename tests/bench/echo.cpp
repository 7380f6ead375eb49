// SPDX-License-Identifier: Apache-2.0
//
// A round: a server is started, warmed up by the same load, and loaded; its processor time over the
// load and its memory after it stand in the row. On one core client and server share core 0; else
// the kernel places them. The load is EchoClient's, but a peer with a protocol of its own is loaded
// by a client of its own library, as a user would call it. Such a client costs more than EchoClient
// does: the client's processor time stands in the note, so that the two sides can be told apart.
#include "tests/bench/echo.hpp"

#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include "tests/bench/load_program.hpp"

namespace bench {

namespace {

struct Server {
  std::string label;
  std::string program;  ///< in BUILD_DIR/bench; "gantry": the host
  std::vector<std::string> arguments;
  std::string note;
  EchoFraming framing = EchoFraming::kLines;
  std::string client{};  ///< in BUILD_DIR/bench; "": EchoClient
  std::string broker{};  ///< in BUILD_DIR/bench; "": the server listens itself
};

const char* const kHostNote =
    "plugin behind the C ABI; params as checked text; deadline, permits, cancel, counts a call; limits";

const std::string kGrpcNote = "protobuf over HTTP/2, params as fields; its own client; deadline a call, cancel, limits";
const std::string kBusNote = "D-Bus, params as fields; its own client; a method of an object; time-out a call";

[[nodiscard]] Server with_client(Server server, const std::string& client, const std::string& broker = {}) {
  server.client = client;
  server.broker = broker;
  return server;
}

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
           EchoFraming::kContentLength},
          with_client({"grpc", "echo-grpc", {}, kGrpcNote + "; one completion queue and thread"}, "load-grpc"),
          with_client({"grpc mt2", "echo-grpc", {"mt2"}, kGrpcNote + "; two queues and threads"}, "load-grpc"),
          with_client({"sd-bus", "echo-sd-bus", {}, kBusNote + "; peer to peer"}, "load-sd-bus"),
          with_client({"sd-bus broker",
                       "echo-sd-bus",
                       {"broker"},
                       kBusNote + "; through dbus-daemon: names, policy; CPU and memory of both"},
                      "load-sd-bus", "dbus-daemon")};
}

[[nodiscard]] std::string path_of(const std::string& program, const Options& options) {
  return options.build_dir + (program == "gantry" ? "/gantry" : "/bench/" + program);
}

[[nodiscard]] bool installed(const Server& server, const Options& options) {
  const auto is_there = [&](const std::string& program) {
    return program.empty() || std::filesystem::exists(path_of(program, options));
  };
  return is_there(server.program) && is_there(server.client) && is_there(server.broker);
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

/// A session bus as Debian configures it, without its activation and for the round alone.
[[nodiscard]] std::string broker_config(const std::string& socket) {
  return R"(<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=)" +
         socket + R"(</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_message_size">1000000000</limit>
  <limit name="max_completed_connections">100000</limit>
  <limit name="max_connections_per_user">100000</limit>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
)";
}

/// The processes that answer the calls of one round.
class Serving {
 public:
  /// The host's state is of the round alone.
  Serving(const Server& server, const EchoWorkload& echo, const Options& options, const std::string& dir) {
    const std::string path = path_of(server.program, options);
    const std::string socket = dir + "/s.sock";
    if (!server.broker.empty()) {
      std::ofstream(dir + "/broker.conf") << broker_config(socket);
      start({path_of(server.broker, options), "--config-file=" + dir + "/broker.conf", "--nofork", "--nopidfile",
             "--nosyslog"});
      ::close(connect_soon(socket));
    }
    if (server.program == "gantry") {
      std::ofstream(dir + "/gantry.toml") << host_config(options, echo.polling);
      start({path, "serve", "--config", dir + "/gantry.toml", "--socket", socket, "--ready-fd", "1"},
            {"GANTRY_STATE_DIR=" + dir + "/state"});
    } else {
      std::vector<std::string> words{path, socket};
      words.insert(words.end(), server.arguments.begin(), server.arguments.end());
      start(words);
    }
  }
  [[nodiscard]] double clock_seconds() const { return sum(&Child::clock_seconds); }
  [[nodiscard]] double rss_mib() const { return sum(&Child::rss_mib); }

 private:
  void start(const std::vector<std::string>& words, const std::vector<std::string>& environment = {}) {
    children_.push_back(std::make_unique<Child>(words, environment, false));
  }
  [[nodiscard]] double sum(double (Child::*figure)() const) const {
    double all = 0;
    for (const auto& child : children_) all += (*child.*figure)();
    return all;
  }
  std::vector<std::unique_ptr<Child>> children_;
};

[[nodiscard]] Run load_with(auto& client, const Serving& serving, bool timed, const Options& options) {
  (void)client.run(options.quick ? 0.1 : 0.2);
  const double cpu_before = serving.clock_seconds();
  const auto counts = client.run(options.quick ? 0.15 : 0.4);
  const double cpu = serving.clock_seconds() - cpu_before;
  return {counts.calls,
          counts.seconds,
          cpu,
          serving.rss_mib(),
          timed ? counts.p50_ns : 0,
          timed ? counts.p99_ns : 0,
          counts.client_cpu_seconds};
}

[[nodiscard]] Run round_of(const Server& server, const EchoWorkload& echo, const Options& options) {
  const std::string dir = temp_dir();
  const std::string socket = dir + "/s.sock";
  std::optional<OnOneCore> pinned;
  if (echo.workload.one_core) pinned.emplace();
  Run run;
  {
    const Serving serving(server, echo, options, dir);
    if (server.client.empty()) {
      EchoClient client(socket, server.framing, echo.load);
      run = load_with(client, serving, echo.load.timed, options);
    } else {
      ::close(connect_soon(socket));
      std::vector<std::string> words{path_of(server.client, options), socket};
      words.insert(words.end(), server.arguments.begin(), server.arguments.end());
      LoadProgram client(words, echo.load);
      run = load_with(client, serving, echo.load.timed, options);
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
  return run;
}

[[nodiscard]] std::vector<Goal> p50_goals() {
  return {{{"asio raw"}, "asio raw", 1 / 1.4},
          {{"vscode-jsonrpc"}, "vscode-jsonrpc", 2, 0, "gantry content-length"},
          {{"grpc", "grpc mt2"}, "grpc", 1 / 0.4}};
}

/// Beside what a user would pick instead, with many calls in flight.
[[nodiscard]] std::vector<Goal> with_rpc_goals(std::vector<Goal> goals) {
  goals.push_back({{"grpc", "grpc mt2"}, "grpc", 4});
  goals.push_back({{"sd-bus"}, "sd-bus", 4});
  goals.push_back({{"sd-bus broker"}, "sd-bus broker", 4});
  return goals;
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
    const Goal tokio{{"tokio", "tokio mt2"}, "tokio with serde_json", 0.5};
    Goal cpu = tokio;
    cpu.cpu_at_most = 2.5;
    Goal gain{{"tokio mt2"}, "what tokio mt2 gains by the second core", 0.9};
    gain.gain_over = "echo.64x8@1core";
    const Goal go{{"go"}, "go", 1};
    add("1x1", {1, 1, true}, one_core ? p50_goals() : last ? std::vector{go} : std::vector<Goal>{});
    const auto at_depth = one_core ? with_rpc_goals({tokio, cpu}) : std::vector<Goal>{};
    add("1x64", {1, 64, false}, at_depth);
    add("64x8", {64, 8, false}, one_core || polling ? at_depth : with_rpc_goals({gain}));
  }
  return all;
}

Group measure(const EchoWorkload& echo, const Options& options) {
  std::vector<Measured> rows;
  std::vector<std::string> missing;
  const auto all = servers();
  for (const auto& server : all) {
    if (!installed(server, options)) {
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
