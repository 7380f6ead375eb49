// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_slot.hpp"

#include <algorithm>
#include <utility>

#include "host/observe/wall_clock.hpp"

namespace gantry::host {

namespace {

/// The slot decides when the next attempt may begin.
[[nodiscard]] LazyOptions without_back_off(LazyOptions options) {
  options.backoff = {.max_retries = kNoLimit, .initial_delay = {}, .max_delay = {}, .jitter = 0, .seed = 0};
  return options;
}

[[nodiscard]] std::string milliseconds(Duration d) {
  return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(d).count());
}

/// Without holding it for a moment: whoever lets go of it last ends it, which must not happen under a lock.
[[nodiscard]] bool is(const std::weak_ptr<Plugin>& one, const PluginSlot::Instance& instance) {
  return !one.owner_before(instance) && !instance.owner_before(one);
}

}  // namespace

PluginSlot::PluginSlot(std::string name, RestartPolicy policy, Factory factory, LazyOptions options)
    : name_(std::move(name)),
      policy_(policy),
      clock_(*options.clock),
      lazy_(name_, std::move(factory), without_back_off(std::move(options))) {}

std::optional<Error> PluginSlot::refusal() const {
  const Lock lock(mutex_);
  if (held_ == Held::quarantined)
    return Error{ErrorKind::unavailable, "plugin " + name_ + " is quarantined: " + reason_ + "; " + by_hand(), {}};
  if (held_ == Held::failed)
    return Error{ErrorKind::unavailable,
                 "plugin " + name_ + " has failed and is not to be restarted: " + reason_ + "; " + by_hand(),
                 {}};
  const Duration left = opens_at_ - clock_.now();
  if (left <= Duration::zero()) return std::nullopt;
  return Error{ErrorKind::unavailable,
               "plugin " + name_ + " is backing off for " + milliseconds(left) + " ms: " + reason_,
               R"({"retry_after_ms":)" + milliseconds(left) + "}"};
}

void PluginSlot::get_async(Lazy<Plugin>::Callback done) {
  if (auto refused = refusal()) {
    done(std::unexpected(std::move(*refused)));
    return;
  }
  lazy_.get_async(std::move(done));
}

Result<PluginSlot::Instance> PluginSlot::get() {
  if (auto refused = refusal()) return std::unexpected(std::move(*refused));
  return lazy_.get();
}

std::optional<Duration> PluginSlot::held_for() const {
  const Lock lock(mutex_);
  if (held_ != Held::no) return std::nullopt;
  return std::max(opens_at_ - clock_.now(), Duration::zero());
}

PluginSlot::Verdict PluginSlot::died(const Instance& instance, const Death& death) {
  auto verdict = judge(death.reason, death.details(), false);
  {
    const Lock lock(mutex_);
    note_death(instance);
  }
  // Only now: who finds no instance must find the verdict.
  lazy_.drop(instance, Error{ErrorKind::plugin_died, "plugin " + name_ + " died: " + death.reason, {}});
  return verdict;
}

PluginSlot::Verdict PluginSlot::failed_to_start(const Error& error) {
  auto details = parse_json(error.data);
  return judge(error.message, details && details->is_object() ? std::move(*details) : json::object(), true);
}

PluginSlot::Verdict PluginSlot::judge(const std::string& reason, json details, bool starting) {
  details["died_at"] = wall_clock();
  details["reason"] = reason;
  const Lock lock(mutex_);
  details["restarts"] = starts_ == 0 ? 0 : starts_ - 1;
  details["last_log"] = lines_;
  evidence_ = std::move(details);
  reason_ = reason;
  start_failed_ = starting;
  if (!policy_.restart) {
    held_ = Held::failed;
    return {Verdict::stays_failed, {}, reason};
  }
  if (!window_.count(clock_.now(), policy_.intensity, policy_.period)) {
    held_ = Held::quarantined;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(policy_.period).count();
    reason_ = "it failed " + std::to_string(window_.size()) + (window_.size() == 1 ? " time" : " times") + " within " +
              std::to_string(seconds) + " s, the last time: " + reason;
    return {Verdict::quarantined, {}, reason_};
  }
  RetryPolicy backoff = policy_.backoff;
  backoff.max_retries = kNoLimit;
  backoff.seed += starts_;
  const Duration after = window_.size() == 1 ? Duration::zero() : window_.delay(backoff, 1);
  opens_at_ = clock_.now() + after;
  return {Verdict::may_start, after, reason};
}

