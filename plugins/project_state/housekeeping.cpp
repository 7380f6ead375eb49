// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/housekeeping.hpp"

#include <optional>
#include <utility>

#include "plugins/project_state/cleanup.hpp"
#include "plugins/project_state/host_metrics.hpp"

namespace gantry::state {

namespace {

constexpr int kShrinkPages = 10'000;
constexpr std::chrono::minutes kLookAgain{1};  // whether samples are wanted by now

}  // namespace

void Housekeeping::sample_host() {
  const bool wanted = host_metrics_.count() != 0;
  (void)host_.after(wanted ? host_metrics_ : kLookAgain, [this, wanted] {
    if (stopped_) return;
    if (!wanted) return sample_host();
    CallOptions options;
    options.deadline = Deadline(host_.now() + std::chrono::seconds(10));
    (void)host_.call("host.metrics", json::object(), std::move(options), [this](const Result<CallAnswer>& sample) {
      if (!sample || stopped_) return;
      for (const auto& measured : host_measurements(sample->value, sample_))
        metrics_.record(measured, [](const Result<json>&) {});
      sample_ = sample->value;
    });
    sample_host();
  });
}

void Housekeeping::tidy_up() {
  (void)host_.after(std::chrono::hours(1), [this] {
    if (stopped_) return;
    if (stale_days_ > 0) {
      Command clean{std::nullopt, [days = stale_days_](Transaction& tx) { return clean_up(tx, days, false); },
                    "stale sessions"};
      (void)writer_.submit(std::move(clean), [host = host_](const Result<std::string>& done) {
        if (!done) host.log(Level::warn, "stale sessions stay: " + done.error().message);
      });
    }
    (void)writer_.run([](Store& store) { (void)store.shrink(kShrinkPages); });
    tidy_up();
  });
}

}  // namespace gantry::state
