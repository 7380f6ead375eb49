// SPDX-License-Identifier: Apache-2.0
//
// OPS are such that the fast programs take some tenths of a second; the slow ones get fewer (measure.cpp). One core:
// what runs on one thread, because a virtual machine's second core only adds noise.
#include "tests/bench/workloads.hpp"

#include <algorithm>

namespace bench {

namespace {

const std::vector<std::string> kAsync{"tokio", "go", "asio", "caf"};

[[nodiscard]] Goal best_async(double at_least) { return {kAsync, "the best async peer", at_least}; }
[[nodiscard]] Goal best(double at_least) { return {{}, "the best peer", at_least}; }
[[nodiscard]] Goal of(const std::string& peer, double at_least) { return {{peer}, peer, at_least}; }

void messages(std::vector<Workload>& all) {
  for (const std::string senders : {"1p", "4p"}) {
    const std::string bounded = "mpsc.bounded." + senders;
    const std::string unbounded = "mpsc.unbounded." + senders;
    const double two_cores = senders == "4p" ? 0.75 : 1.0;
    all.push_back({bounded + ".ct", bounded + ".ct", 5e6, true, Unit::kRate, {of("tokio", 3), best(2)}, {}});
    all.push_back({bounded + ".mt2", bounded + ".mt2", 3e6, false, Unit::kRate, {best_async(1)}, {}});
    all.push_back({unbounded + ".ct", unbounded + ".ct", 1e6, true, Unit::kRate, {best_async(1.3)}, {}});
    all.push_back({unbounded + ".mt2", unbounded + ".mt2", 1e6, false, Unit::kRate, {}, {}});
    all.push_back({bounded + ".thr@1core", bounded + ".thr", 5e6, true, Unit::kRate, {best(1.1)}, {}});
    all.push_back({bounded + ".thr@2core", bounded + ".thr", 3e6, false, Unit::kRate, {best(two_cores)}, {}});
    all.push_back({unbounded + ".thr@1core", unbounded + ".thr", 2e6, true, Unit::kRate, {best(1.1)}, {}});
    all.push_back({unbounded + ".thr@2core", unbounded + ".thr", 2e6, false, Unit::kRate, {best(1)}, {}});
  }
  all.push_back({"oneshot.ct", "oneshot.ct", 5e6, true, Unit::kTime, {of("tokio", 2)}, {}});
  for (const std::string clients : {"request.1", "request.64"}) {
    all.push_back({clients + ".ct", clients + ".ct", 2e6, true, Unit::kTime, {of("tokio", 1 / 0.3)}, {}});
    all.push_back({clients + ".mt2", clients + ".mt2", 2e6, false, Unit::kTime, {of("tokio", 1)}, {}});
  }
}

void events(std::vector<Workload>& all) {
  for (const std::string burst : {"broadcast.burst256.", "broadcast.burst1."}) {
    for (const std::string subscribers : {"1", "10", "100", "1000"}) {
      const std::string name = burst + subscribers;
      const double ops = burst == "broadcast.burst1." ? 3e6 : 1e7;
      const double goal = subscribers == "1" ? 2.5 : 4;
      all.push_back({name + ".ct", name + ".ct", ops, true, Unit::kRate, {of("tokio", goal)}, {}});
      all.push_back({name + ".mt2", name + ".mt2", ops, false, Unit::kRate, {}, {}});
    }
  }
  for (const std::string suffix : {".ct", ".mt2"}) {
    const std::string name = "bus.100.burst256" + suffix;
    std::vector<Goal> goals;
    if (suffix == ".ct") goals = {of("tokio broadcast", 2), of("tokio task per delivery", 20)};
    all.push_back({name,
                   name,
                   1e7,
                   suffix == ".ct",
                   Unit::kRate,
                   goals,
                   {{"tokio", "broadcast.burst256.100" + suffix, "tokio broadcast"},
                    {"tokio", "bus.100.taskper" + suffix, "tokio task per delivery"}}});
  }
}

void tasks_and_blocks(std::vector<Workload>& all) {
  all.push_back({"spawn.ct", "spawn.ct", 2e5, true, Unit::kTime, {of("tokio", 1)}, {}});
  all.push_back({"spawn.mt2", "spawn.mt2", 2e5, false, Unit::kTime, {of("tokio", 1)}, {}});
  all.push_back({"pool.2", "pool.2", 1e6, false, Unit::kTime, {of("tbb", 1)}, {}});
  all.push_back({"spsc.480.1t", "spsc.480.1t", 5e6, true, Unit::kTime, {of("limit two memcpys", 1 / 1.15)}, {}});
  all.push_back({"spsc.480.2t", "spsc.480.2t", 2e6, false, Unit::kTime, {best(1)}, {}});
}

void shared_state(std::vector<Workload>& all) {
  for (const std::string threads : {"1", "2", "4", "8"}) {
    const bool one = threads == "1";
    all.push_back({"lock." + threads, "lock." + threads, 5e6, one, Unit::kRate, {best(1)}, {}});
    all.push_back({"counter." + threads, "counter." + threads, 2e7, one, Unit::kRate, {best(1)}, {}});
  }
  all.push_back({"snapshot.read.2r", "snapshot.read.2r", 4e7, false, Unit::kRate, {of("std shared mutex", 2)}, {}});
  const Goal near{{"limit acquire load"}, "limit acquire load", 1, 0.5};
  all.push_back({"lazy.borrow.1t", "lazy.borrow.1t", 1e9, true, Unit::kTime, {near}, {}});
  all.push_back({"lazy.borrow.2t", "lazy.borrow.2t", 1e9, false, Unit::kTime, {near}, {}});
}

/// Whatever others do.
[[nodiscard]] Goal within(double ns) { return {{}, "itself", 1, 0, "gantry", ns}; }

void plugins(std::vector<Workload>& all) {
  const auto times = [](double most, const std::string& limit, const char* ours = "gantry") {
    return Goal{{"limit " + limit}, "limit " + limit, 1 / most, 0, ours};
  };
  for (const bool one_core : {true, false}) {
    const std::string place = one_core ? "@1core" : "@2core";
    all.push_back(
        {"plugin.call.thread" + place, "plugin.call.thread", 5e4, one_core, Unit::kTime, {times(2, "eventfd")}, {}});
    all.push_back(
        {"plugin.call.nonblocking" + place, "plugin.call.nonblocking", 4e5, one_core, Unit::kTime, {within(1000)}, {}});
    all.push_back({"plugin.call.child" + place,
                   "plugin.call.child",
                   5e4,
                   one_core,
                   Unit::kTime,
                   {times(2.5, "socketpair"), times(2.5, "socketpair", "gantry thread")},
                   {}});
  }
  for (const auto& [mode, rate] : {std::pair{"nonblocking", 1.2e6}, {"thread", 1.2e6}, {"child", 3e5}}) {
    const std::string name = std::string("plugin.depth256.") + mode;
    std::vector<Goal> goals{within(1e9 / rate)};
    if (name.ends_with("child")) goals.push_back({{}, "itself", 1, 0, "gantry thread", 1e9 / rate});
    all.push_back({name, name, 1e6, true, Unit::kRate, goals, {}});
  }
  all.push_back({"plugin.killed", "plugin.killed", 20, false, Unit::kTime, {within(300e6)}, {}});
  all.push_back({"plugin.load100", "plugin.load100", 100, false, Unit::kTime, {within(1e6)}, {}});
  all.push_back({"plugin.scan100", "plugin.scan100", 1000, false, Unit::kTime, {within(5e4)}, {}});
}

}  // namespace

std::vector<Workload> workloads(const std::vector<Listed>& listed) {
  std::vector<Workload> all;
  messages(all);
  events(all);
  tasks_and_blocks(all);
  shared_state(all);
  plugins(all);
  for (const auto& one : listed) {
    const bool known = std::any_of(all.begin(), all.end(), [&](const Workload& w) {
      return w.argument == one.workload ||
             std::any_of(w.also.begin(), w.also.end(), [&](const Also& also) { return also.argument == one.workload; });
    });
    const bool one_core = one.workload.ends_with(".ct") || one.workload.ends_with(".1t");
    if (!known) all.push_back({one.workload, one.workload, 1e6, one_core, Unit::kTime, {}, {}});
  }
  return all;
}

}  // namespace bench
