// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_lives.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace gantry::host {

namespace {

using S = LifeState;
using E = LifeEvent;
using A = LifeAction;

[[nodiscard]] std::string milliseconds(Duration d) {
  return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(d).count());
}

/// Without holding it: whoever lets go of an instance last ends it.
[[nodiscard]] bool is(const std::weak_ptr<Plugin>& one, const PluginInstance& instance) {
  return !one.owner_before(instance) && !instance.owner_before(one);
}

[[nodiscard]] json details_of(const Error& error) {
  auto details = parse_json(error.data);
  return details && details->is_object() ? std::move(*details) : json::object();
}

}  // namespace

PluginLives::Life::Life(PluginLives& all, std::string plugin, RestartPolicy policy)
    : name(std::move(plugin)),
      place(all.lives_.size(), all.timers_, [&all, this] { all.strand_.post([&all, this] { all.want(*this); }); }),
      failures(policy),
      machine(
          all.strand_, plugin_life(),
          [&all, this](const Machine::Step& step, Facts& facts) { all.perform(*this, step, facts); },
          [&all, this](S from, S to) { all.changed(*this, from, to); },
          [&all](S state, E event) {
            if (all.impossible_) all.impossible_(state, event);
          }) {}

// Instances that were not stopped end here, and what they say in their end still finds the strand.
PluginLives::~PluginLives() {
  strand_.run([this] {
    running_.clear();
    for (const auto& [name, life] : lives_) life->current.reset();
  });
}

void PluginLives::add(const std::string& plugin, RestartPolicy policy, const std::string& blame) {
  auto made = std::make_unique<Life>(*this, plugin, policy);
  Life& life = *made;
  lives_.insert(plugin, std::move(made));
  strand_.run([&] {
    if (stopping_) life.machine.handle(E::host_stops, {});
    if (blame.empty()) return;
    life.failures.blame(blame);
    life.machine.handle(E::broke_quarantine, {});
  });
}

LiveInstance* PluginLives::instance(const std::string& plugin) const {
  const auto it = lives_.find(plugin);
  return it == lives_.end() ? nullptr : &it->second->place;
}

// --- Events from outside ---

void PluginLives::table_changed() {
  strand_.run([this] { look_at_table(); });
}

void PluginLives::look_at_table() {
  const auto table = host_.table();
  for (const auto& spec : table->specs()) look_at_verdict(at(spec.name), spec);
  for (const auto& spec : table->specs()) review(at(spec.name));
}

void PluginLives::look_at_verdict(Life& life, const PluginSpec& spec) {
  const bool disabled = !spec.enabled || (spec.failure.empty() && !spec.untrusted().empty());
  life.machine.handle(disabled ? E::disable : spec.failure.empty() ? E::allow : E::disorder, {});
}

// In one task: nobody who asks for the instance comes between.
void PluginLives::restart(const std::string& plugin, LiveInstance::Callback done) {
  strand_.post([&life = at(plugin), done = std::move(done)]() mutable {
    life.machine.handle(E::restart, {});
    life.place.get_async(std::move(done));
  });
}

void PluginLives::activate(const std::string& plugin, const Since& since) {
  strand_.post([this, &life = at(plugin), since] {
    if (!is_serving(life.machine.state())) life.since = since;
    want(life);
  });
}

void PluginLives::reload(const std::string& plugin, PluginBuild build, bool handover, Done done) {
  strand_.post([&life = at(plugin), build = std::move(build), handover, done = std::move(done)]() mutable {
    life.next = std::move(build);
    life.reload_done = std::move(done);
    life.machine.handle(handover ? E::reload_handover : E::reload_overlap, {});
  });
}

