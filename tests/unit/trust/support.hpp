// SPDX-License-Identifier: Apache-2.0
//
// A daemon with the plugin `wanting` (tests/plugins/wanting.cpp), whose library is the build that
// was put there last and whose configuration grants nothing.
#pragma once

#include "tests/folders.hpp"
#include "tests/unit/support/plugin_set.hpp"

namespace gantry::host::test {

class WantingDaemon {
  TempDir dir_;

 public:
  explicit WantingDaemon(int build, const std::function<void(Config&)>& change = {}, bool watch = false)
      : daemon(
            [&](Config& c) {
              put(build);
              c.plugins["wanting"].path = library().string();
              if (change) change(c);
            },
            true, watch) {}

  [[nodiscard]] std::filesystem::path library() const { return dir_.path() / "wanting.so"; }
  /// Replaces the library as a linker does: by another file under the same name.
  void put(int build) const {
    const std::string from = gantry::folders::build() + "/tests/plugins/more/wanting_" + std::to_string(build);
    for (const char* kind : {".json", ".so"}) {
      const auto made = dir_.path() / (std::string("made") + kind);
      std::filesystem::copy_file(from + kind, made, std::filesystem::copy_options::overwrite_existing);
      std::filesystem::rename(made, dir_.path() / (std::string("wanting") + kind));
    }
  }
  [[nodiscard]] Result<json> call(const std::string& method, const json& params = json::object()) {
    return daemon.call(method, params);
  }
  [[nodiscard]] json entry() {
    for (auto& plugin : *call("host.plugins")) {
      if (plugin["name"] == "wanting") return plugin;
    }
    return nullptr;
  }
  [[nodiscard]] Result<json> trust(const json& grants) {
    return call("trust.plugin", {{"name", "wanting"}, {"grants", grants}});
  }
  [[nodiscard]] std::shared_ptr<Subscription> audit(const std::string& what) {
    auto subscribed = daemon.daemon().bus().subscribe({"host.audit." + what}, [] {});
    REQUIRE(subscribed);
    return subscribed->subscription;
  }
  [[nodiscard]] std::filesystem::path store() const { return daemon.dir() / "state" / "trust.json"; }

  TestDaemon daemon;
};

[[nodiscard]] inline json next_event(Subscription& events) {
  std::optional<Delivery> next;
  eventually("an event", [&] { return (next = events.take()).has_value(); });
  return json::parse(next->event.payload);
}

}  // namespace gantry::host::test