void PluginSlot::quarantine(const std::string& why) {
  const Lock lock(mutex_);
  held_ = Held::quarantined;
  reason_ = why;
}

void PluginSlot::release() {
  const Lock lock(mutex_);
  forgive();
}

void PluginSlot::forgive() {
  held_ = Held::no;
  window_.clear();
  opens_at_ = {};
  reason_.clear();
}

// Under the lock that retired() takes first thing in a start: no start misses it.
bool PluginSlot::retire() {
  const Lock lock(mutex_);
  Instance instance = lazy_.reset();
  if (!instance) return false;
  retired_ = std::move(instance);
  return true;
}

PluginSlot::Instance PluginSlot::retired() const {
  const Lock lock(mutex_);
  return retired_;
}

void PluginSlot::drained() {
  Instance last;
  const Lock lock(mutex_);
  last.swap(retired_);
  std::erase_if(aside_, [](const auto& aside) { return aside.expired(); });
  if (last) aside_.push_back(last);  // its death may be told later
}

void PluginSlot::starts(bool reload) {
  const Lock lock(mutex_);
  if (!reload || starts_ == 0) ++starts_;
}

// Whichever of replace() and is_aside() is first under the lock, the other one knows.
Result<std::optional<PluginSlot::Instance>> PluginSlot::replace(const Instance& next) {
  const Lock lock(mutex_);
  if (has_died(next)) return fail(ErrorKind::plugin_died, "plugin " + name_ + " died as soon as it had started");
  auto before = lazy_.replace(next);
  if (!before) return before;
  if (!*before) before = std::exchange(retired_, nullptr);  // no start comes any more that would stop it
  std::erase_if(aside_, [&](const auto& aside) { return aside.expired() || is(aside, next); });
  if (*before) aside_.push_back(*before);
  // One that runs is not held back, whatever became of the one before it meanwhile.
  if (held_ != Held::no || opens_at_ > clock_.now()) forgive();
  return before;
}

void PluginSlot::put_aside(const Instance& instance) {
  const Lock lock(mutex_);
  std::erase_if(aside_, [](const auto& aside) { return aside.expired(); });
  aside_.push_back(instance);
}

bool PluginSlot::is_aside(const Instance& instance) {
  const Lock lock(mutex_);
  note_death(instance);
  if (retired_ == instance || is_one_of(aside_, instance)) return true;
  return lazy_.state() != LazyState::constructing && lazy_.peek() != instance;
}

void PluginSlot::note_death(const Instance& instance) {
  std::erase_if(dead_, [](const auto& dead) { return dead.expired(); });
  dead_.push_back(instance);
}

bool PluginSlot::is_one_of(const std::vector<std::weak_ptr<Plugin>>& list, const Instance& instance) {
  return std::ranges::any_of(list, [&](const auto& one) { return is(one, instance); });
}

bool PluginSlot::has_died(const Instance& instance) const { return is_one_of(dead_, instance); }

bool PluginSlot::is_dead(const Instance& instance) const {
  const Lock lock(mutex_);
  return has_died(instance);
}

void PluginSlot::keep_line(std::string_view line) {
  const Lock lock(mutex_);
  if (lines_.size() == kLastLog) lines_.pop_front();
  lines_.emplace_back(line.substr(0, kMaxLine));
}

PluginSlot::View PluginSlot::view() const {
  View view;
  view.instance = lazy_.peek();
  const LazyState state = lazy_.state();
  const Lock lock(mutex_);
  view.restarts = starts_ == 0 ? 0 : starts_ - 1;
  view.evidence = evidence_;
  view.reason = reason_;
  if (retired_) {
    view.state = "draining";
  } else if (state == LazyState::ready || state == LazyState::constructing) {
    view.state = state == LazyState::ready ? "ready" : "starting";
    view.reason.clear();
  } else if (held_ != Held::no) {
    view.state = held_ == Held::quarantined ? "quarantined" : "failed";
  } else if (opens_at_ > clock_.now()) {
    view.state = "backing_off";
  } else {
    view.state = start_failed_ && !reason_.empty() ? "failed" : "known";
  }
  return view;
}

}  // namespace gantry::host