void PluginLives::died(const std::string& plugin, const PluginInstance& instance, const Death& death) {
  Life& life = at(plugin);
  const bool hangs = host_.is_inline(instance);
  life.place.withdraw(instance);
  strand_.post([this, &life, instance, death, hangs] {
    std::erase(running_, instance);
    if (hangs) {
      abandoned_ = true;
      ++life.abandoned;
    }
    const S state = life.machine.state();
    const bool was_replaced = std::ranges::any_of(life.replaced, [&](const auto& one) { return is(one, instance); });
    const bool has_calls = life.current == instance && (is_serving(state) || state == S::stopped);
    if (!has_calls && life.current != instance && !was_replaced && !is_settled(state)) {
      life.early_deaths.emplace_back(instance, death);  // its start has not been told yet
      return;
    }
    publish(life, "died", death.reason, death.details());
    if (!has_calls) return;  // another one has its place, or will have
    life.current.reset();
    Facts facts{.error = {ErrorKind::plugin_died, "plugin " + life.name + " died: " + death.reason, {}}};
    const auto verdict =
        life.failures.judge(death.reason, death.details(), timers_.now(), too_many_hang(life, death.reason));
    facts.after = verdict.after;
    if (state == S::overlapping) life.verdict = verdict;  // in force if the next build does not start
    life.machine.handle(verdict.event, std::move(facts));
  });
}

void PluginLives::gone(OriginId origin) {
  strand_.post([this, origin] {
    for (const auto& [name, life] : lives_) {
      if (life->current) host_.tell_gone(life->current, origin);
      // What it is handed may still know the client.
      if (!is_settled(life->machine.state()) && life->gone.size() < kMaxGone) life->gone.push_back(origin);
    }
  });
}

void PluginLives::reconfigure() {
  strand_.post([this] {
    for (const auto& [name, life] : lives_) {
      if (life->current && is_serving(life->machine.state())) host_.reconfigure(name, life->current);
    }
  });
}

void PluginLives::when_settled(const std::string& plugin, std::move_only_function<void()> done) {
  strand_.post([&life = at(plugin), done = std::move(done)]() mutable {
    life.when_settled.push_back(std::move(done));
    tell_settled(life);
  });
}

void PluginLives::tell_settled(Life& life) {
  if (!is_settled(life.machine.state())) return;
  for (auto& told : std::exchange(life.when_settled, {})) told();
}

void PluginLives::stop_starting() {
  strand_.run([this] {
    stopping_ = true;
    for (const auto& [name, life] : lives_) {
      (void)timers_.cancel(life->timer);
      life->machine.handle(E::host_stops, {});
    }
  });
}

std::vector<PluginInstance> PluginLives::running() {
  std::vector<PluginInstance> out;
  strand_.run([&] { out = running_; });
  return out;
}

// Who looks when the back-off is over need not wait for the timer that says so.
void PluginLives::want(Life& life) {
  life.place.take_want();
  const S state = life.machine.state();
  if (timers_.now() >= life.opens_at) {
    if (state == S::backing_off) life.machine.handle(E::back_off_over, {});
    if (state == S::awaiting_need) life.machine.handle(E::need_open, {});
  }
  life.machine.handle(E::want, {});
}

// --- What the table asks for ---

void PluginLives::perform(Life& life, const Machine::Step& step, Facts& facts) {
  switch (step.action) {
    case A::serve:
      serve(life, facts);
      break;
    case A::withdraw:
      life.place.withdraw();
      if (shown_as(step.to) == "draining")
        publish(life, "draining", step.to == S::closing ? "it is not trusted any more" : facts.reason);
      break;
    case A::refuse:
      forget_handover(life);
      life.place.refuse(refusal(life, facts));
      break;
    case A::forgive:
      life.failures.forgive();
      life.place.release();
      break;
    case A::gather:
      gather(life);
      break;
    case A::load:
      start(life, false);
      break;
    case A::load_next:
      load_next(life);
      break;
    case A::drop_next:
      ++life.starts;
      if (life.next_loads) ++life.dropped;
      life.next_loads = false;
      break;
    case A::stop:
      if (step.from == S::starting_stale || step.from == S::trying_stale) {
        life.current = facts.instance;
        publish(life, "draining", "what it needs has gone while it started");
      }
      end(life, LifeHost::End::now);
      break;
    case A::hand_over:
      end(life, LifeHost::End::after_handover);
      break;
    case A::replace:
      end_beside(life, facts.instance, false);
      break;
    case A::adopt:
      host_.adopt(life.name, *facts.build);
      strand_.post([this] { look_at_table(); });
      break;
    case A::back_off:
      back_off(life, facts);
      break;
    case A::start_if_wanted:
      if (host_.starts_by_itself(*build_of(life).spec)) post(life, E::want);
      break;
    case A::retire_dependents:
      retire_dependents(life);
      break;
    case A::confirm_reload:
      answer_reload(life, {});
      break;
    case A::refuse_reload: {
      const Error otherwise{ErrorKind::unavailable,
                            stopping_ ? "the host is stopping"
                                      : "plugin " + life.name + " was stopped while it was reloaded; reload it again",
                            {}};
      answer_reload(life, std::unexpected(facts.error.message.empty() ? otherwise : facts.error));
      break;
    }
  }
}

