// SPDX-License-Identifier: Apache-2.0
//
// The host's launcher alone, for plugins that are tested without a host.
#pragma once

#include <filesystem>
#include <gantry/testing.hpp>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "host/processes/launcher.hpp"
#include "tests/folders.hpp"

namespace gantry::host::test {

/// A launcher with its dependencies, without a host.
class LauncherAlone {
 public:
  static constexpr OriginId kOrigin = 1;

  explicit LauncherAlone(LauncherLimits limits = {})
      : log_(Log::open_or_stderr([] {
          LogOptions options;
          options.to_stderr = false;
          return options;
        }())),
        launcher_(LauncherDeps{workers_, workers_.timers(), spawner_, pool_, bus_, *log_,
                               gantry::folders::build() + "/gantry",
                               [this](const std::string&) -> Result<Confinement> {
                                 return Confinement{folder_.string(), {"/"}, {"/"}, true, true, {}};
                               },
                               limits}),
        thread_([this] { (void)workers_.run([](std::string_view) {}); }) {
    std::string pattern = (std::filesystem::temp_directory_path() / "gantry-helpers-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) folder_ = pattern;
  }
  LauncherAlone(const LauncherAlone&) = delete;
  LauncherAlone& operator=(const LauncherAlone&) = delete;
  ~LauncherAlone() {
    (void)launcher_.stop(std::chrono::seconds(20));
    workers_.stop();
    thread_.join();
    (void)pool_.stop();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  [[nodiscard]] Launcher& launcher() { return launcher_; }
  /// The test host that was served is about to go: it gets no more answers. Its helpers stay for the next one for
  /// Launcher::kUnclaimed.
  void leave() { launcher_.leave(kOrigin); }

  void call(OriginId origin, const std::string& method, const json& params, const std::shared_ptr<CallSink>& sink) {
    CallRequest request;
    request.method = method;
    request.params = params.dump();
    request.origin = origin;
    launcher_.call(request, sink);
  }
  /// A call of the test host that is served.
  void call(const std::string& method, const json& params, testing::Reply reply) {
    call(kOrigin, method, params, std::make_shared<Sink>(std::move(reply)));
  }

 private:
  class Sink final : public CallSink {
   public:
    explicit Sink(testing::Reply reply) : reply_(std::move(reply)) {}
    void item(std::string_view) override {}
    void item_end() override {}
    void credit(std::uint32_t) override {}
    void progress(std::string_view) override {}
    void answered(Result<Answer> answer) override {
      if (!answer) return reply_(std::unexpected(answer.error()));
      reply_(CallAnswer{json::parse(answer->text), std::move(answer->descriptors)});
    }

   private:
    const testing::Reply reply_;
  };

  std::filesystem::path folder_;
  std::shared_ptr<Log> log_;
  Workers workers_{1};
  Spawner spawner_;
  EventBus bus_{"test", 100, [](const DeadLetter&) {}};
  WorkerPool pool_{4, 100, [](std::string_view) {}};
  Launcher launcher_;
  std::thread thread_;
};

/// Answers the `process.*` calls of a plugin that is tested without a host. The plugin has all
/// rights of its user. `alone`: of several test hosts in turn, whose helpers the next one meets.
inline void serve_processes(testing::TestHost& host, const std::string& plugin,
                            const std::shared_ptr<LauncherAlone>& alone = std::make_shared<LauncherAlone>()) {
  alone->launcher().join(LauncherAlone::kOrigin, plugin, false);
  for (const auto& method : Launcher::methods()) {
    host.on_call(method.name, [alone, name = method.name](const json& params, testing::Reply reply) {
      alone->call(name, params, std::move(reply));
    });
  }
}

}  // namespace gantry::host::test
