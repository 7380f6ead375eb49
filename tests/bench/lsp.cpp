// SPDX-License-Identifier: Apache-2.0
//
// Editors behind `gantry lsp` beside a clangd that is driven directly: the time of requests, of the first diagnostics,
// of those of a second to fifth editor of one root, and the memory of five. Each way has a clangd of its own on the
// same file; rounds are interleaved.
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <utility>

#include "tests/bench/lsp_editor.hpp"

namespace bench {

namespace {

constexpr const char* kServer = "clangd-19";
constexpr int kEditors = 5;

// Headers as a small program has them: some seconds of clangd's time.
constexpr const char* kText = R"(#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>
/// Adds up.
int add(int a, int b) { return a + b; }
struct Words { std::vector<std::string> all; std::map<int, std::string> named; };
int twice(int a) { return add(a, a); }
int main() { Words words; return add(1, 2) + twice(3) + static_cast<int>(words.all.size()); }
)";
constexpr int kLine = 11;
constexpr int kAdd = 33;     // `add` in main()
constexpr int kMember = 79;  // behind `words.`

/// A project, and a host that runs.
class Bed {
 public:
  explicit Bed(const Options& options, bool polling = false)
      : gantry_(options.build_dir + "/gantry"), root_(temp_dir()), dir_(temp_dir()) {
    std::ofstream(dir_ + "/g.toml") << "[host]\npolling = \"" << (polling ? "on" : "off") << "\"\n";
    std::ofstream(root_ + "/main.cpp") << kText;
    std::ofstream(root_ + "/compile_flags.txt") << "-std=c++20\n";
    std::ofstream(root_ + "/.clangd") << "Index:\n  StandardLibrary: No\n";
    host_ = std::make_unique<Child>(std::vector<std::string>{gantry_, "serve", "--socket", socket(), "--config",
                                                             dir_ + "/g.toml", "--ready-fd", "1", "--workspace", root_},
                                    environment(), false);
    ::close(connect_soon(socket()));
    // The plugin is loaded from now on.
    const int fd = connect_soon(socket());
    write_all(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"lsp.servers\"}\n");
    if (read_line(fd).empty()) throw std::runtime_error("lsp.servers has no answer");
    ::close(fd);
  }
  [[nodiscard]] std::unique_ptr<Editor> through_gantry() const {
    return std::make_unique<Editor>(
        "gantry", std::vector<std::string>{gantry_, "lsp", "--socket", socket(), "--no-start"}, environment());
  }
  [[nodiscard]] static std::unique_ptr<Editor> direct() {
    return std::make_unique<Editor>("direct", std::vector<std::string>{kServer}, std::vector<std::string>{});
  }
  /// Seconds until the editor has the first diagnostics.
  [[nodiscard]] double opened(Editor& editor, Clock::time_point since) const {
    editor.open(root_, uri(), kText);
    return seconds_since(since);
  }
  /// The processes below the host that run servers: the servers, and what guards them.
  [[nodiscard]] double servers_pss_mib() const {
    double all = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const auto pid = entry.path().filename().string();
      if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
      std::string command;
      std::getline(std::ifstream(entry.path() / "cmdline"), command);
      const bool server = command.find("helper-guard") != std::string::npos || command.starts_with(kServer);
      if (server && descends_from_host(std::stoi(pid))) all += pss_mib_of(std::stoi(pid));
    }
    return all;
  }
  [[nodiscard]] std::string uri() const { return "file://" + root_ + "/main.cpp"; }
  [[nodiscard]] const Child& host() const { return *host_; }

 private:
  [[nodiscard]] std::string socket() const { return dir_ + "/g.sock"; }
  [[nodiscard]] std::vector<std::string> environment() const { return {"GANTRY_STATE_DIR=" + dir_ + "/state"}; }
  [[nodiscard]] bool descends_from_host(int pid) const {
    for (int depth = 0; pid > 1 && depth < 10; ++depth) {
      if (pid == host_->pid()) return true;
      std::ifstream in("/proc/" + std::to_string(pid) + "/status");
      pid = 0;
      for (std::string word; in >> word;) {
        if (word == "PPid:") in >> pid;
      }
    }
    return false;
  }

  const std::string gantry_, root_, dir_;
  std::unique_ptr<Child> host_;
};

