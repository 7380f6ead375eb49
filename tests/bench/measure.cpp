// SPDX-License-Identifier: Apache-2.0
//
// A first run of a twentieth finds out whether the program works and how long a round would take: a slow one gets fewer
// operations. Then the rounds are interleaved, each beginning with another program, so that a change of the machine's
// speed meets all of them. Ratios are taken within a round.
#include "tests/bench/measure.hpp"

#include <algorithm>
#include <cmath>

namespace bench {

namespace {

struct Plan {
  int rounds;
  double scale;        ///< of the table's OPS
  double max_seconds;  ///< of a round; a burst or two may make it more
};

[[nodiscard]] Plan plan_of(const Options& options) { return options.quick ? Plan{3, 0.25, 0.25} : Plan{7, 1, 1.0}; }

[[nodiscard]] std::vector<Measured> candidates(const Workload& workload, const std::vector<Listed>& listed) {
  std::vector<Measured> rows;
  const bool by_itself =
      std::any_of(listed.begin(), listed.end(), [&](const Listed& one) { return one.workload == workload.argument; });
  for (const auto& one : listed) {
    if (one.workload == workload.argument) {
      rows.push_back({one, one.label(), one.note, 0, {}, {}});
      continue;
    }
    for (const auto& also : workload.also) {
      if (also.argument != one.workload) continue;
      const bool any_peer = also.program.empty() && by_itself && one.program != "gantry" && one.program != "limit";
      if (!any_peer && also.program != one.program) continue;
      rows.push_back({one, also.label.empty() ? one.label() : also.label, one.note, 0, {}, {}});
    }
  }
  return rows;
}

void probe(Measured& row, const Workload& workload, const Plan& plan) {
  row.ops = std::max(1.0, workload.ops * plan.scale);
  const Run first = run_program(row.listed, std::max(1.0, row.ops / 20), workload.one_core);
  const double expected = row.ops / first.speed();
  if (expected > plan.max_seconds) row.ops = std::max(1.0, row.ops * plan.max_seconds / expected);
}

void attempt(Measured& row, const std::function<void()>& step) {
  try {
    if (row.failure.empty()) step();
  } catch (const std::exception& e) {
    row.failure = e.what();
    while (!row.failure.empty() && row.failure.back() == '\n') row.failure.pop_back();
  }
}

/// A variant of a program that also has the plain workload is shown, but is nobody's goal.
[[nodiscard]] bool counts_as_peer(const Measured& row, const std::vector<Measured>& rows) {
  if (row.listed.program == "gantry" || row.listed.program == "limit" || !row.failure.empty()) return false;
  return row.listed.variant.empty() || std::none_of(rows.begin(), rows.end(), [&](const Measured& other) {
           return other.listed.program == row.listed.program && other.listed.variant.empty();
         });
}

[[nodiscard]] const Measured* opponent(const Goal& goal, const std::vector<Measured>& rows) {
  for (const auto& row : rows) {  // the fastest first
    const bool named = std::find(goal.peers.begin(), goal.peers.end(), row.label) != goal.peers.end();
    if (goal.peers.empty() ? counts_as_peer(row, rows) : named && row.failure.empty()) return &row;
  }
  return nullptr;
}

[[nodiscard]] Outcome compare(const Goal& goal, const Measured& ours, const Measured& theirs) {
  Outcome outcome{goal, theirs.label, {}, 0, goal.at_least};
  std::vector<double> ratios;
  const auto speed = [&](const Run& run) { return goal.cpu_at_most > 0 ? run.ops / run.cpu_seconds : run.speed(); };
  if (goal.cpu_at_most > 0) outcome.ratio_goal = 1 / goal.cpu_at_most;
  for (std::size_t i = 0; i < std::min(ours.runs.size(), theirs.runs.size()); ++i) {
    ratios.push_back(speed(ours.runs[i]) / speed(theirs.runs[i]));
    const double above = 1e9 / ours.runs[i].speed() - 1e9 / theirs.runs[i].speed();
    outcome.samples.push_back(goal.above_ns > 0 ? above : ratios.back());
  }
  outcome.ratio = median(ratios);
  if (goal.above_ns > 0) {
    const double floor = 1e9 / theirs.speed();
    outcome.ratio = floor / (floor + median(outcome.samples));
    outcome.ratio_goal = floor / (floor + goal.above_ns);
  }
  return outcome;
}

/// Beside a goal that nobody else has a part in.
[[nodiscard]] Outcome judge(const Goal& goal, const Measured& ours) {
  Outcome outcome{goal, "", ours.each([](const Run& run) { return 1e9 / run.speed(); }), 0, 1};
  outcome.ratio = goal.at_most_ns / median(outcome.samples);
  return outcome;
}

[[nodiscard]] std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), std::abs(value) < 10 ? "%.2f" : "%.1f", value);
  return text.data();
}

}  // namespace

std::vector<double> Measured::each(const std::function<double(const Run&)>& figure) const {
  std::vector<double> figures;
  for (const auto& run : runs) figures.push_back(figure(run));
  return figures;
}

std::string Outcome::words() const {
  const std::string who = peer == goal.words ? peer : goal.words + " (" + peer + ")";
  const std::string mine = goal.ours == "gantry" ? "" : goal.ours + ": ";
  std::string text;
  if (goal.at_most_ns > 0) {
    text = mine + number(median(samples)) + " ns, goal at most " + number(goal.at_most_ns) + ": ";
    return text + (met() ? "met" : "MISSED by " + number((1 - ratio) * 100) + " %");
  }
  if (goal.above_ns > 0) {
    text = mine + number(median(samples)) + " ns above " + who + ", goal at most " + number(goal.above_ns) + ": ";
    return text + (met() ? "met" : "MISSED by " + number(median(samples) - goal.above_ns) + " ns");
  }
  if (goal.cpu_at_most > 0) {
    text = mine + number(1 / ratio) + "x the CPU time of " + who + ", goal at most " + number(goal.cpu_at_most) + "x: ";
    return text + (met() ? "met" : "MISSED by " + number((1 - ratio / ratio_goal) * 100) + " %");
  }
  text = mine + number(ratio) + "x " + who + ", goal " + number(ratio_goal) + "x: ";
  return text + (met() ? "met" : "MISSED by " + number((1 - ratio / ratio_goal) * 100) + " %");
}

