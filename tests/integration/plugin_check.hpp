// SPDX-License-Identifier: Apache-2.0
//
// Runs `gantry plugin check` in a test.
#pragma once

#include <map>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

namespace gantry::host::test {

inline const fs::path kTestPlugins = gantry::folders::build() + "/tests/plugins";

struct Checked {
  int code = -1;
  json document;
  [[nodiscard]] std::string status(const std::string& name) const { return of(name).value("status", "not run"); }
  [[nodiscard]] json of(const std::string& name) const {
    for (const auto& one : document["cases"]) {
      if (one["case"] == name) return one;
    }
    return json::object();
  }
  [[nodiscard]] std::vector<std::string> failed() const {
    std::vector<std::string> out;
    for (const auto& one : document["cases"]) {
      if (one["status"] != "passed" && one["status"] != "warning" && one["status"] != "skipped")
        out.push_back(one["case"]);
    }
    return out;
  }
};

/// Runs the cases in `only`; empty: all cases.
inline Checked check(Sandbox& box, const fs::path& library, const std::vector<std::string>& only = {},
                     std::vector<std::string> more = {}) {
  std::vector<std::string> words{"plugin", "check", library.string(), "--json"};
  for (const auto& name : only) words.insert(words.end(), {"--only", name});
  words.insert(words.end(), more.begin(), more.end());
  const auto ran = box.run(words);
  INFO(ran.err);
  INFO(ran.out);
  Checked out;
  out.code = ran.code;
  out.document = json::parse(ran.out, nullptr, false);
  REQUIRE(out.document.is_object());
  return out;
}

}  // namespace gantry::host::test
