// SPDX-License-Identifier: Apache-2.0
//
// Whole sets of plugins, that need one another, through their real lives, with a simulated clock and a simulated host:
// calls, deaths, failed starts, restarts, reloads, trust taken and given, and the end of the host, in an order that a
// seed decides. GANTRY_SIMULATIONS=N runs as many schedules; GANTRY_SEED=S that one alone, and prints what happens.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <set>

#include "host/services/plugin_lives.hpp"

using namespace gantry;
using namespace gantry::host;

namespace {

/// Time that stands still until it is moved.
class SimTimers final : public Timers {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  TimerKey at(TimePoint when, Callback callback) override {
    timers_.emplace(++last_, std::pair(when, std::move(callback)));
    return last_;
  }
  bool cancel(TimerKey key) override { return timers_.erase(key) != 0; }
  void advance(Duration by) {
    now_ += by;
    for (bool found = true; found;) {
      found = false;
      for (auto it = timers_.begin(); it != timers_.end(); ++it) {
        if (it->second.first > now_) continue;
        auto callback = std::move(it->second.second);
        timers_.erase(it);
        callback();
        found = true;
        break;
      }
    }
  }

 private:
  TimePoint now_{std::chrono::hours(1)};
  TimerKey last_ = 0;
  std::map<TimerKey, std::pair<TimePoint, Callback>> timers_;
};

/// Stands for an instance; what the lives hold is a pointer that is never followed.
struct SimInstance {
  std::string plugin;
  int build = 0;
  bool ends = false;      ///< its end has begun
  bool in_order = false;  ///< ... and what it needs waits for that
  bool ended = false;     ///< it has ended, or died
  bool dead = false;
  bool served = false;  ///< it has had the calls
};

[[nodiscard]] PluginInstance handle(const std::shared_ptr<SimInstance>& instance) {
  return {instance, reinterpret_cast<Plugin*>(instance.get())};  // NOLINT: it is never followed
}

class Simulation final : public LifeHost {
 public:
  explicit Simulation(std::uint64_t seed, bool loud) : random_(seed), loud_(loud), lives_(*this, timers_) {
    const auto plugins = pick(2, 6);
    std::vector<PluginSpec> specs;
    for (std::size_t i = 0; i < plugins; ++i) {
      PluginSpec spec;
      spec.name = std::string(1, static_cast<char>('a' + i));
      spec.bundled = true;
      spec.restart = pick(0, 9) != 0;
      spec.manifest.emplace();
      spec.manifest->id = spec.name;
      spec.manifest->version = "1.0.0";
      spec.manifest->services = {spec.name};
      if (pick(0, 3) == 0) spec.manifest->activation.push_back("start");
      for (std::size_t need = 0; need < i; ++need) {
        if (pick(0, 2) == 0)
          spec.manifest->needs.push_back({std::string(1, static_cast<char>('a' + need)), any_version()});
      }
      specs.push_back(std::move(spec));
    }
    table_ = std::make_shared<const PluginTable>(std::move(specs));
    lives_.on_impossible(
        [](LifeState state, LifeEvent event) { FAIL("impossible: " << name(state) << " + " << name(event)); });
    for (const auto& spec : table_->specs()) {
      names_.push_back(spec.name);
      RestartPolicy policy;
      policy.restart = spec.restart;
      lives_.add(spec.name, policy, pick(0, 20) == 0 ? "a host died of it" : "");
    }
    lives_.table_changed();
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      if (i % 4 == 0) check();
    }
    finish();
  }

