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

/// A check that runs in that sandbox, which has no other meanwhile. Much of a check is waiting: several take hardly
/// longer than one.
class Checking {
 public:
  /// Of these cases; none: all.
  Checking(Sandbox& box, const fs::path& library, const std::vector<std::string>& only = {},
           const std::vector<std::string>& more = {})
      : box_(&box) {
    std::vector<std::string> words{"plugin", "check", library.string(), "--json"};
    for (const auto& name : only) words.insert(words.end(), {"--only", name});
    words.insert(words.end(), more.begin(), more.end());
    pid_ = box.start(words, "check");
  }
  [[nodiscard]] Checked wait() {
    Checked out;
    out.code = box_->wait(pid_);
    const auto said = box_->read("check.out");
    INFO(box_->read("check.err"));
    INFO(said);
    out.document = json::parse(said, nullptr, false);
    REQUIRE(out.document.is_object());
    return out;
  }

 private:
  Sandbox* box_;
  pid_t pid_ = -1;
};

inline Checked check(Sandbox& box, const fs::path& library, const std::vector<std::string>& only = {},
                     const std::vector<std::string>& more = {}) {
  return Checking(box, library, only, more).wait();
}

}  // namespace gantry::host::test
