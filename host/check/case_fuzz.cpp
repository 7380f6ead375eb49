// SPDX-License-Identifier: Apache-2.0
//
// Random messages. What is said, and in which order, depends on the seed and the manifest alone, never on what the
// plugin answers or how long it takes: the same seed says the same again.
#include <algorithm>

#include "host/check/drive.hpp"

namespace gantry::host::check {

namespace {

constexpr int kMessages = 600;
constexpr std::size_t kRecent = 16;  ///< calls that later messages are about
constexpr Duration kBreath = std::chrono::milliseconds(100);

class Fuzz {
 public:
  Fuzz(Subject& s, Drive& drive) : drive_(drive), values_(s.seed) {
    for (const auto& [name, method] : s.manifest.methods) methods_.push_back(&method);
    for (const auto& pattern : s.manifest.subscribes) topics_.push_back(concrete(pattern));
    config_ = s.config();
    unknown_.name = "there.is_no_such_method";
  }

  void run() {
    for (int i = 0; i < kMessages; ++i) {
      one();
      // A handler that waits for its cancel must not hold up the rest.
      if (i % 8 != 7 || drive_.host().settle(kBreath)) continue;
      for (const auto id : recent_) drive_.cancel(id);
      (void)drive_.host().settle(kBreath);
    }
  }

 private:
  [[nodiscard]] static std::string concrete(std::string pattern) {
    std::replace(pattern.begin(), pattern.end(), '*', 'x');
    return pattern;
  }
  [[nodiscard]] Random& random() { return values_.random(); }
  [[nodiscard]] std::uint64_t some_call() {
    if (recent_.empty() || random().chance(20)) return 1'000'000 + random().below(10);
    return recent_[random().below(recent_.size())];
  }

  void one() {
    const auto what = random().below(100);
    if (what < 55) {
      call();
    } else if (what < 70) {
      drive_.cancel(some_call());
    } else if (what < 78) {
      drive_.host().say(
          {.kind = GANTRY_CREDIT, .id = some_call(), .credit = static_cast<std::uint32_t>(random().below(50))});
    } else if (what < 86) {
      item();
    } else if (what < 92) {
      event();
    } else if (what < 96) {
      drive_.host().say({.kind = GANTRY_GONE, .origin = 1 + random().below(3)});
    } else {
      // The configuration as it is, or with settings of any kind.
      json config = config_;
      if (random().chance(2)) config["settings"] = values_.fitting(json::object(), Wish::some);
      drive_.host().say(
          {.kind = GANTRY_EVENT, .topic = "host.plugin.config", .payload = dump_json(config), .origin = 0});
    }
  }
  void call() {
    const auto& method =
        methods_.empty() || random().chance(40) ? unknown_ : *methods_[random().below(methods_.size())];
    std::string params = dump_json(random().chance(4) ? values_.unfitting_params(method.params)
                                                      : values_.params(method.params, Wish::some));
    if (random().chance(4)) params = values_.mutated(std::move(params));
    const std::int64_t budget = random().chance(4) ? static_cast<std::int64_t>(random().below(50'000'000)) : -1;
    const bool stream = method.stream ? !random().chance(4) : random().chance(12);
    const auto id = drive_.host().next_id();
    recent_.push_back(id);
    if (recent_.size() > kRecent) recent_.erase(recent_.begin());
    drive_.host().say({.kind = GANTRY_CALL,
                       .id = id,
                       .topic = method.name,
                       .payload = std::move(params),
                       .flags = static_cast<std::uint16_t>(stream ? GANTRY_STREAM : 0),
                       .credit = stream ? static_cast<std::uint32_t>(random().below(8)) : 0,
                       .budget_ns = budget,
                       .origin = 1 + random().below(3)});
  }
  void item() {
    const auto id = some_call();
    if (random().chance(3)) {
      drive_.host().say({.kind = GANTRY_ITEM, .id = id, .flags = GANTRY_END});
      return;
    }
    std::string text = dump_json(values_.fitting(json::object(), Wish::some));
    if (random().chance(3)) text = values_.mutated(std::move(text));
    drive_.host().say({.kind = GANTRY_ITEM, .id = id, .payload = std::move(text)});
  }
  void event() {
    const std::string topic =
        topics_.empty() || random().chance(6) ? "fuzz.topic" : topics_[random().below(topics_.size())];
    std::string payload = dump_json(values_.fitting(json::object(), Wish::some));
    if (random().chance(3)) payload = values_.mutated(std::move(payload));
    drive_.host().say(
        {.kind = GANTRY_EVENT, .id = random().below(1000), .topic = topic, .payload = std::move(payload), .origin = 0});
  }

  Drive& drive_;
  Values values_;
  std::vector<const ManifestMethod*> methods_;
  std::vector<std::string> topics_;
  std::vector<std::uint64_t> recent_;
  json config_;
  ManifestMethod unknown_;
};

}  // namespace

Outcome check_fuzz(Subject& s) {
  const std::string again = "; repeat it with --reproduce " + std::to_string(s.seed);
  Outcome outcome = with_plugin(s, {}, [&](Drive& drive) {
    Fuzz(s, drive).run();
    drive.end_calls();
    return drive.judge(std::to_string(kMessages) + " messages, seed " + std::to_string(s.seed), {},
                       {Fault::answered_twice, Fault::unknown_call});
  });
  if (!outcome.happened.empty()) outcome.happened += again;
  return outcome;
}

}  // namespace gantry::host::check