  // --- LifeHost ---
  [[nodiscard]] PluginTablePtr table() const override { return table_; }
  void prepare(const std::string& plugin, bool /*first*/, std::move_only_function<void(Result<void>)> done) override {
    later("prepare " + plugin, [this, plugin, done = std::move(done)]() mutable {
      const auto refused = PluginTable::share(table_, plugin)->refusal();
      done(refused ? std::unexpected(*refused) : Result<void>());
    });
  }
  void start(Start start, std::move_only_function<void(Started)> done) override {
    const std::string plugin = start.build.spec->name;
    say("starting " + plugin);
    REQUIRE_FALSE(stops_);
    for (const auto& need : start.build.table->graph().needs_of(plugin)) {
      if (!is_serving(state_of(need))) FAIL(plugin + " starts before " + need);
    }
    if (!start.is_next) require_ended_dependents(plugin);
    auto instance = std::make_shared<SimInstance>();
    instance->plugin = plugin;
    later("start " + plugin, [this, instance, done = std::move(done)]() mutable {
      if (pick(0, 4) == 0) {
        done({fail(ErrorKind::internal, "it is told to fail"), pick(0, 5) == 0});
        return;
      }
      instances_.push_back(instance);
      const bool dies_at_once = pick(0, 9) == 0;
      if (dies_at_once) die(instance);
      done({handle(instance)});
    });
  }
  void end(const std::string& plugin, PluginInstance instance, End how,
           std::move_only_function<void(Ended)> done) override {
    const auto sim = of(instance);
    say("ending " + plugin);
    REQUIRE(sim->plugin == plugin);
    REQUIRE_FALSE(sim->ends);
    REQUIRE(lives_.instance(plugin)->peek() != instance);
    sim->ends = true;
    sim->in_order = how == End::now;
    if (how == End::now && sim->served) {
      require_ended_dependents(plugin);
      for (const auto& other : instances_) {
        if (!other->ended && needs(other, plugin) && lives_.instance(other->plugin)->peek() == handle(other))
          FAIL(plugin + " ends before " + other->plugin);
      }
    }
    // Once the host stops, what runs is ended by whoever stops it, in the order of running().
    if (stops_ && sim->served && how != End::replaced) {
      for (const auto& other : instances_) {
        if (!other->ended && needs(other, plugin)) FAIL(plugin + " ends before " + other->plugin);
      }
    }
    later("end " + plugin, [sim, done = std::move(done), this]() mutable {
      sim->ended = true;
      done({nullptr, pick(0, 20) == 0});
    });
  }
  void hurry(const PluginInstance& instance, Duration /*grace*/) override {
    REQUIRE_FALSE(lives_.instance(of(instance)->plugin)->peek() == instance);
  }
  void adopt(const std::string& plugin, const PluginBuild& build) override {
    if (build.spec != PluginTable::share(table_, plugin)) table_ = build.table;
  }
  [[nodiscard]] bool is_inline(const PluginInstance& /*instance*/) const override { return is_inline_; }
  [[nodiscard]] bool is_dead(const PluginInstance& instance) const override { return of(instance)->dead; }
  void tell_gone(const PluginInstance& instance, OriginId /*origin*/) override { REQUIRE(instance); }
  void reconfigure(const std::string& /*plugin*/, const PluginInstance& instance) override {
    of(instance)->served = true;
  }
  void publish(std::string_view what, const std::string& plugin, const std::string& reason, json /*more*/) override {
    say(plugin + " " + std::string(what) + (reason.empty() ? "" : ": " + reason));
    // While the strand is busy:
    const auto dice = pick(0, 90);
    if (dice == 0) reload();
    if (dice == 1) restart(any_plugin());
    if (dice < 2 || dice > 4) return;
    const auto instance = any_instance();
    if (!instance) return;
    if (dice == 2) lives_.at(instance->plugin).activate({});  // its `want` comes before the death
    die(instance);
    call(instance->plugin);
  }

 private:
  [[nodiscard]] LifeState state_of(const std::string& plugin) const { return lives_.at(plugin).state(); }
  struct Job {
    std::string what;
    std::move_only_function<void()> run;
  };

