// SPDX-License-Identifier: Apache-2.0
//
// A plugin is reloaded again and again under calls at a steady pace, in the real binary. The pace is the load itself:
// nothing waits for it. GANTRY_RELOAD_CALLS=N makes so many calls in each mode.
#include <atomic>
#include <iostream>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kCallEvery = 1ms;
constexpr auto kReloadEvery = 250ms;  // inline no build is ever closed, and a process takes 1000 of them
constexpr int kInFlight = 1000;       // a connection may have 1024

class Reloading {
 public:
  Reloading(std::string mode, std::string isolation) : mode_(std::move(mode)), isolation_(std::move(isolation)) {
    put(1);
    box_.write("g.toml", "[log]\nlevel = \"warn\"\n[plugins.swap]\npath = \"" + (box_.dir() / "swap.so").string() +
                             "\"\nisolation = \"" + isolation_ + "\"\ngrants = [\"read:workspace\"]\n");
    (void)box_.serve({"--config", (box_.dir() / "g.toml").string()});
    // Only what runs is there to be replaced: until then a library lies beside the manifest that the host has read.
    if (const auto runs = box_.connect().call("swap.build", json::object(), kTimeout); !runs)
      FAIL(runs.error().message);
  }

  void call_while_it_is_reloaded(int calls) {
    std::atomic<bool> over{false};
    std::string refused;
    std::thread reloader([&, client = box_.connect()]() mutable { refused = reload_until(over, client); });
    const auto wrong = call(calls);
    over = true;
    reloader.join();
    INFO(told());
    REQUIRE(wrong == "");
    REQUIRE(refused == "");
    REQUIRE(reloads_ > 0);
    REQUIRE(answered_ == calls);
    // Who hands over has counted every call once, through all its instances.
    if (mode_ == "handover") REQUIRE(counted_ == static_cast<std::int64_t>(calls) * (calls + 1) / 2);
  }
  [[nodiscard]] std::string told() {
    std::sort(ms_.begin(), ms_.end());
    const auto at = [&](double part) {
      return ms_.empty() ? 0 : ms_[static_cast<std::size_t>(static_cast<double>(ms_.size() - 1) * part)];
    };
    std::ostringstream out;
    out << mode_ << " " << isolation_ << ": " << answered_ << " calls answered, " << reloads_ << " reloads, ms p50 "
        << at(0.5) << ", p99 " << at(0.99) << ", p99.9 " << at(0.999) << ", longest " << at(1) << "\n";
    return out.str();
  }

 private:
  // As a linker does: another file under the same name.
  void put(int build) const {
    const fs::path from = gantry::folders::build() + "/tests/plugins/more/swap_" + mode_ + "_" + std::to_string(build);
    for (const char* kind : {".json", ".so"}) {
      fs::copy_file(from.string() + kind, box_.dir() / "made", fs::copy_options::overwrite_existing);
      fs::rename(box_.dir() / "made", box_.dir() / (std::string("swap") + kind));
    }
  }
  std::string reload_until(const std::atomic<bool>& over, Client& client) {
    for (auto next = Clock::now(); !over; next += kReloadEvery) {
      std::this_thread::sleep_until(next);
      put(reloads_ % 2 == 0 ? 2 : 1);
      const auto reloaded = client.call("plugin.reload", {{"name", "swap"}}, kTimeout);
      if (reloaded) {
        ++reloads_;
      } else if (reloaded.error().kind != ErrorKind::overloaded) {  // old instances end their calls still
        return reloaded.error().message;
      }
    }
    return {};
  }

  // Each leaves when its time has come, whether the ones before are answered or not.
  std::string call(int calls) {
    auto client = box_.connect();
    const std::string method = mode_ == "handover" ? "swap.count" : "swap.build";
    const auto begun = Clock::now();
    std::vector<Clock::time_point> sent;
    while (answered_ < calls) {
      const auto now = Clock::now();
      while (static_cast<int>(sent.size()) < std::min(calls, answered_ + kInFlight) &&
             begun + sent.size() * kCallEvery <= now) {
        // Some are open for a while: the instance that has them ends them.
        const json request{{"jsonrpc", "2.0"},
                           {"id", sent.size()},
                           {"method", sent.size() % 10 == 0 ? "swap.later" : method},
                           {"params", json::object()}};
        if (!client.send(dump_json(request))) return "the host has closed";
        sent.push_back(Clock::now());
      }
      const bool more = static_cast<int>(sent.size()) < calls;
      auto message = client.receive(more ? std::chrono::milliseconds(1) : std::chrono::milliseconds(kTimeout));
      if (!message && message.error().kind == ErrorKind::timeout && more) continue;
      if (!message) return message.error().message;
      if (auto wrong = take(*message, sent); !wrong.empty()) return wrong;
    }
    return {};
  }
  std::string take(const json& message, std::vector<Clock::time_point>& sent) {
    const auto id = message.value("id", sent.size());
    if (id >= sent.size() || sent[id] == Clock::time_point()) return "nobody asked: " + dump_json(message);
    if (!message.contains("result")) return "a call failed: " + dump_json(message);
    const json& result = message["result"];
    counted_ += result.value("count", std::int64_t{0});
    if (result.contains("build") && result["build"] != 1 && result["build"] != 2)
      return "no build: " + dump_json(result);
    ms_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - sent[id]).count());
    sent[id] = {};
    ++answered_;
    return {};
  }

  const std::string mode_;
  const std::string isolation_;
  Sandbox box_;
  int answered_ = 0;
  std::int64_t counted_ = 0;
  std::atomic<int> reloads_{0};
  std::vector<double> ms_;
};

}  // namespace

TEST_CASE("reload: of calls at a steady pace none is lost and none fails while builds follow each other") {
  const char* const given = std::getenv("GANTRY_RELOAD_CALLS");
  const int calls = given != nullptr ? std::atoi(given) : 1000;
  for (const char* isolation : {"inline", "child"}) {
    for (const char* mode : {"overlap", "handover"}) {
      Reloading t(mode, isolation);
      t.call_while_it_is_reloaded(calls);
      std::cout << t.told();
    }
  }
}