// What is shown of it has changed: whoever listens, and those that need it, are told.
void PluginLives::changed(Life& life, S /*from*/, S to) {
  const auto shown = shown_as(to);
  switch (to) {
    case S::quarantined:
    case S::held:
      life.place.hold(std::nullopt);
      break;
    case S::backing_off:
    case S::awaiting_need:
      life.place.hold(life.opens_at);
      break;
    default:
      life.place.release();
  }
  if (to == S::quarantined || to == S::blocked) publish(life, shown, reason_of(life));
  if (to == S::backing_off)
    publish(life, shown, life.failures.reason(),
            {{"retry_after_ms", std::chrono::ceil<std::chrono::milliseconds>(life.opens_at - timers_.now()).count()}});
  // Who came while its instance was dying was not served by it.
  if (is_settled(to) && !is_serving(to) && life.place.is_awaited()) strand_.post([this, &life] { want(life); });
  // Once what was postponed is handled, too.
  if (is_settled(to)) strand_.post([&life] { tell_settled(life); });
  // On the way back to `known` it may be neither: the table of plugins, and what it needs, say so.
  strand_.post([this, &life] { review(life); });
  review_dependents(life);
  look_who_is_clear();
}

// What a plugin needs, or needed before its reload, may wait for its end.
void PluginLives::look_who_is_clear() {
  for (const auto& [name, waiting] : lives_) {
    if (!waiting->when_clear) continue;
    strand_.post([this, &life = *waiting] {
      if (life.when_clear && is_clear(life)) std::exchange(life.when_clear, {})();
    });
  }
}

void PluginLives::serve(Life& life, Facts& facts) {
  if (facts.instance) {
    life.current.swap(facts.instance);  // the one before it is to be ended
    life.has_run = true;
    life.since.clear();
    forget_handover(life);
    publish(life, "ready", {}, {{"version", build_of(life).spec->manifest->version}});
    // What changed while it started has found no plugin to tell.
    host_.reconfigure(life.name, life.current);
    for (const OriginId origin : std::exchange(life.gone, {})) host_.tell_gone(life.current, origin);
  }
  if (!life.current) return;
  if (host_.is_dead(life.current)) {
    life.place.withdraw();  // the event of its death waits behind this one, and so do the callers
  } else {
    life.place.serve(life.current);
  }
}

Error PluginLives::refusal(const Life& life, const Facts& facts) const {
  if (!facts.error.message.empty()) return facts.error;
  const auto spec = build_of(life).spec;
  const std::string by_hand = "; start it by `gantry plugin restart " + life.name + "`";
  const auto unavailable = [&](const std::string& what, const std::string& data = {}) {
    return Error{ErrorKind::unavailable, "plugin " + life.name + " " + what, data};
  };
  switch (life.machine.state()) {
    case S::quarantined:
      return unavailable("is quarantined: " + life.failures.reason() + by_hand);
    case S::held:
      return unavailable("has failed and is not to be restarted: " + life.failures.reason() + by_hand);
    case S::backing_off: {
      const std::string left = milliseconds(std::max(life.opens_at - timers_.now(), Duration::zero()));
      return unavailable("is backing off for " + left + " ms: " + life.failures.reason(),
                         R"({"retry_after_ms":)" + left + "}");
    }
    case S::awaiting_need:
      return unavailable("waits for a plugin that it needs: " + life.blocked_by);
    case S::stopping:
    case S::stopped:
      return {ErrorKind::unavailable, "the host is stopping", {}};
    default:
      break;
  }
  if (auto refused = spec->refusal()) return *refused;
  return unavailable("cannot be started: " + reason_of(life));
}

void PluginLives::back_off(Life& life, Facts& facts) {
  life.opens_at = timers_.now() + facts.after;
  const auto number = ++life.back_off;
  life.timer = timers_.after(facts.after, [this, &life, number] {
    strand_.post([&life, number] {
      if (life.back_off == number && life.machine.state() == S::backing_off) life.machine.handle(E::back_off_over, {});
    });
  });
}