  [[nodiscard]] std::size_t pick(std::size_t least, std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(least, most)(random_);
  }
  [[nodiscard]] static VersionRange any_version() { return *VersionRange::parse("*"); }
  void say(const std::string& what) const {
    if (loud_) std::cerr << what << "\n";
  }
  void later(std::string what, std::move_only_function<void()> job) {
    jobs_.push_back({std::move(what), std::move(job)});
  }
  [[nodiscard]] std::shared_ptr<SimInstance> of(const PluginInstance& instance) const {
    for (const auto& one : instances_) {
      if (handle(one) == instance) return one;
    }
    FAIL("an instance that was never started");
    return nullptr;
  }
  [[nodiscard]] bool needs(const std::shared_ptr<SimInstance>& one, const std::string& plugin) const {
    const auto& needed = table_->graph().needs_of(one->plugin);
    return std::ranges::find(needed, plugin) != needed.end();
  }
  void require_ended_dependents(const std::string& plugin) const {
    for (const auto& other : instances_) {
      if (other->ends && other->in_order && !other->ended && needs(other, plugin))
        FAIL(plugin + " does not wait for the end of " + other->plugin);
    }
  }
  /// What is shown of a plugin that does not run fits with what it needs.
  void require_right_reasons() {
    for (const auto& plugin : names_) {
      const LifeState state = state_of(plugin);
      if (state != LifeState::known && state != LifeState::blocked) continue;
      const bool blocked = std::ranges::any_of(table_->graph().needs_of(plugin),
                                               [&](const auto& need) { return is_in_the_way(state_of(need)); });
      if (blocked != (state == LifeState::blocked))
        FAIL(plugin << " is " << name(state) << ", its needs say otherwise");
    }
  }
  [[nodiscard]] const std::string& any_plugin() { return names_[pick(0, names_.size() - 1)]; }

