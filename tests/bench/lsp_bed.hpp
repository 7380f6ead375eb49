// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/lsp_bed.hpp: a project of one file, and a host that runs with it as its workspace.
#pragma once

#include <unistd.h>

#include <cmath>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/lsp_editor.hpp"

namespace bench {

constexpr const char* kServer = "clangd-19";

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
inline constexpr int kLine = 11;
inline constexpr int kAdd = 33;     // `add` in main()
inline constexpr int kMember = 79;  // behind `words.`

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
  /// The processes below the host: the servers, and what guards them.
  [[nodiscard]] double servers_pss_mib() const { return tree_pss_mib(host_->pid()) - host_->pss_mib(); }
  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] const std::string& gantry() const { return gantry_; }
  [[nodiscard]] std::string uri() const { return "file://" + root_ + "/main.cpp"; }
  [[nodiscard]] const Child& host() const { return *host_; }
  [[nodiscard]] std::string socket() const { return dir_ + "/g.sock"; }
  [[nodiscard]] std::vector<std::string> environment() const { return {"GANTRY_STATE_DIR=" + dir_ + "/state"}; }

 private:
  const std::string gantry_, root_, dir_;
  std::unique_ptr<Child> host_;
};

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

}  // namespace bench
