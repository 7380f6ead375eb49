// SPDX-License-Identifier: Apache-2.0
//
// gantry-bench BUILD_DIR [FILTER...] [--json FILE] [--markdown FILE] [--quick]: runs the workloads whose names hold a
// filter and prints their rows. Beside the JSON file goes a plot of the same name that ends in .svg. The Markdown is
// what docs/performance-tables.md consists of.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/bench/echo.hpp"
#include "tests/bench/noise.hpp"
#include "tests/bench/report.hpp"

namespace {

using namespace bench;

struct Arguments {
  Options options;
  std::vector<std::string> filters;
  std::string json_file, markdown_file;
  [[nodiscard]] bool wants(const std::string& name) const {
    return filters.empty() || std::any_of(filters.begin(), filters.end(),
                                          [&](const auto& filter) { return name.find(filter) != std::string::npos; });
  }
};

[[nodiscard]] Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick") {
      arguments.options.quick = true;
    } else if (word == "--json" && i + 1 < argc) {
      arguments.json_file = argv[++i];
    } else if (word == "--markdown" && i + 1 < argc) {
      arguments.markdown_file = argv[++i];
    } else if (arguments.options.build_dir.empty()) {
      arguments.options.build_dir = word;
    } else {
      arguments.filters.push_back(word);
    }
  }
  return arguments;
}

/// The host's own workloads. Returns whether all went well.
[[nodiscard]] bool measure_host(const Arguments& arguments, std::vector<Row>& rows) {
  bool well = true;
  const std::vector<std::pair<std::string, void (*)(const Options&, std::vector<Row>&)>> all{
      {"cold_start", cold_start}, {"idle", idle},
      {"hover", hover},           {"lsp", lsp},
      {"lsp.blobs", lsp_blobs},   {"lsp.agents", lsp_agents},
      {"state", state},           {"turn.designs", turn_designs}};
  for (const auto& [name, run] : all) {
    if (!arguments.wants(name)) continue;
    try {
      run(arguments.options, rows);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
      well = false;
    }
  }
  print(rows);
  return well;
}

/// Prints it and keeps it. Returns whether all went well.
[[nodiscard]] bool keep(Group group, std::vector<Group>& groups) {
  bool well = true;
  print(group);
  for (const auto& row : group.rows) {
    if (row.failure.empty()) continue;
    std::fprintf(stderr, "%s, %s: %s\n", group.workload.name.c_str(), row.label.c_str(), row.failure.c_str());
    well = false;
  }
  groups.push_back(std::move(group));
  return well;
}

/// The workloads of programs. Returns whether all went well.
[[nodiscard]] bool measure_programs(const Arguments& arguments, Noise& noise, std::vector<Group>& groups) {
  bool well = true;
  const auto listed = list_programs(arguments.options.build_dir);
  for (const auto& workload : workloads(listed)) {
    if (!arguments.wants(workload.name)) continue;
    const double spin = noise.sample();
    Group group = measure(workload, listed, arguments.options);
    if (group.rows.empty()) continue;
    group.spin = std::max(spin, noise.sample());
    well = keep(std::move(group), groups) && well;
  }
  return well;
}

/// Calls through the socket. Returns whether all went well.
[[nodiscard]] bool measure_echo(const Arguments& arguments, Noise& noise, std::vector<Group>& groups) {
  bool well = true;
  for (const auto& echo : echo_workloads()) {
    if (!arguments.wants(echo.workload.name)) continue;
    const double spin = noise.sample();
    Group group = measure(echo, arguments.options);
    group.spin = std::max(spin, noise.sample());
    judge_gains(group, groups);
    well = keep(std::move(group), groups) && well;
  }
  return well;
}

void write_files(const Arguments& arguments, const Report& report, const Row& noise) {
  if (!arguments.json_file.empty()) {
    json all = json::array();
    for (const auto& row : report.rows) all.push_back(row.to_json());
    for (const auto& group : report.groups) {
      for (const auto& row : to_rows(group)) all.push_back(row.to_json());
    }
    if (!report.groups.empty()) all.push_back(noise.to_json());
    std::ofstream(arguments.json_file) << all.dump(2) << "\n";
    std::ofstream(std::filesystem::path(arguments.json_file).replace_extension(".svg")) << plot(report);
  }
  if (!arguments.markdown_file.empty()) std::ofstream(arguments.markdown_file) << markdown(report);
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  Report report{machine(), {}, arguments.options.quick, {}, {}};
  std::printf("%s\n", report.machine.c_str());
  try {
    Noise noise;
    (void)noise.sample();
    bool well = measure_host(arguments, report.rows);
    well = measure_echo(arguments, noise, report.groups) && well;
    well = measure_programs(arguments, noise, report.groups) && well;
    (void)noise.sample();
    report.noise = noise.words();
    if (!report.groups.empty()) print_goals(report.groups);
    std::printf("\nmachine: %s\n", report.noise.c_str());
    write_files(arguments, report, noise.row());
    return well ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gantry-bench: %s\n", e.what());
    return 1;
  }
}