void PluginLives::answer_reload(Life& life, Result<void> result) {
  life.next.reset();
  if (auto done = std::exchange(life.reload_done, nullptr)) done(std::move(result));
}

void PluginLives::forget_handover(Life& life) {
  if (const auto given = std::exchange(life.handed_over, nullptr)) given->give_up();
}

// --- Starts ---

PluginBuild PluginLives::build_of(const Life& life) const {
  auto table = host_.table();
  auto spec = PluginTable::share(table, life.name);
  return {std::move(table), std::move(spec)};
}

bool PluginLives::is_gathering(const Life& life, std::uint64_t number) {
  return life.gathering == number && life.machine.state() == S::gathering;
}

// What comes of it are events, and no action may handle one: hence the posts.
void PluginLives::gather(Life& life) {
  const auto number = ++life.gathering;
  life.needs_ready = 0;
  host_.prepare(life.name, !life.has_run, [this, &life, number](Result<void> may) {
    strand_.post([this, &life, number, may = std::move(may)] {
      if (!is_gathering(life, number)) return;
      if (may) {
        gather_on(life, number);
      } else {
        life.machine.handle(E::refused, {.error = may.error()});
      }
    });
  });
}

// Those that need it end first; then those that it needs start, one after the other.
void PluginLives::gather_on(Life& life, std::uint64_t number) {
  if (!is_gathering(life, number)) return;
  if (!is_clear(life)) {
    life.when_clear = [this, &life, number] { gather_on(life, number); };
    return;
  }
  if (const auto refused = build_of(life).spec->refusal()) {  // the table has just changed
    life.machine.handle(E::refused, {.error = *refused});
    return;
  }
  const auto needs = needs_of(life);
  if (life.needs_ready == needs.size()) {
    if (are_serving(needs)) {
      life.machine.handle(E::needs_met, {});
    } else {  // one that was ready has gone while the others started
      life.needs_ready = 0;
      strand_.post([this, &life, number] { gather_on(life, number); });
    }
    return;
  }
  const std::string& need = needs[life.needs_ready];
  at(need).place.get_async([this, &life, number, need](Result<PluginInstance> result) {
    strand_.post([this, &life, number, need, result = std::move(result)] {
      if (!is_gathering(life, number)) return;
      if (result) {
        ++life.needs_ready;
        gather_on(life, number);
      } else {
        need_refused(life, need, result.error());
      }
    });
  });
}

void PluginLives::need_refused(Life& life, const std::string& need, const Error& error) {
  const S state = at(need).machine.state();
  const bool waits = state == S::backing_off || state == S::awaiting_need;
  life.blocked_by = "it needs " + need + ", which is " + std::string(shown_as(state)) + ": " + reason_of(at(need));
  if (waits) life.opens_at = at(need).opens_at;
  life.machine.handle(
      waits ? E::needs_back_off : E::needs_unmet,
      {.error = {error.kind, "plugin " + life.name + " needs " + need + ": " + error.message, error.data}});
}

bool PluginLives::are_serving(const std::vector<std::string>& plugins) const {
  return std::ranges::all_of(plugins, [this](const auto& one) { return is_serving(at(one).machine.state()); });
}

// What it needs was ready when the reload was asked for.
void PluginLives::load_next(Life& life) {
  const auto needs = known_of(life.next->table->graph().needs_of(life.name));
  if (are_serving(needs)) {
    start(life, true);
    return;
  }
  strand_.post([this, &life, number = ++life.starts] {
    if (life.starts != number) return;
    next_failed(
        life,
        {.error = {ErrorKind::unavailable, "plugin " + life.name + " cannot be reloaded: what it needs has gone", {}}});
  });
}

// What the death of the build before it demands was put off.
void PluginLives::next_failed(Life& life, Facts facts) {
  life.machine.handle(E::next_failed, std::move(facts));
  const auto verdict = std::exchange(life.verdict, std::nullopt);
  if (verdict && verdict->event != E::broke_again && life.machine.state() == S::known)
    life.machine.handle(verdict->event, {.after = verdict->after});
}