Group measure_rows(const Workload& workload, std::vector<Measured> measured, const Options& options,
                   const std::function<Run(Measured&)>& once) {
  Group group{workload, std::move(measured), {}, 1, {}, {}};
  auto& rows = group.rows;
  for (int round = 0; round < plan_of(options).rounds; ++round) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      auto& row = rows[(i + static_cast<std::size_t>(round)) % rows.size()];
      attempt(row, [&] { row.runs.push_back(once(row)); });
    }
  }
  std::sort(rows.begin(), rows.end(), [](const Measured& a, const Measured& b) { return a.speed() > b.speed(); });
  for (const auto& goal : workload.goals) {
    const auto ours =
        std::find_if(rows.begin(), rows.end(), [&](const Measured& row) { return row.label == goal.ours; });
    if (ours == rows.end() || !goal.gain_over.empty()) continue;
    if (goal.at_most_ns > 0) {
      if (ours->failure.empty()) group.outcomes.push_back(judge(goal, *ours));
      continue;
    }
    const Measured* theirs = ours->failure.empty() ? opponent(goal, rows) : nullptr;
    if (theirs != nullptr) {
      group.outcomes.push_back(compare(goal, *ours, *theirs));
    } else {
      group.unmeasured.push_back(goal.words);
    }
  }
  return group;
}

void judge_gains(Group& group, const std::vector<Group>& earlier) {
  for (const auto& goal : group.workload.goals) {
    if (goal.gain_over.empty()) continue;
    const auto before = std::find_if(earlier.begin(), earlier.end(),
                                     [&](const Group& one) { return one.workload.name == goal.gain_over; });
    const auto gain_of = [&](const std::string& label) {
      const auto speed_in = [&](const Group& in) {
        const auto row = std::find_if(in.rows.begin(), in.rows.end(),
                                      [&](const Measured& one) { return one.label == label && one.failure.empty(); });
        return row == in.rows.end() || row->runs.empty() ? 0 : row->speed();
      };
      const double base = before == earlier.end() ? 0 : speed_in(*before);
      return base > 0 ? speed_in(group) / base : 0;
    };
    const double theirs = gain_of(goal.peers.front());
    const double ours = gain_of(goal.ours);
    if (theirs > 0 && ours > 0) {
      group.outcomes.push_back({goal, goal.peers.front(), {ours / theirs}, ours / theirs, goal.at_least});
    } else {
      group.unmeasured.push_back(goal.words);
    }
  }
}

Group measure(const Workload& workload, const std::vector<Listed>& listed, const Options& options) {
  const Plan plan = plan_of(options);
  auto rows = candidates(workload, listed);
  for (auto& row : rows) attempt(row, [&] { probe(row, workload, plan); });
  return measure_rows(workload, std::move(rows), options,
                      [&](Measured& row) { return run_program(row.listed, row.ops, workload.one_core); });
}

std::vector<Row> to_rows(const Group& group) {
  const bool rate = group.workload.unit == Unit::kRate;
  const std::string& name = group.workload.name;
  std::vector<Row> all;
  for (const auto& row : group.rows) {
    if (row.runs.empty()) continue;
    double cpu = 0;
    for (const auto& run : row.runs) cpu += run.cpu_seconds;
    if (rate)
      all.push_back({name, row.label, "throughput", "M/s", "higher",
                     row.each([](const Run& r) { return r.speed() / 1e6; }), cpu, row.note});
    else
      all.push_back({name, row.label, row.runs.front().p50_ns > 0 ? "p50" : "time", "ns", "lower",
                     row.each([](const Run& r) { return 1e9 / r.speed(); }), cpu, row.note});
    if (row.runs.front().p99_ns > 0)
      all.push_back(
          {name, row.label, "p99", "ns", "lower", row.each([](const Run& r) { return r.p99_ns; }), cpu, row.note});
    const auto cpu_ns = [](const Run& r) { return r.cpu_seconds / r.ops * 1e9; };
    all.push_back({name, row.label, "CPU per operation", "ns", "lower", row.each(cpu_ns), cpu, row.note});
    if (row.runs.front().client_cpu_seconds > 0) {
      const auto client_ns = [](const Run& r) { return r.client_cpu_seconds / r.ops * 1e9; };
      all.push_back({name, row.label, "client's CPU per operation", "ns", "lower", row.each(client_ns), cpu, row.note});
    }
    all.push_back({name, row.label, "max RSS", "MiB", "lower", row.each([](const Run& r) { return r.max_rss_mib; }),
                   cpu, row.note});
  }
  for (const auto& outcome : group.outcomes) {
    if (outcome.goal.at_most_ns > 0) continue;  // the row says it
    const bool above = outcome.goal.above_ns > 0;
    all.push_back({name, outcome.goal.ours,
                   (above                          ? "time above "
                    : outcome.goal.cpu_at_most > 0 ? "CPU ratio to "
                                                   : "speed ratio to ") +
                       outcome.peer,
                   above ? "ns" : "x", above ? "lower" : "higher", outcome.samples, 0, outcome.words()});
  }
  return all;
}

}  // namespace bench