  /// One that runs; nullptr: none does.
  [[nodiscard]] std::shared_ptr<SimInstance> any_instance() {
    std::vector<std::shared_ptr<SimInstance>> alive;
    for (const auto& one : instances_) {
      if (!one->ended) alive.push_back(one);
    }
    return alive.empty() ? nullptr : alive[pick(0, alive.size() - 1)];
  }
  void die(const std::shared_ptr<SimInstance>& instance) {
    say(instance->plugin + " is killed");
    instance->ended = true;
    instance->dead = true;
    is_inline_ = pick(0, 9) == 0;
    lives_.at(instance->plugin).died(handle(instance), Death{.reason = "it was killed"});
    is_inline_ = false;
    REQUIRE(lives_.instance(instance->plugin)->peek() != handle(instance));
  }
  void call(const std::string& plugin) {
    ++open_calls_;
    lives_.instance(plugin)->get_async([this, plugin, answered = false](Result<PluginInstance> result) mutable {
      REQUIRE_FALSE(std::exchange(answered, true));
      --open_calls_;
      if (!result) return;
      const auto instance = of(*result);
      REQUIRE(instance->plugin == plugin);
      REQUIRE_FALSE(instance->ends);
      REQUIRE_FALSE(instance->dead);
    });
  }
  void restart(const std::string& plugin) {
    ++open_calls_;
    lives_.at(plugin).restart([this](const Result<PluginInstance>& /*next*/) { --open_calls_; });
  }
  void reload() {
    const std::string plugin = any_plugin();
    if (reloading_ || !PluginTable::share(table_, plugin)->enabled) return;
    say("reload " + plugin);
    PluginSpec next = *PluginTable::share(table_, plugin);
    next.manifest->version = "1." + std::to_string(++builds_) + ".0";
    next.failure.clear();
    auto with = PluginTable::with(*table_, std::move(next));
    if (!with) return;
    reloading_ = true;
    lives_.at(plugin).reload({*with, PluginTable::share(*with, plugin)}, pick(0, 1) == 0,
                             [this](const Result<void>& done) {
                               say(done ? "reloaded" : "not reloaded: " + done.error().message);
                               REQUIRE(std::exchange(reloading_, false));
                             });
  }
  void change_trust() {
    if (reloading_) return;
    std::vector<PluginSpec> specs = table_->specs();
    auto& spec = specs[pick(0, specs.size() - 1)];
    // As PluginTable::trusting does: who needs it is not out of order.
    spec.bundled = !spec.bundled;
    spec.manifest->grants = spec.bundled ? std::vector<Grant>() : std::vector<Grant>{Grant{GrantKind::network, ""}};
    say(spec.name + (spec.bundled ? " is trusted" : " is not trusted any more"));
    table_ = std::make_shared<const PluginTable>(std::move(specs));
    lives_.table_changed();
  }
  void step() {
    const auto dice = pick(0, 99);
    if (dice < 45 && !jobs_.empty()) {
      run_job(pick(0, jobs_.size() - 1));
    } else if (dice < 65) {
      call(any_plugin());
    } else if (dice < 75) {
      if (const auto instance = any_instance()) die(instance);
    } else if (dice < 80) {
      const std::string plugin = any_plugin();
      say("restart " + plugin);
      restart(plugin);
    } else if (dice < 86) {
      reload();
    } else if (dice < 90) {
      change_trust();
    } else if (dice < 96) {
      timers_.advance(std::chrono::milliseconds(pick(1, 40'000)));
    } else {
      lives_.gone(7);
    }
  }
  void run_job(std::size_t i) {
    Job job = std::move(jobs_[i]);
    jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(i));
    say("* " + job.what);
    job.run();
  }
  void check() {
    for (const auto& plugin : names_) {
      const LifeState state = state_of(plugin);
      const auto served = lives_.instance(plugin)->peek();
      // An instance that none calls any more is either ending, or about to.
      std::size_t idle = 0;
      for (const auto& one : instances_) {
        if (one->plugin == plugin && !one->ended && !one->ends && handle(one) != served) ++idle;
      }
      const bool is_right = (served != nullptr) == is_serving(state) && (!served || !of(served)->ended) &&
                            idle <= (is_settled(state) ? 0U : 1U);
      if (is_right) continue;
      FAIL(plugin << " is " << name(state) << ", served " << (served != nullptr) << ", idle " << idle);
    }
  }
  void run_all_jobs() {
    for (int i = 0; i < 10'000 && !jobs_.empty(); ++i) run_job(pick(0, jobs_.size() - 1));
    REQUIRE(jobs_.empty());
  }
  // All comes to rest; then, or in the midst of it, the host stops.
  void finish() {
    if (pick(0, 1) == 0) {
      run_all_jobs();
      for (const auto& plugin : names_) {
        INFO(plugin + " is " + std::string(name(state_of(plugin))));
        REQUIRE(is_settled(state_of(plugin)));
      }
      require_right_reasons();
      REQUIRE(open_calls_ == 0);
      REQUIRE_FALSE(reloading_);
    }
    say("the host stops");
    stops_ = true;
    lives_.stop_starting();
    run_all_jobs();
    REQUIRE(open_calls_ == 0);
    REQUIRE_FALSE(reloading_);
    std::set<PluginInstance> running;
    for (const auto& instance : lives_.running()) REQUIRE(running.insert(instance).second);
    for (const auto& one : instances_) {
      if (running.contains(handle(one)) == one->ended) FAIL("an instance of " + one->plugin + " was lost");
    }
    call(any_plugin());
    REQUIRE(open_calls_ == 0);
  }

  std::mt19937_64 random_;
  const bool loud_;
  SimTimers timers_;
  PluginTablePtr table_;
  std::vector<std::string> names_;
  std::vector<Job> jobs_;
  std::vector<std::shared_ptr<SimInstance>> instances_;
  int open_calls_ = 0;
  int builds_ = 0;
  bool reloading_ = false;
  bool stops_ = false;
  bool is_inline_ = false;
  PluginLives lives_;
};

[[nodiscard]] std::uint64_t number(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

constexpr int kSteps = 50;

/// The `part`-th quarter of the schedules: a test each, so that they run beside one another.
void run_quarter(std::uint64_t part) {
  const auto schedules = number("GANTRY_SIMULATIONS", 10'000);
  for (std::uint64_t seed = part; seed <= schedules; seed += 4) {
    INFO("GANTRY_SEED=" << seed << " shows what happens");
    Simulation(seed, false).run(kSteps);
  }
}

}  // namespace

TEST_CASE("lives: sets of plugins come through whatever happens to them in whatever order, a quarter") {
  if (std::getenv("GANTRY_SEED") != nullptr) {
    Simulation(number("GANTRY_SEED", 0), true).run(kSteps);
  } else {
    run_quarter(1);
  }
}
TEST_CASE("lives: sets of plugins come through whatever happens to them in whatever order, the second quarter") {
  run_quarter(2);
}
TEST_CASE("lives: sets of plugins come through whatever happens to them in whatever order, the third quarter") {
  run_quarter(3);
}
TEST_CASE("lives: sets of plugins come through whatever happens to them in whatever order, the last quarter") {
  run_quarter(4);
}