bool PluginLives::is_clear(const Life& life) const {
  return std::ranges::none_of(needed_by(life), [&](const auto& dependent) {
    const S state = at(dependent).machine.state();
    return state == S::draining || state == S::closing || state == S::handing_over || state == S::stopping ||
           state == S::starting_stale || state == S::trying_stale || at(dependent).dropped != 0;
  });
}

// Those that are just being added have no life yet, or are in no table yet.
std::vector<std::string> PluginLives::needs_of(const Life& life) const {
  const auto table = host_.table();
  return table->has(life.name) ? known_of(table->graph().needs_of(life.name)) : std::vector<std::string>();
}

std::vector<std::string> PluginLives::needed_by(const Life& life) const {
  const auto table = host_.table();
  return table->has(life.name) ? known_of(table->graph().needed_by(life.name)) : std::vector<std::string>();
}

std::vector<std::string> PluginLives::known_of(const std::vector<std::string>& names) const {
  std::vector<std::string> out;
  std::ranges::copy_if(names, std::back_inserter(out), [this](const auto& one) { return knows(one); });
  return out;
}

void PluginLives::start(Life& life, bool is_next) {
  life.failures.starts(is_next);
  life.next_loads = is_next;
  publish(life, "starting");
  host_.start({is_next ? *life.next : build_of(life), is_next, life.handed_over, life.since},
              [this, &life, is_next, number = ++life.starts](LifeHost::Started outcome) {
                strand_.post([this, &life, is_next, number, outcome = std::move(outcome)]() mutable {
                  started(life, is_next, number, std::move(outcome));
                });
              });
}

void PluginLives::started(Life& life, bool is_next, std::uint64_t number, LifeHost::Started outcome) {
  if (outcome.hangs) {
    abandoned_ = true;
    ++life.abandoned;
  }
  const auto death = outcome.instance ? early_death(life, *outcome.instance) : std::nullopt;
  if (death) publish(life, "died", death->reason, death->details());
  if (life.starts == number) life.next_loads = false;
  if (life.starts != number) {  // it was dropped
    if (outcome.instance && !death) {
      end_beside(life, *outcome.instance, true);
    } else {
      dropped_has_ended(life);
    }
  } else if (!outcome.instance) {
    const Error& error = outcome.instance.error();
    publish(life, "failed", error.message);
    start_broke(life, is_next, error, details_of(error), false);
  } else if (death) {
    start_broke(life, is_next, {ErrorKind::plugin_died, death->reason, {}}, death->details(), true);
  } else {
    running_.push_back(*outcome.instance);
    life.verdict.reset();
    life.machine.handle(is_next ? E::next_started : E::started, {.instance = *outcome.instance, .build = life.next});
  }
}

std::optional<Death> PluginLives::early_death(Life& life, const PluginInstance& instance) {
  const auto found = std::ranges::find(life.early_deaths, instance, &std::pair<PluginInstance, Death>::first);
  if (found == life.early_deaths.end()) return std::nullopt;
  Death death = std::move(found->second);
  life.early_deaths.erase(found);
  return death;
}

void PluginLives::start_broke(Life& life, bool is_next, const Error& error, json details, bool was_running) {
  const std::string what =
      was_running ? (is_next ? " died as soon as it had started: " : " died: ") : " could not be started: ";
  Facts facts{.error = {error.kind, "plugin " + life.name + what + error.message, was_running ? "" : error.data}};
  if (is_next) {
    next_failed(life, std::move(facts));
    return;
  }
  const auto verdict =
      life.failures.judge(error.message, std::move(details), timers_.now(), too_many_hang(life, error.message));
  facts.after = verdict.after;
  facts.reason = verdict.reason;
  life.machine.handle(verdict.event, std::move(facts));
}

// --- Ends ---

void PluginLives::end(Life& life, LifeHost::End how) {
  const auto now = [this, &life, how] {
    host_.end(life.name, life.current, how, [this, &life](LifeHost::Ended ended) {
      strand_.post([this, &life, ended = std::move(ended)] {
        std::erase(running_, life.current);
        abandoned_ = abandoned_ || ended.hangs;
        life.handed_over = ended.given;
        life.current.reset();
        publish(life, "stopped");
        life.machine.handle(E::drained, {});
      });
    });
  };
  // Those that need it have just been told to end, and are asked first.
  strand_.post([this, &life, now] {
    if (is_clear(life)) {
      now();
    } else {
      life.when_clear = now;
    }
  });
}

