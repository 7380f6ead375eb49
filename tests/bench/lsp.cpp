// SPDX-License-Identifier: Apache-2.0
//
// Editors behind `gantry lsp` beside a clangd that is driven directly: the time of requests, of the first diagnostics,
// of those of a second to fifth editor of one root, and the memory of five. Each way has a clangd of its own on the
// same file; rounds are interleaved.
#include <algorithm>
#include <memory>

#include "tests/bench/lsp_bed.hpp"

namespace bench {

namespace {

constexpr int kEditors = 5;

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