void requests(const Options& options, bool polling, std::vector<Row>& rows) {
  const Bed bed(options, polling);
  std::vector<std::unique_ptr<Editor>> editors;
  editors.push_back(bed.through_gantry());
  editors.push_back(Bed::direct());
  for (auto& editor : editors) (void)bed.opened(*editor, Clock::now());
  struct Kind {
    const char* name;
    const char* method;
    int character;
    json more;
  };
  const std::vector<Kind> kinds{
      {"hover", "textDocument/hover", kAdd, json::object()},
      {"completion", "textDocument/completion", kMember, json::object()},
      {"references", "textDocument/references", kAdd, {{"context", {{"includeDeclaration", true}}}}}};
  const int rounds = options.quick ? 7 : 15;
  constexpr int kEach = 100;
  for (const auto& kind : kinds) {
    std::vector<std::vector<double>> p50(2), p99(2);
    std::vector<double> cpu(2);
    for (int round = 0; round <= rounds; ++round) {  // the first warms up
      for (std::size_t e = 0; e < editors.size(); ++e) {
        const auto used = [&] { return editors[e]->cpu_seconds() + (e == 0 ? bed.host().cpu_seconds() : 0); };
        const double before = used();
        std::vector<double> times;
        for (int i = 0; i < kEach; ++i)
          times.push_back(editors[e]->timed(kind.method, bed.uri(), kLine, kind.character, kind.more));
        if (round == 0) continue;
        cpu[e] += used() - before;
        std::sort(times.begin(), times.end());
        p50[e].push_back(times[times.size() / 2]);
        p99[e].push_back(times[times.size() * 99 / 100]);
      }
    }
    const std::string workload = std::string("lsp.") + kind.name + (polling ? " polling" : "");
    const char* const goals[] = {polling ? "goal: at most 1.05" : "goal: at most 1.15",
                                 polling ? "goal: at most 1.05" : "goal: at most 1.25"};
    const double thousands = rounds * kEach / 1000.0;
    for (std::size_t e = 0; e < editors.size(); ++e) {
      const std::string note = e == 0 ? "CPU: host and shim" : "CPU: clangd";
      rows.push_back(Row{workload,
                         editors[e]->name(),
                         "CPU of 1,000",
                         "ms",
                         "lower",
                         {cpu[e] / thousands * 1000},
                         0,
                         e == 0 ? "host and shim" : "clangd"});
      rows.push_back(Row{workload, editors[e]->name(), "p50", "us", "lower", p50[e], cpu[e], note});
      rows.push_back(Row{workload, editors[e]->name(), "p99", "us", "lower", p99[e], 0, {}});
    }
    std::vector<double> half, most;
    for (int i = 0; i < rounds; ++i) {
      half.push_back(p50[0][i] / p50[1][i]);
      most.push_back(p99[0][i] / p99[1][i]);
    }
    rows.push_back(Row{workload, "gantry", "p50 to direct", "x", "lower", half, 0, goals[0]});
    rows.push_back(Row{workload, "gantry", "p99 to direct", "x", "lower", most, 0, goals[1]});
  }
}

void first_diagnostics(const Options& options, std::vector<Row>& rows) {
  const Bed bed(options);
  Row ours{"lsp.first", "gantry", "first diagnostics, cold", "s", "lower", {}, 0, "the host runs; CPU: host"};
  Row direct{"lsp.first", "direct", "first diagnostics, cold", "s", "lower", {}, 0, {}};
  Row ratio{"lsp.first", "gantry", "ratio to direct", "x", "lower", {}, 0, "goal: at most 1.1"};
  const int rounds = options.quick ? 5 : 15;
  const double before = bed.host().cpu_seconds();
  for (int round = 0; round <= rounds; ++round) {  // the first warms the disk up
    double times[2] = {};
    for (int way = 0; way < 2; ++way) {
      const auto start = Clock::now();
      const auto editor = way == 0 ? bed.through_gantry() : Bed::direct();
      times[way] = bed.opened(*editor, start);
      editor->close();
    }
    if (round == 0) continue;
    ours.samples.push_back(times[0]);
    direct.samples.push_back(times[1]);
    ratio.samples.push_back(times[0] / times[1]);
  }
  ours.cpu_seconds = bed.host().cpu_seconds() - before;
  rows.insert(rows.end(), {ours, direct, ratio});
}

/// When `pss_mib` changes no more: clangd indexes its standard library for some seconds after the first file.
template <class F>
[[nodiscard]] double settled(const F& pss_mib) {
  double now = pss_mib();
  for (int quiet = 0, looks = 0; quiet < 3 && looks < 30; ++looks) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const double before = std::exchange(now, pss_mib());
    quiet = std::abs(now - before) < 0.5 ? quiet + 1 : 0;
  }
  return now;
}

void five_editors(const Options& options, std::vector<Row>& rows) {
  Row late{"lsp.five",
           "gantry",
           "second to fifth editor: first diagnostics to the first editor's",
           "x",
           "lower",
           {},
           0,
           "one root, one text; goal: at most 0.2"};
  Row memory{"lsp.five", "gantry", "servers and shims of five", "MiB", "lower", {}, 0, "PSS"};
  Row one{"lsp.five", "direct", "one clangd", "MiB", "lower", {}, 0, "PSS, the same text open"};
  Row ratio{"lsp.five", "gantry", "memory to one clangd", "x", "lower", {}, 0, "goal: at most 1.15"};
  Row host{"lsp.five", "gantry", "the host", "MiB", "lower", {}, 0, "PSS"};
  const int rounds = options.quick ? 3 : 9;
  for (int round = 0; round < rounds; ++round) {
    const Bed bed(options);
    std::vector<std::unique_ptr<Editor>> editors;
    double cold = 0;
    for (int i = 0; i < kEditors; ++i) {
      const auto start = Clock::now();
      editors.push_back(bed.through_gantry());
      const double time = bed.opened(*editors.back(), start);
      if (i == 0) cold = time;
      if (i > 0) late.samples.push_back(time / cold);
    }
    double ours = settled([&] { return bed.servers_pss_mib(); });
    for (const auto& editor : editors) ours += editor->pss_mib();
    const auto alone = Bed::direct();
    (void)bed.opened(*alone, Clock::now());
    const double direct = settled([&] { return alone->pss_mib(); });
    memory.samples.push_back(ours);
    one.samples.push_back(direct);
    ratio.samples.push_back(ours / direct);
    host.samples.push_back(bed.host().pss_mib());
  }
  rows.insert(rows.end(), {late, memory, one, ratio, host});
}

}  // namespace

void lsp(const Options& options, std::vector<Row>& rows) {
  for (const bool polling : {false, true}) requests(options, polling, rows);
  first_diagnostics(options, rows);
  five_editors(options, rows);
}

}  // namespace bench