// Beside the instance that has the calls now; whoever asked for the reload does not wait for it. `dropped`: it never
// had any.
void PluginLives::end_beside(Life& life, const PluginInstance& old, bool dropped) {
  life.replaced.push_back(old);
  const auto how = dropped ? LifeHost::End::now : LifeHost::End::replaced;
  host_.end(life.name, old, how, [this, &life, old, dropped](const LifeHost::Ended& ended) {
    strand_.post([this, &life, old, dropped, hangs = ended.hangs] {
      std::erase(running_, old);
      abandoned_ = abandoned_ || hangs;
      std::erase_if(life.replaced, [&](const auto& one) { return is(one, old); });
      publish(life, "stopped", dropped ? "what it needs has gone while it started" : "a new build has replaced it");
      if (dropped) dropped_has_ended(life);
    });
  });
}

void PluginLives::dropped_has_ended(Life& life) {
  --life.dropped;
  look_who_is_clear();
}

std::string PluginLives::too_many_hang(const Life& life, const std::string& reason) const {
  if (life.abandoned < kMaxAbandoned) return {};
  return std::to_string(kMaxAbandoned) + " instances of it hang in this process, the last failure: " + reason +
         "; run it with isolation = \"child\"";
}

// --- Those that need others ---

// Whether it may start has to do with the table of plugins, and with those that it needs.
void PluginLives::review(Life& life) {
  const auto table = host_.table();
  if (!table->has(life.name)) return;  // it is just being added
  const auto spec = PluginTable::share(table, life.name);
  if (is_settled(life.machine.state())) look_at_verdict(life, *spec);
  bool waits = false;
  for (const auto& need : needs_of(life)) {
    const Life& needed = at(need);
    const S it = needed.machine.state();
    if (is_in_the_way(it)) {
      life.blocked_by = "it needs " + need + ", which is " + std::string(shown_as(it)) + ": " + reason_of(needed);
      life.machine.handle(E::need_closed, {});
      return;
    }
    waits = waits || it == S::backing_off || it == S::awaiting_need;
  }
  if (!waits || life.machine.state() == S::blocked) life.machine.handle(E::need_open, {});
}

void PluginLives::review_dependents(Life& life) {
  for (const auto& dependent : needed_by(life)) strand_.post([this, &other = at(dependent)] { review(other); });
}

void PluginLives::retire_dependents(Life& life) {
  for (const auto& dependent : needed_by(life)) {
    strand_.post([&other = at(dependent), need = life.name] {
      other.machine.handle(E::need_gone, {.reason = "it needs " + need});
    });
  }
}

// --- What is seen ---

std::string PluginLives::reason_of(const Life& life) const {
  const S state = life.machine.state();
  const auto shown = shown_as(state);
  if (shown == "ready" || shown == "starting") return {};
  if (state == S::blocked || state == S::awaiting_need) return life.blocked_by;
  if (state == S::out_of_order || state == S::disabled) {
    const auto spec = build_of(life).spec;
    return state == S::out_of_order ? spec->failure : spec->enabled ? spec->untrusted_reason() : "";
  }
  return life.failures.reason();
}

PluginLives::View PluginLives::view_of(const Life& life) const {
  return {life.machine.state(),     reason_of(life), life.failures.restarts(),
          life.failures.evidence(), life.current,    static_cast<int>(life.replaced.size())};
}

PluginLives::View PluginLives::view(const std::string& plugin) {
  View out;
  strand_.run([&] { out = view_of(at(plugin)); });
  return out;
}

LifeState PluginLives::state(const std::string& plugin) {
  LifeState out{};
  strand_.run([&] { out = at(plugin).machine.state(); });
  return out;
}

std::vector<std::pair<std::string, PluginLives::View>> PluginLives::views() {
  std::vector<std::pair<std::string, View>> out;
  strand_.run([&] {
    const auto table = host_.table();
    for (const auto& spec : table->specs()) out.emplace_back(spec.name, view_of(at(spec.name)));
  });
  return out;
}

void PluginLives::publish(Life& life, std::string_view what, const std::string& reason, json more) {
  host_.publish(what, life.name, reason, std::move(more));
}

}  // namespace gantry::host
