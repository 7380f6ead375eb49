// SPDX-License-Identifier: Apache-2.0
//
// A daemon with a plugin of which there are several builds.
#pragma once

#include <set>

#include "tests/folders.hpp"
#include "tests/unit/support/plugin_set.hpp"

namespace gantry::host::test {

namespace fs = std::filesystem;

struct Kind {
  std::string mode;
  Isolation isolation;
};
inline const std::vector<Kind> kKinds{{"overlap", Isolation::in_line},
                                      {"handover", Isolation::in_line},
                                      {"overlap", Isolation::child},
                                      {"handover", Isolation::child}};

/// A daemon with the plugin `swap`, whose library is the build that was put there last.
class Swapping {
  TempDir dir_;

 public:
  explicit Swapping(const Kind& kind, bool watch = false, const std::function<void(Config&)>& change = {})
      : mode(kind.mode),
        set(
            prepared(kind.mode), kind.isolation,
            [&](Config& c) {
              c.plugins["swap"].path = library().string();
              if (change) change(c);
            },
            watch) {}

  [[nodiscard]] fs::path library() const { return dir_.path() / "swap.so"; }
  /// Replaces the library as a linker does: by another file under the same name.
  void put(const std::string& build) const {
    const fs::path from = gantry::folders::build() + "/tests/plugins/more/swap_" + build;
    for (const char* kind : {".json", ".so"}) {
      const auto made = dir_.path() / (std::string("made") + kind);
      fs::copy_file(from.string() + kind, made, fs::copy_options::overwrite_existing);
      fs::rename(made, dir_.path() / (std::string("swap") + kind));
    }
  }
  void put_of_mode(const std::string& build) const { put(mode + "_" + build); }
  /// Sends numbers, as credit allows.
  static void send_numbers(const TestDaemon::Begun& stream, int from, int to) {
    for (int i = from; i < to; ++i) {
      eventually("credit", [&] { return stream.call->send_item(std::to_string(i)).has_value(); });
    }
  }
  /// Checks that the numbers came back in order, each once; returns the builds that have handled
  /// them.
  [[nodiscard]] static std::set<int> builds_of(const Recorder& recorder, int count) {
    std::set<int> builds;
    const auto items = recorder.items();
    REQUIRE(items.size() == static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
      const auto item = json::parse(items[static_cast<std::size_t>(i)]);
      REQUIRE(item["n"] == i);
      REQUIRE(item["item"] == i);
      builds.insert(item["build"].get<int>());
    }
    return builds;
  }
  Result<json> reload() { return set.call("plugin.reload", {{"name", "swap"}}); }
  [[nodiscard]] int build() { return set.call("swap.build").value()["build"]; }

  const std::string mode;
  PluginSet set;

 private:
  [[nodiscard]] std::vector<std::string> prepared(const std::string& of) const {
    put(of + "_1");
    return {"swap"};
  }
};

}  // namespace gantry::host::test
