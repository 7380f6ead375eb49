// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/report.hpp"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <ctime>

namespace bench {

namespace {

[[nodiscard, gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  std::va_list arguments;
  va_start(arguments, pattern);
  std::array<char, 1024> text{};
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return text.data();
}

/// Three figures that count.
[[nodiscard]] std::string figure(double value) {
  const double size = std::abs(value);
  return format(size >= 99.95 ? "%.0f" : size >= 9.995 ? "%.1f" : size >= 0.9995 ? "%.2f" : "%.3f", value);
}

[[nodiscard]] std::string with_commas(double value) {
  std::string text = format("%.0f", value);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

/// peer, median, min..max, CPU ns, RSS MiB, ratio of Gantry to it, note
[[nodiscard]] std::vector<std::string> cells(const Measured& row, const Group& group) {
  if (!row.failure.empty()) return {row.label, "failed", "", "", "", "", row.failure.substr(0, row.failure.find('\n'))};
  const bool rate = group.workload.unit == Unit::kRate;
  const auto values = row.each([&](const Run& run) { return rate ? run.speed() / 1e6 : 1e9 / run.speed(); });
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const double p99 = median(row.each([](const Run& run) { return run.p99_ns; }));
  const double client = median(row.each([](const Run& run) { return run.client_cpu_seconds / run.ops * 1e9; }));
  const std::string before = (p99 > 0 ? "p99 " + with_commas(p99) + " ns; " : "") +
                             (client > 0 ? "client's CPU " + with_commas(client) + " ns; " : "");
  std::string ratio;
  for (const auto& ours : group.rows) {
    if (ours.label == "gantry" && ours.failure.empty() && &ours != &row)
      ratio = figure(ours.speed() / row.speed()) + "x";
  }
  return {row.label,
          figure(median(values)),
          figure(*least) + ".." + figure(*most),
          figure(median(row.each([](const Run& run) { return run.cpu_seconds / run.ops * 1e9; }))),
          figure(median(row.each([](const Run& run) { return run.max_rss_mib; }))),
          ratio,
          before + row.note};
}

[[nodiscard]] std::string title(const Group& group) {
  const auto& w = group.workload;
  const bool timed = !group.rows.empty() && !group.rows.front().runs.empty() && group.rows.front().runs[0].p50_ns > 0;
  std::string text = w.unit == Unit::kRate ? "million/s, higher is better"
                     : timed               ? "p50 of a call in ns, lower is better"
                                           : "ns per operation, lower is better";
  text += w.one_core ? "; one core" : "; all cores";
  text += "; up to " + with_commas(group.rows.empty() ? w.ops : group.rows.front().ops) + " operations a round";
  if (group.spin > 1.1) text += format("; NOISY: the fixed loop took %.2fx its best here", group.spin);
  return text;
}

[[nodiscard]] std::string now() {
  const std::time_t at = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&at, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &utc);
  return text.data();
}

[[nodiscard]] std::string goals_words(const std::vector<Group>& groups) {
  std::size_t met = 0;
  std::size_t all = 0;
  std::string missed;
  for (const auto& group : groups) {
    for (const auto& outcome : group.outcomes) {
      ++all;
      met += outcome.met() ? 1 : 0;
      if (!outcome.met()) missed += "\n- " + group.workload.name + ": " + outcome.words();
    }
  }
  if (all == 0) return "No goal to compare: no row of Gantry beside a peer.";
  return std::to_string(met) + " of " + std::to_string(all) + " goals met" +
         (missed.empty() ? "." : "; missed:\n" + missed);
}

}  // namespace

void print(const Group& group) {
  std::printf("\n%s: %s\n", group.workload.name.c_str(), title(group).c_str());
  std::printf("  %-26s %9s %17s %10s %8s %8s  %s\n", "peer", "median", "min..max", "CPU ns/op", "RSS MiB", "gantry",
              "note");
  for (const auto& row : group.rows) {
    const auto c = cells(row, group);
    std::printf("  %-26s %9s %17s %10s %8s %8s  %s\n", c[0].c_str(), c[1].c_str(), c[2].c_str(), c[3].c_str(),
                c[4].c_str(), c[5].c_str(), c[6].c_str());
  }
  for (const auto& label : group.missing) std::printf("  %-26s %9s\n", label.c_str(), "missing");
  for (const auto& outcome : group.outcomes) std::printf("  goal: %s\n", outcome.words().c_str());
  for (const auto& peer : group.unmeasured) std::printf("  goal: %s: NOT MEASURED\n", peer.c_str());
  std::fflush(stdout);
}

void print(const std::vector<Row>& rows) {
  if (rows.empty()) return;
  std::printf("\n%-11s %-11s %-22s %10s %10s %10s %4s %8s  %s\n", "workload", "peer", "metric", "min", "median", "max",
              "n", "cpu s", "note");
  for (const auto& row : rows) {
    const auto j = row.to_json();
    std::printf("%-11s %-11s %-22s %10.3f %10.3f %10.3f %4zu %8.3f  %s\n", row.workload.c_str(), row.peer.c_str(),
                (row.metric + ", " + row.unit).c_str(), j["min"].get<double>(), j["median"].get<double>(),
                j["max"].get<double>(), row.samples.size(), row.cpu_seconds, row.note.c_str());
  }
}

void print_goals(const std::vector<Group>& groups) { std::printf("\n%s\n", goals_words(groups).c_str()); }

std::string markdown(const Report& report) {
  std::string text = "# `./dev bench`, " + now() + (report.quick ? ", quick" : "") + "\n\n" + report.machine + "\n\n" +
                     "Machine: " + report.noise + "\n\n" + goals_words(report.groups) + "\n";
  if (!report.rows.empty()) {
    text +=
        "\n| workload | peer | metric | min | median | max | n | CPU s | note "
        "|\n|---|---|---|--:|--:|--:|--:|--:|---|\n";
    for (const auto& row : report.rows) {
      const auto j = row.to_json();
      text += "| " + row.workload + " | " + row.peer + " | " + row.metric + ", " + row.unit + " | " +
              figure(j["min"].get<double>()) + " | " + figure(row.median()) + " | " + figure(j["max"].get<double>()) +
              " | " + std::to_string(row.samples.size()) + " | " + figure(row.cpu_seconds) + " | " + row.note + " |\n";
    }
  }
  for (const auto& group : report.groups) {
    text += "\n## " + group.workload.name + "\n\n" + title(group) + "\n\n" +
            "| peer | median | min..max | CPU ns/op | RSS MiB | Gantry is | note |\n|---|--:|--:|--:|--:|--:|---|\n";
    for (const auto& row : group.rows) {
      for (const auto& cell : cells(row, group)) text += "| " + cell + " ";
      text += "|\n";
    }
    for (const auto& label : group.missing) text += "| " + label + " | missing | | | | | not installed |\n";
    for (const auto& outcome : group.outcomes) text += "\n- " + outcome.words();
    for (const auto& peer : group.unmeasured) text += "\n- " + peer + ": NOT MEASURED";
    if (!group.outcomes.empty() || !group.unmeasured.empty()) text += "\n";
  }
  return text;
}

}  // namespace bench
