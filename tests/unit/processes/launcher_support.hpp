// SPDX-License-Identifier: Apache-2.0
//
// A daemon with the plugins "keeper", which may have helper processes, and "loafer", which may not
// (tests/plugins/keeper.cpp).
#pragma once

#include <signal.h>

#include "tests/unit/support/host.hpp"

namespace gantry::host::test {

/// Prints the pid of a process that has left its group, its session and its parent, then its own
/// pid, and stays.
inline const json kWithDaemon{"sh", "-c", "(setsid sleep 1000 >/dev/null 2>&1 & echo $!); echo $$; exec sleep 1000"};

struct KeeperDaemon : TestDaemon {
  explicit KeeperDaemon(const std::function<void(Config&)>& change = {})
      : TestDaemon([&change](Config& c) {
          c.plugins["plain"].enabled = false;  // starts with the host, and would set a limit
          if (change) change(c);
        }) {}

  [[nodiscard]] Result<json> try_spawn(const std::string& name, const json& argv, json more = json::object()) {
    more["name"] = name;
    more["argv"] = argv;
    return call("keeper.spawn", more);
  }
  json spawn(const std::string& name, const json& argv, const json& more = json::object()) {
    const auto answer = try_spawn(name, argv, more);
    if (!answer) FAIL(answer.error().message);
    return *answer;
  }
  void write(const std::string& name, const std::string& text) {
    REQUIRE(call("keeper.writes", {{"name", name}, {"text", text}}));
  }
  [[nodiscard]] std::string line(const std::string& name, int from = 1) {
    const auto answer = call("keeper.reads", {{"name", name}, {"from", from}});
    if (!answer) FAIL(answer.error().message);
    return answer->at("line");
  }
  [[nodiscard]] int number(const std::string& name) { return std::stoi(line(name)); }
  [[nodiscard]] Result<json> ask(const std::string& method, json params) {
    params["of"] = method;
    return call("keeper.ask", params);
  }
  [[nodiscard]] Result<json> wait(const std::string& name) { return ask("process.wait", {{"name", name}}); }
  /// The first line that a program prints.
  [[nodiscard]] std::string says(const json& argv, const json& more = json::object(), int from = 1) {
    const std::string name = "once " + std::to_string(++once_);
    (void)spawn(name, argv, more);
    return line(name, from);
  }

 private:
  int once_ = 0;
};

inline void as_child(Config& c) { c.plugins["keeper"].isolation = Isolation::child; }

}  // namespace gantry::host::test
