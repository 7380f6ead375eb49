// SPDX-License-Identifier: Apache-2.0
//
// Agents that ask for diagnostics by MCP: through `gantry mcp`, and through cclsp, which starts servers of its own for
// each agent. Both have the same clangd; rounds are interleaved.
#include <unistd.h>

#include <memory>

#include "tests/bench/lsp_bed.hpp"

namespace bench {

namespace {

constexpr int kAgents = 5;

/// An agent at the pipes of an MCP server.
class Agent {
 public:
  Agent(const std::vector<std::string>& words, const std::vector<std::string>& environment, std::string tool,
        json asked)
      : process_(words, environment, true), tool_(std::move(tool)), asked_(std::move(asked)) {
    (void)call("initialize", {{"protocolVersion", "2025-06-18"},
                              {"capabilities", json::object()},
                              {"clientInfo", {{"name", "bench"}, {"version", "1"}}}});
    write_all(process_.in(), "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
  }
  /// The diagnostics, as the agent reads them.
  [[nodiscard]] std::string diagnostics() {
    const auto result = call("tools/call", {{"name", tool_}, {"arguments", asked_}});
    return result.at("content").at(0).at("text");
  }
  [[nodiscard]] const Child& process() const { return process_; }
  [[nodiscard]] const std::string& tool() const { return tool_; }

 private:
  [[nodiscard]] json call(const std::string& method, const json& params) {
    const json message{{"jsonrpc", "2.0"}, {"id", ++last_id_}, {"method", method}, {"params", params}};
    write_all(process_.in(), message.dump() + "\n");
    while (true) {
      const auto line = read_line(process_.out());
      if (line.empty()) throw std::runtime_error(tool_ + ": the MCP server has ended");
      const auto answer = json::parse(line);
      if (!answer.contains("id") || answer["id"] != last_id_) continue;
      if (!answer.contains("result")) throw std::runtime_error(tool_ + ": " + line);
      return answer["result"];
    }
  }

  Child process_;
  const std::string tool_;
  const json asked_;
  int last_id_ = 0;
};

/// A project whose file has one error, and agents in it.
class Project {
 public:
  Project(const Options& options, bool ours)
      : ours_(ours), cclsp_(options.build_dir + "/bench/mcp-cclsp"), bed_(options) {
    std::ofstream(bed_.root() + "/cclsp.json")
        << json{{"servers", {{{"extensions", {"cpp"}}, {"command", {kServer}}, {"rootDir", "."}}}}};
    write("missing");
  }
  /// The file uses a name that is not declared.
  void write(const std::string& name) const {
    std::ofstream(bed_.root() + "/main.cpp") << kText << "int wrong = " << name << ";\n";
  }
  [[nodiscard]] std::unique_ptr<Agent> agent() const {
    if (!ours_) {
      return std::make_unique<Agent>(std::vector<std::string>{"env", "-C", bed_.root(), cclsp_},
                                     std::vector<std::string>{"CCLSP_CONFIG_PATH=" + bed_.root() + "/cclsp.json"},
                                     "get_diagnostics", json{{"file_path", "main.cpp"}});
    }
    const std::vector<std::string> words{"env", "-C",       bed_.root(),   bed_.gantry(),
                                         "mcp", "--socket", bed_.socket(), "--no-start"};
    return std::make_unique<Agent>(words, bed_.environment(), "lsp_diagnostics", json{{"path", "main.cpp"}});
  }
  /// Of the agents' processes and of the servers.
  [[nodiscard]] double pss_mib(const std::vector<std::unique_ptr<Agent>>& agents) const {
    double all = bed_.servers_pss_mib();
    for (const auto& agent : agents) all += tree_pss_mib(agent->process().pid());
    return all;
  }
  [[nodiscard]] const Child& host() const { return bed_.host(); }

