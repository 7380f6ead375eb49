// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_instances.hpp"

#include "host/services/plugin_lives.hpp"

namespace gantry::host {

void PluginInstances::start(PluginBuild build, bool is_next, Done done) {
  next_loads_ = is_next;
  lives_.host().publish("starting", plugin_, {}, json::object());
  lives_.host().start(
      {std::move(build), is_next, handed_over_, since_},
      lives_.on_strand([this, number = ++starts_, done = std::move(done)](const LifeHost::Started& outcome) mutable {
        started(number, outcome, done);
      }));
}

void PluginInstances::skip_start(std::function<void()> then) {
  lives_.strand().post([this, number = ++starts_, then = std::move(then)] {
    if (starts_ == number) then();
  });
}

void PluginInstances::drop_start() {
  ++starts_;
  if (std::exchange(next_loads_, false)) ++dropped_;
}

void PluginInstances::started(std::uint64_t number, const LifeHost::Started& outcome, Done& done) {
  if (outcome.hangs) note_hang();
  const PluginInstance instance = outcome.instance.value_or(nullptr);
  std::optional<Death> death;
  if (auto early = early_deaths_.extract(instance)) {
    death = std::move(early.mapped());
    lives_.host().publish("died", plugin_, death->reason, death->details());
  }
  if (starts_ == number) {
    next_loads_ = false;
    done({outcome.instance, death});
    if (instance && !death && current_ != instance) beside_.push_back(instance);  // the host stops
    if (dropped_ == 0) early_deaths_.clear();  // of instances that had ended already: no start is left to be told
  } else if (instance && !death) {
    end_beside(instance, true);
  } else {
    dropped_has_ended();
  }
}

void PluginInstances::end(LifeHost::End how, std::function<void()> done) {
  lives_.host().end(plugin_, current_, how, lives_.on_strand([this, done = std::move(done)](LifeHost::Ended ended) {
    if (ended.hangs) lives_.note_hang();
    handed_over_ = std::move(ended.given);
    current_.reset();
    lives_.host().publish("stopped", plugin_, {}, json::object());
    done();
  }));
}

void PluginInstances::hurry(Duration grace) {
  for (const auto& old : beside_) lives_.host().hurry(old, grace);
}

void PluginInstances::end_beside(const PluginInstance& old, bool dropped) {
  hurry(LifeHost::kGrace);
  beside_.push_back(old);
  const auto ended = [this, old, dropped](const LifeHost::Ended& outcome) {
    if (outcome.hangs) lives_.note_hang();
    std::erase(beside_, old);
    lives_.host().publish("stopped", plugin_,
                          dropped ? "what it needs has gone while it started" : "a new build has replaced it",
                          {{"replaced", !dropped}});
    if (dropped) dropped_has_ended();
  };
  lives_.host().end(plugin_, old, dropped ? LifeHost::End::now : LifeHost::End::replaced, lives_.on_strand(ended));
}

void PluginInstances::dropped_has_ended() {
  --dropped_;
  lives_.look_who_is_clear();
}

bool PluginInstances::died(const PluginInstance& instance, const Death& death, bool hangs, LifeState state) {
  if (hangs) note_hang();
  const bool was_beside = std::erase(beside_, instance) != 0;
  if (current_ != instance && !was_beside && !is_settled(state)) {
    early_deaths_.emplace(instance, death);  // its start has not been told yet
    return false;
  }
  lives_.host().publish("died", plugin_, death.reason, death.details());
  if (current_ != instance || (!is_serving(state) && state != LifeState::stopped)) return false;
  current_.reset();
  return true;
}

void PluginInstances::note_hang() {
  lives_.note_hang();
  ++abandoned_;
}

}  // namespace gantry::host
