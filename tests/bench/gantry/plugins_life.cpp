// SPDX-License-Identifier: Apache-2.0
//
// How long it takes until a killed process answers again, until a hundred plugins run, and until they are known.
#include <signal.h>

#include <fstream>
#include <gantry/channel/oneshot.hpp>

#include "host/services/plugin_spec.hpp"
#include "tests/bench/gantry/plugins.hpp"

namespace {

using namespace plugins;
using peer::Timer;
using peer::u64;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

struct Waiting final : CallSink {
  explicit Waiting(oneshot::Sender<Result<Answer>> to) : reply(std::move(to)) {}
  void item(std::string_view /*payload*/) override {}
  void item_end() override {}
  void credit(std::uint32_t /*items*/) override {}
  void progress(std::string_view /*payload*/) override {}
  void answered(Result<Answer> answer) override { (void)reply.send(std::move(answer)); }
  oneshot::Sender<Result<Answer>> reply;
};

/// As a client's call.
[[nodiscard]] bool answers(RunningHost& running, const char* method) {
  auto [reply, answer] = oneshot::channel<Result<Answer>>();
  CallRequest request;
  request.method = method;
  request.origin = 1;
  (void)running.daemon().router().call(std::move(request), std::make_shared<Waiting>(std::move(reply)));
  const auto got = answer.recv();
  return got && got->has_value();
}

// The first death of its period, as any but one that dies again and again.
u64 killed(u64 ops, Timer& timer) {
  RunningHost running([](Config& c) { use(c, "echo_thread", kPlugins / "echo_thread.so", true); });
  timer.start();
  for (u64 i = 0; i < ops; ++i) {
    peer::require(running.daemon().services().restart("echo_thread").has_value(), "it does not start");
    peer::require(answers(running, "echo_thread.echo"), "it does not answer");
    const auto pid = running.plugin("echo_thread")->pid();
    const auto begun = Clock::now();
    ::kill(*pid, SIGKILL);
    // To the microsecond: what is measured.
    while (running.daemon().services().instance("echo_thread")->peek() != nullptr) std::this_thread::yield();
    while (!answers(running, "echo_thread.echo")) {
    }
    timer.sample(std::chrono::duration<double, std::nano>(Clock::now() - begun).count());
  }
  timer.stop();
  return ops;
}

[[nodiscard]] std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// small_plugin_000 to small_plugin_NNN in a folder of their own.
void make_small_ones(const fs::path& folder, u64 count) {
  fs::create_directories(folder);
  for (const char* kind : {".so", ".json"}) {
    const std::string first = read(kPlugins / (std::string("small_plugin_000") + kind));
    for (u64 i = 0; i < count; ++i) {
      std::string digits = std::to_string(1000 + i);
      digits[0] = '_';
      std::string text = first;
      for (auto at = text.find("_000"); at != std::string::npos; at = text.find("_000", at + 1))
        text.replace(at, digits.size(), digits);
      std::ofstream(folder / ("small_plugin" + digits + kind), std::ios::binary) << text;
    }
  }
}

u64 load100(u64 ops, Timer& timer) {
  const Folder folder;
  make_small_ones(folder.path(), ops);
  RunningHost running([&](Config& c) {
    for (const auto& spec : find_plugins(folder.path(), {})) use(c, spec.name, spec.library);
  });
  auto& services = running.daemon().services();
  const auto known = services.status();
  timer.start();
  for (const auto& plugin : known) {
    const auto started = services.start(plugin.name);
    if (!started) peer::wrong(started.error().message);
  }
  timer.stop();
  return known.size();
}

u64 scan100(u64 ops, Timer& timer) {
  const Folder folder;
  make_small_ones(folder.path(), 100);
  timer.start();
  for (u64 i = 0; i < ops; i += 100) peer::require(find_plugins(folder.path(), {}).size() == 100, "not all were found");
  timer.stop();
  return (ops + 99) / 100 * 100;
}

}  // namespace

std::vector<peer::Workload> plugin_life() {
  return {{"plugin.killed", "from SIGKILL to the next answer; its process is started by the call", killed},
          {"plugin.load100", "a plugin of a hundred, one after the other: loaded, checked, created, started", load100},
          {"plugin.scan100", "a manifest of a hundred; memory of the whole program", scan100}};
}