 private:
  const bool ours_;
  const std::string cclsp_;
  const Bed bed_;
};

/// Asks until the answer has the error of this name. Returns the number of the answers that had not.
[[nodiscard]] int ask_until_right(Agent& agent, const std::string& name) {
  constexpr int kMost = 100;
  for (int wrong = 0; wrong < kMost; ++wrong) {
    if (agent.diagnostics().find(name) != std::string::npos) return wrong;
  }
  throw std::runtime_error(agent.tool() + " never finds " + name);
}

/// What one way of two has in all rounds.
struct Way {
  const char* name;
  std::vector<double> cold{}, warm{}, changed{}, one{}, five{}, host{};
  double warm_cpu = 0;         ///< of the agent's process, and of the host if that is between
  int clean = 0;               ///< of the first answers: without the error
  int right = 0, changes = 0;  ///< of the answers after the file was written
};

void round_of(const Options& options, bool ours, Way& way) {
  const Project project(options, ours);
  std::vector<std::unique_ptr<Agent>> agents;
  auto start = Clock::now();
  agents.push_back(project.agent());
  way.clean += ask_until_right(*agents.front(), "missing") > 0 ? 1 : 0;
  way.cold.push_back(seconds_since(start));
  const auto used = [&] {
    return agents.front()->process().clock_seconds() + (ours ? project.host().clock_seconds() : 0);
  };
  const double before = used();
  std::vector<double> times;
  for (int i = 0; i < 50; ++i) {
    start = Clock::now();
    (void)ask_until_right(*agents.front(), "missing");
    times.push_back(seconds_since(start) * 1e3);
  }
  way.warm.push_back(median(times));
  way.warm_cpu += used() - before;
  times.clear();
  for (int i = 0; i < 5; ++i, ++way.changes) {
    const auto name = "changed" + std::to_string(i);
    project.write(name);
    start = Clock::now();
    way.right += agents.front()->diagnostics().find(name) != std::string::npos ? 1 : 0;
    times.push_back(seconds_since(start) * 1e3);
  }
  way.changed.push_back(median(times));
  way.one.push_back(settled([&] { return project.pss_mib(agents); }));
  while (agents.size() < kAgents) {
    agents.push_back(project.agent());
    (void)ask_until_right(*agents.back(), "changed4");
  }
  way.five.push_back(settled([&] { return project.pss_mib(agents); }) / kAgents);
  way.host.push_back(project.host().pss_mib());
}

[[nodiscard]] std::vector<double> ratios(const std::vector<double>& of, const std::vector<double>& to) {
  std::vector<double> out;
  for (std::size_t i = 0; i < of.size(); ++i) out.push_back(of[i] / to[i]);
  return out;
}

}  // namespace

void lsp_agents(const Options& options, std::vector<Row>& rows) {
  if (::access((options.build_dir + "/bench/mcp-cclsp").c_str(), X_OK) != 0) throw std::runtime_error("no cclsp");
  Way gantry{"gantry"}, cclsp{"cclsp"};
  const int rounds = options.quick ? 3 : 7;
  for (int round = 0; round < rounds; ++round) {
    round_of(options, true, gantry);
    round_of(options, false, cclsp);
  }
  for (const auto* way : {&gantry, &cclsp}) {
    const std::string right =
        std::to_string(way->right) + " of " + std::to_string(way->changes) + " answers were right";
    const auto row = [&](const char* metric, const char* unit, const std::vector<double>& samples, std::string note,
                         double cpu = 0) {
      rows.push_back(Row{"lsp.agents", way->name, metric, unit, "lower", samples, cpu, std::move(note)});
    };
    row("first diagnostics", "s", way->cold,
        "from the start of the agent's process, no server runs, until the error is named; " +
            std::to_string(way->clean) + " of " + std::to_string(way->cold.size()) + " first answers were without it");
    row("diagnostics again", "ms", way->warm, way == &gantry ? "CPU: host and shim" : "CPU: cclsp", way->warm_cpu);
    row("diagnostics after the file was written", "ms", way->changed, right);
    row("memory of one agent", "MiB", way->one, "PSS: its process and its servers");
    row("memory for each of five", "MiB", way->five, "PSS");
  }
  const auto ratio = [&](const char* metric, const std::vector<double>& samples, const char* goal, const char* better) {
    rows.push_back(Row{"lsp.agents", "gantry", metric, "x", better, samples, 0, goal});
  };
  ratio("first: cclsp to gantry", ratios(cclsp.cold, gantry.cold), "goal: at least 5", "higher");
  ratio("again: gantry to cclsp", ratios(gantry.warm, cclsp.warm), "goal: at most 1", "lower");
  ratio("memory of one: gantry to cclsp", ratios(gantry.one, cclsp.one), "goal: at most 0.5", "lower");
  ratio("memory of five: gantry to cclsp", ratios(gantry.five, cclsp.five), "goal: at most 0.5", "lower");
  rows.push_back(Row{"lsp.agents", "gantry", "the host", "MiB", "lower", gantry.host, 0, "PSS"});
}

}  // namespace bench
