// SPDX-License-Identifier: Apache-2.0
//
// A hover in clangd, reached four ways: directly; through two bare relay processes; through `gantry lsp`. Each way has
// a clangd of its own on the same file; rounds are interleaved.
#include <unistd.h>

#include <fstream>
#include <memory>

#include "tests/bench/lsp_editor.hpp"

namespace bench {

namespace {

constexpr const char* kText = R"(#include <string>
#include <vector>
/// Adds up.
int add(int a, int b) { return a + b; }
int main() { std::vector<std::string> words; return add(1, 2) + static_cast<int>(words.size()); }
)";

}  // namespace

void hover(const Options& options, std::vector<Row>& rows) {
  const std::string root = temp_dir();
  const std::string dir = temp_dir();
  std::ofstream(root + "/main.cpp") << kText;
  std::ofstream(root + "/compile_flags.txt") << "-std=c++20\n";
  // It indexes the standard library beside the first thousands of hovers otherwise.
  std::ofstream(root + "/.clangd") << "Index:\n  StandardLibrary: No\n";
  const std::string uri = "file://" + root + "/main.cpp";
  const std::string relay = options.build_dir + "/bench/relay";
  const std::string clangd = "clangd-19";
  Child host({options.build_dir + "/gantry", "serve", "--socket", dir + "/g.sock", "--ready-fd", "1"},
             {"GANTRY_STATE_DIR=" + dir + "/state"}, false);
  ::close(connect_soon(dir + "/g.sock"));
  std::vector<std::unique_ptr<Editor>> editors;
  editors.push_back(std::make_unique<Editor>(
      "gantry",
      std::vector<std::string>{options.build_dir + "/gantry", "lsp", "--socket", dir + "/g.sock", "--no-start"},
      std::vector<std::string>{"GANTRY_STATE_DIR=" + dir + "/state"}));
  editors.push_back(std::make_unique<Editor>("two relays", std::vector<std::string>{relay, relay, clangd},
                                             std::vector<std::string>{}));
  editors.push_back(std::make_unique<Editor>("direct", std::vector<std::string>{clangd}, std::vector<std::string>{}));
  std::vector<Row> found;
  for (auto& editor : editors) {
    editor->open(root, uri, kText);
    for (int i = 0; i < 50; ++i) (void)editor->hover(uri, 4, 52);
    found.push_back(
        Row{"hover", editor->name(), "p50", "us", "lower", {}, 0, "clangd-19, one small file, polling off"});
  }
  const int rounds = options.quick ? 7 : 15;
  const double host_before = host.cpu_seconds();
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t e = 0; e < editors.size(); ++e) {
      std::vector<double> times;
      for (int i = 0; i < 100; ++i) times.push_back(editors[e]->hover(uri, 4, 52));
      found[e].samples.push_back(median(times));
    }
  }
  found[0].cpu_seconds = host.cpu_seconds() - host_before + editors[0]->cpu_seconds();
  found[0].note += "; CPU: host and shim";
  found[1].cpu_seconds = editors[1]->cpu_seconds();
  found[1].note += "; CPU: the outer relay alone";
  found[2].cpu_seconds = editors[2]->cpu_seconds();
  found[2].note += "; CPU: clangd";
  std::vector<double> ratios;
  for (std::size_t i = 0; i < found[0].samples.size(); ++i) ratios.push_back(found[0].samples[i] / found[1].samples[i]);
  rows.insert(rows.end(), found.begin(), found.end());
  rows.push_back(Row{"hover", "gantry", "ratio to two relays", "x", "lower", ratios, 0, "goal: at most 1.05"});
}

}  // namespace bench
