// SPDX-License-Identifier: Apache-2.0
//
// A daemon with some of the plugins that exist only for tests, by their paths.
#pragma once

#include "tests/folders.hpp"
#include "tests/unit/support/host.hpp"

namespace gantry::host::test {

class PluginSet {
  TempDir dir_;  // before the daemon, whose plugins write into it

  // In the plugins' settings % stands for the folder of this test.
  [[nodiscard]] std::string resolve(std::string text) const {
    for (auto at = text.find("%/"); at != std::string::npos; at = text.find("%/")) text.replace(at, 1, dir_.path());
    return text;
  }
  TestDaemon daemon_;

 public:
  PluginSet(const std::vector<std::string>& names, Isolation isolation, const std::function<void(Config&)>& change = {},
            bool watch = false)
      : daemon_(
            [&](Config& c) {
              for (const auto& name : names) {
                c.plugins[name].path = gantry::folders::build() + "/tests/plugins/more/" + name + ".so";
                c.plugins[name].isolation = isolation;
                c.plugins[name].grants = {"write:" + dir_.path().string(), "publish:**", "subscribe:**", "call:**"};
              }
              if (change) change(c);
              for (auto& [name, entry] : c.plugins) entry.settings = json::parse(resolve(entry.settings.dump()));
            },
            false, watch),
        timers(daemon_.timers) {}

  [[nodiscard]] Daemon& daemon() { return daemon_.daemon(); }
  [[nodiscard]] TestDaemon& test() { return daemon_; }
  [[nodiscard]] std::string file(const std::string& name) const { return dir_.path() / name; }
  [[nodiscard]] std::vector<std::string> lines(const std::string& name) const {
    std::ifstream in(file(name));
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  TestDaemon::Begun begin(const std::string& method, const json& params = json::object()) {
    return daemon_.begin(method, params);
  }
  [[nodiscard]] Result<json> call(const std::string& method, const json& params = json::object()) {
    return daemon_.call(method, params);
  }
  [[nodiscard]] json entry(const std::string& name) {
    for (auto& plugin : *call("host.plugins")) {
      if (plugin["name"] == name) return plugin;
    }
    return nullptr;
  }
  void advance_to_next(Duration within) { daemon_.advance_to_next(within); }
  /// As advance_to_next(), unless `over` becomes true first.
  template <class F>
  void advance_to_next_or(Duration within, F&& over) {
    std::optional<Duration> next;
    eventually("a timer, or the end", [&] {
      next = timers.next_in();
      return over() || (next && *next <= within);
    });
    if (!over()) timers.advance(*next);
  }

  ManualTimers& timers;
};

}  // namespace gantry::host::test
