// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_life.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <iterator>
#include <utility>

#include "host/services/plugin_lives.hpp"

namespace gantry::host {

namespace {

using S = LifeState;
using E = LifeEvent;
using A = LifeAction;

[[nodiscard]] auto milliseconds(Duration d) { return std::chrono::ceil<std::chrono::milliseconds>(d).count(); }

[[nodiscard]] json details_of(const Error& error) {
  auto details = parse_json(error.data);
  return details && details->is_object() ? std::move(*details) : json::object();
}

}  // namespace

PluginLife::PluginLife(std::string plugin, RestartPolicy policy, PluginLives& lives)
    : name_(std::move(plugin)),
      lives_(lives),
      place_(lives.size(), lives.timers(), [this, &lives] { lives.strand().post([this] { want(); }); }),
      failures_(policy),
      instances_(name_, lives),
      needs_(*this, lives),
      machine_(
          lives.strand(), plugin_life(), [this](const Machine::Step& step, LifeFacts& facts) { perform(step, facts); },
          [this](S from, S to) { changed(from, to); },
          [&lives](S state, E event) { lives.note_impossible(state, event); }) {}

PluginLife::~PluginLife() { assert(!reload_done_ && when_settled_.empty()); }

// --- Events from outside ---

// In one task: nobody who asks for the instance comes between.
void PluginLife::restart(LiveInstance::Callback done) {
  lives_.strand().post([this, done = std::move(done)]() mutable {
    handle(E::restart);
    place_.get_async(std::move(done));
  });
}

void PluginLife::activate(const Since& since) {
  lives_.strand().post([this, since] {
    if (!is_serving(state())) instances_.set_since(since);
    want();
  });
}

void PluginLife::reload(PluginBuild build, bool handover, Done done) {
  lives_.strand().post([this, build = std::move(build), handover, done = std::move(done)]() mutable {
    next_ = std::move(build);
    reload_done_ = std::move(done);
    handle(handover ? E::reload_handover : E::reload_overlap);
  });
}

void PluginLife::died(const PluginInstance& instance, const Death& death) {
  place_.withdraw(instance);
  lives_.strand().post([this, instance, death, hangs = lives_.host().is_inline(instance)] {
    if (instances_.died(instance, death, hangs, state()))
      broke(death.reason, death.details(), {ErrorKind::plugin_died, "plugin " + name_ + " died: " + death.reason, {}});
  });
}

void PluginLife::when_settled(std::move_only_function<void()> done) {
  lives_.strand().post([this, done = std::move(done)]() mutable {
    when_settled_.push_back(std::move(done));
    tell_settled();
  });
}

void PluginLife::tell_settled() {
  if (!is_settled(state())) return;
  for (auto& told : std::exchange(when_settled_, {})) told();
}

// Who looks when the back-off is over need not wait for the timer that says so.
void PluginLife::want() {
  place_.take_want();
  if (lives_.timers().now() >= opens_at_) {
    if (state() == S::backing_off) handle(E::back_off_over);
    if (state() == S::awaiting_need) handle(E::need_open);
  }
  handle(E::want);
}

void PluginLife::blame(const std::string& reason) {
  failures_.blame(reason);
  handle(E::broke_quarantine);
}

void PluginLife::gone(OriginId origin) {
  if (instances_.current()) lives_.host().tell_gone(instances_.current(), origin);
  // What it is handed may still know the client.
  if (!is_settled(state()) && gone_.size() < kMaxGone) gone_.push_back(origin);
}

void PluginLife::reconfigure() {
  if (instances_.current() && is_serving(state())) lives_.host().reconfigure(name_, instances_.current());
}

void PluginLife::stop_starting() {
  (void)lives_.timers().cancel(timer_);
  instances_.hurry({});  // the router has waited for the calls
  handle(E::host_stops);
}

void PluginLife::review() {
  const auto table = lives_.host().table();
  if (!table->has(name_)) return;  // it is just being added
  if (is_settled(state())) look_at(*PluginTable::share(table, name_));
  needs_.review();
}

bool PluginLife::starts_with_host() const { return build().spec->starts_with_host() || needs_.is_needed_at_start(); }

// Its start may have been refused while what it needs was on its way back.
void PluginLife::need_serves() {
  if (state() == S::known && starts_with_host()) want();
}

void PluginLife::look_at(const PluginSpec& spec) {
  const bool disabled = !spec.enabled || (spec.failure.empty() && !spec.untrusted().empty());
  if (disabled) instances_.hurry(LifeHost::kGrace);
  handle(disabled ? E::disable : spec.failure.empty() ? E::allow : E::disorder);
}

// --- What the table asks for ---

void PluginLife::perform(const Machine::Step& step, LifeFacts& facts) {
  switch (step.action) {
    case A::serve:
      return serve(facts);
    case A::withdraw:
      place_.withdraw();
      if (shown_as(step.to) == "draining")
        publish("draining", step.to == S::closing ? "it is not trusted any more" : facts.reason);
      return;
    case A::refuse:
      instances_.forget_handover();
      return place_.refuse(refusal(facts));
    case A::forgive:
      failures_.forgive();
      return place_.release();
    case A::gather:
      return needs_.gather(!instances_.has_run());
    case A::load:
      return load(false);
    case A::load_next:
      return load(true);
    case A::drop_next:
      return instances_.drop_start();
    case A::stop:
      if (step.from == S::starting_stale || step.from == S::trying_stale) {
        instances_.swap(facts.instance);
        publish("draining", "what it needs has gone while it started");
      }
      return end(LifeHost::End::now);
    case A::hand_over:
      return end(LifeHost::End::after_handover);
    case A::replace:
      return instances_.end_beside(facts.instance);
    case A::adopt:
      lives_.host().adopt(name_, *facts.build);
      return lives_.strand().post([this] { lives_.look_at_table(); });
    case A::back_off:
      return back_off(facts.after);
    case A::start_if_wanted:
      if (build().spec->starts_by_itself() || needs_.is_needed_at_start()) machine_.post(E::want);
      return;
    case A::start_with_host:
      if (starts_with_host()) machine_.post(E::want);
      return;
    case A::retire_dependents:
      return needs_.retire_dependents();
    case A::confirm_reload:
      return answer_reload({});
    case A::refuse_reload: {
      const Error otherwise{ErrorKind::unavailable,
                            lives_.is_stopping()
                                ? "the host is stopping"
                                : "plugin " + name_ + " was stopped while it was reloaded; reload it again",
                            {}};
      return answer_reload(std::unexpected(facts.error.message.empty() ? otherwise : facts.error));
    }
  }
}

// What is shown of it has changed: whoever listens, and those that need it, are told.
void PluginLife::changed(S from, S to) {
  if (to == S::quarantined || to == S::held) {
    place_.hold(std::nullopt);
  } else if (is_waiting(to)) {
    place_.hold(opens_at_);
  } else {
    place_.release();
  }
  if (to == S::quarantined || to == S::blocked) publish(shown_as(to), reason());
  if (to == S::backing_off)
    publish(shown_as(to), failures_.reason(), {{"retry_after_ms", milliseconds(opens_at_ - lives_.timers().now())}});
  // Who came while its instance was dying was not served by it.
  if (is_settled(to) && !is_serving(to) && place_.is_awaited()) lives_.strand().post([this] { want(); });
  // Once what was postponed is handled, too.
  if (is_settled(to)) lives_.strand().post([this] { tell_settled(); });
  // On the way back to `known` it may be neither: the table of plugins, and what it needs, say so.
  lives_.strand().post([this] { review(); });
  needs_.review_dependents();
  if (is_serving(to) && !is_serving(from)) needs_.start_dependents();
  lives_.look_who_is_clear();
}

void PluginLife::serve(LifeFacts& facts) {
  const auto& current = instances_.current();
  if (facts.instance) {
    instances_.swap(facts.instance);  // the one before it is to be ended
    instances_.serves();
    publish("ready", {}, {{"version", build().spec->manifest->version}});
    // What changed while it started has found no plugin to tell.
    lives_.host().reconfigure(name_, current);
    for (const OriginId origin : std::exchange(gone_, {})) lives_.host().tell_gone(current, origin);
  }
  if (!current) return;
  if (lives_.host().is_dead(current)) {
    place_.withdraw();  // the event of its death waits behind this one, and so do the callers
  } else {
    place_.serve(current);
  }
}

Error PluginLife::refusal(const LifeFacts& facts) const {
  if (!facts.error.message.empty()) return facts.error;
  const std::string by_hand = "; start it by `gantry plugin restart " + name_ + "`";
  const auto unavailable = [&](const std::string& what, const std::string& data = {}) {
    return Error{ErrorKind::unavailable, "plugin " + name_ + " " + what, data};
  };
  switch (state()) {
    case S::quarantined:
      return unavailable("is quarantined: " + failures_.reason() + by_hand);
    case S::held:
      return unavailable("has failed and is not to be restarted: " + failures_.reason() + by_hand);
    case S::backing_off: {
      const auto left = std::to_string(milliseconds(std::max(opens_at_ - lives_.timers().now(), Duration::zero())));
      return unavailable("is backing off for " + left + " ms: " + failures_.reason(),
                         R"({"retry_after_ms":)" + left + "}");
    }
    case S::awaiting_need:
      return unavailable("waits for a plugin that it needs: " + needs_.blocked_by());
    case S::stopping:
    case S::stopped:
      return {ErrorKind::unavailable, "the host is stopping", {}};
    default:
      break;
  }
  if (auto refused = build().spec->refusal()) return *refused;
  return unavailable("cannot be started: " + reason());
}

void PluginLife::back_off(Duration delay) {
  opens_at_ = lives_.timers().now() + delay;
  (void)lives_.timers().cancel(timer_);
  timer_ = lives_.timers().at(opens_at_, lives_.on_strand([this, until = opens_at_] {
    if (opens_at_ == until && state() == S::backing_off) handle(E::back_off_over);
  }));
}

void PluginLife::answer_reload(Result<void> result) {
  next_.reset();
  if (auto done = std::exchange(reload_done_, nullptr)) done(std::move(result));
}

// --- Starts and ends ---

PluginBuild PluginLife::build() const {
  auto table = lives_.host().table();
  auto spec = PluginTable::share(table, name_);
  return {std::move(table), std::move(spec)};
}

void PluginLife::load(bool is_next) {
  // What it needs was ready when the reload was asked for.
  const auto serves = [](const auto* need) { return is_serving(need->state()); };
  if (is_next && !std::ranges::all_of(lives_.lives_of(next_->table->graph().needs_of(name_)), serves)) {
    const std::string why = "plugin " + name_ + " cannot be reloaded: what it needs has gone";
    instances_.skip_start([this, why] { next_failed({.error = {ErrorKind::unavailable, why, {}}}); });
    return;
  }
  failures_.starts(is_next);
  instances_.start(is_next ? *next_ : build(), is_next,
                   [this, is_next](const PluginInstances::Outcome& outcome) { started(is_next, outcome); });
}

void PluginLife::started(bool is_next, const PluginInstances::Outcome& outcome) {
  const auto& [instance, death] = outcome;
  if (instance && !death) {
    verdict_.reset();
    handle(is_next ? E::next_started : E::started, {.instance = *instance, .build = next_});
    return;
  }
  const Error error = death ? Error{ErrorKind::plugin_died, death->reason, {}} : instance.error();
  if (!death) publish("failed", error.message);
  const std::string what = !death    ? " could not be started: "
                           : is_next ? " died as soon as it had started: "
                                     : " died: ";
  Error told{error.kind, "plugin " + name_ + what + error.message, error.data};
  if (is_next) {
    next_failed({.error = std::move(told)});
  } else {
    broke(error.message, death ? death->details() : details_of(error), std::move(told));
  }
}

void PluginLife::broke(const std::string& reason, json details, Error error) {
  const std::string too_many = instances_.abandoned() < kMaxAbandoned
                                   ? ""
                                   : std::to_string(kMaxAbandoned) + " instances of it hang in this process, " +
                                         "the last failure: " + reason + "; run it with isolation = \"child\"";
  const auto verdict = failures_.judge(reason, std::move(details), lives_.timers().now(), too_many);
  if (state() == S::overlapping) verdict_ = verdict;  // in force if the next build does not start
  handle(verdict.event, {.error = std::move(error), .after = verdict.after});
}

// What the death of the build before it demands was put off.
void PluginLife::next_failed(LifeFacts facts) {
  handle(E::next_failed, std::move(facts));
  const auto verdict = std::exchange(verdict_, std::nullopt);
  if (verdict && verdict->event != E::broke_again && state() == S::known)
    handle(verdict->event, {.after = verdict->after});
}

// Those that need it have just been told to end, and are asked first. Whoever stops the host ends what still runs, in
// order: those that need it may run by now, and not be told any more.
void PluginLife::end(LifeHost::End how) {
  instances_.hurry(LifeHost::kGrace);
  lives_.strand().post([this, how] {
    needs_.when_clear([this, how] {
      if (lives_.is_stopping()) {
        handle(E::drained);
      } else {
        instances_.end(how, [this] { handle(E::drained); });
      }
    });
  });
}

// --- What is seen ---

bool PluginLife::is_ending() const { return host::is_ending(state()) || instances_.has_dropped(); }

std::string PluginLife::reason() const {
  const auto shown = shown_as(state());
  if (shown == "ready" || shown == "starting") return {};
  if (state() == S::blocked || state() == S::awaiting_need) return needs_.blocked_by();
  if (state() == S::out_of_order || state() == S::disabled) {
    const auto spec = build().spec;
    return state() == S::out_of_order ? spec->failure : spec->enabled ? spec->untrusted_reason() : "";
  }
  return failures_.reason();
}

PluginLife::View PluginLife::view() {
  View out;
  lives_.strand().run([&] {
    out = {state(),
           reason(),
           failures_.restarts(),
           failures_.evidence(),
           instances_.current(),
           static_cast<int>(instances_.beside().size())};
  });
  return out;
}

void PluginLife::add_running(std::vector<PluginInstance>& to) const {
  const auto runs = [this](const PluginInstance& one) { return one && !lives_.host().is_dead(one); };
  std::ranges::copy_if(instances_.beside(), std::back_inserter(to), runs);
  if (runs(instances_.current())) to.push_back(instances_.current());
}

void PluginLife::publish(std::string_view what, const std::string& reason, json more) {
  lives_.host().publish(what, name_, reason, std::move(more));
}

}  // namespace gantry::host
