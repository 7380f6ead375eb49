// SPDX-License-Identifier: Apache-2.0
//
// gantry-bench BUILD_DIR [FILTER...] [--json FILE] [--quick]: runs the workloads whose names hold a filter and prints
// rows.
#include <cstdio>
#include <fstream>

#include "support.hpp"

int main(int argc, char** argv) {
  bench::Options options;
  std::vector<std::string> filters;
  std::string json_file;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick") {
      options.quick = true;
    } else if (word == "--json" && i + 1 < argc) {
      json_file = argv[++i];
    } else if (options.build_dir.empty()) {
      options.build_dir = word;
    } else {
      filters.push_back(word);
    }
  }
  const std::vector<std::pair<std::string, void (*)(const bench::Options&, std::vector<bench::Row>&)>> workloads{
      {"cold_start", bench::cold_start}, {"idle", bench::idle}, {"hover", bench::hover}};
  std::vector<bench::Row> rows;
  bool failed = false;
  for (const auto& [name, run] : workloads) {
    const bool wanted = filters.empty() || std::any_of(filters.begin(), filters.end(), [&, n = name](const auto& f) {
                          return n.find(f) != std::string::npos;
                        });
    if (!wanted) continue;
    try {
      run(options, rows);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
      failed = true;
    }
  }
  bench::json all = bench::json::array();
  std::printf("%-11s %-11s %-22s %10s %10s %10s %4s %8s  %s\n", "workload", "peer", "metric", "min", "median", "max",
              "n", "cpu s", "note");
  for (const auto& row : rows) {
    const auto j = row.to_json();
    all.push_back(j);
    std::printf("%-11s %-11s %-22s %10.3f %10.3f %10.3f %4zu %8.3f  %s\n", row.workload.c_str(), row.peer.c_str(),
                (row.metric + ", " + row.unit).c_str(), j["min"].get<double>(), j["median"].get<double>(),
                j["max"].get<double>(), row.samples.size(), row.cpu_seconds, row.note.c_str());
  }
  if (!json_file.empty()) std::ofstream(json_file) << all.dump(2) << "\n";
  return failed ? 1 : 0;
}
