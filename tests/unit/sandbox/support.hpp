// SPDX-License-Identifier: Apache-2.0
//
// A daemon whose plugins prober and asker (tests/plugins/prober.cpp) run in processes of their own,
// confined to their grants.
#pragma once

#include <cerrno>

#include "tests/other_user.hpp"
#include "tests/unit/support/host.hpp"

namespace gantry::host::test {

struct ConfinedDaemon : TestDaemon {
  explicit ConfinedDaemon(const std::function<void(Config&)>& change = {})
      : TestDaemon([&](Config& c) {
          c.plugins["prober"].isolation = Isolation::child;
          c.plugins["asker"].isolation = Isolation::child;
          if (change) change(c);
        }) {}

  /// The errno that the system returned to the plugin; 0: the call succeeded.
  [[nodiscard]] int tried(const std::string& method, const json& params = json::object()) {
    const auto answer = call(method, params);
    if (!answer) FAIL(method << ": " << answer.error().message);
    return answer->at("errno");
  }
  [[nodiscard]] json entry(const std::string& plugin) {
    for (auto& e : *call("host.plugins")) {
      if (e["name"] == plugin) return e;
    }
    return nullptr;
  }
  /// Skips the test where this kernel does not support `what`.
  void needs(const std::string& what) {
    REQUIRE(call("prober.folder"));
    for (const auto& level : entry("prober")["enforced"]) {
      if (level.get<std::string>().starts_with(what)) return;
    }
    gantry::test::skip(("this kernel has no " + what).c_str());
  }
  [[nodiscard]] int landlock_version() {
    for (const auto& level : entry("prober")["enforced"]) {
      if (const auto text = level.get<std::string>(); text.starts_with("landlock:")) return std::stoi(text.substr(9));
    }
    return 0;
  }
};

[[nodiscard]] inline json at(const std::filesystem::path& path) { return json{{"path", path.string()}}; }

inline void put(const std::filesystem::path& file) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << "text";
}

/// For grants that are set before the daemon is built.
[[nodiscard]] inline std::function<void(Config&)> grants(std::vector<std::string> asker) {
  return [asker = std::move(asker)](Config& c) { c.plugins["asker"].grants = asker; };
}

}  // namespace gantry::host::test
