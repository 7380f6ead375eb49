// SPDX-License-Identifier: Apache-2.0
#include "host/services/life_table.hpp"

#include <boost/describe/enum.hpp>
#include <boost/describe/enum_to_string.hpp>

namespace gantry::host {

BOOST_DESCRIBE_ENUM(LifeState, known, disabled, out_of_order, blocked, start_failed, held, backing_off, awaiting_need,
                    quarantined, gathering, starting, starting_stale, ready, draining, closing, overlapping,
                    handing_over, succeeding, trying, trying_stale, stopping, stopped)
BOOST_DESCRIBE_ENUM(LifeEvent, want, needs_met, needs_unmet, needs_back_off, started, refused, broke_again,
                    broke_back_off, broke_quarantine, broke_hold, back_off_over, restart, need_gone, need_closed,
                    need_open, drained, reload_overlap, reload_handover, next_started, next_failed, allow, disable,
                    disorder, host_stops)
BOOST_DESCRIBE_ENUM(LifeAction, serve, withdraw, refuse, forgive, gather, load, load_next, drop_next, stop, hand_over,
                    replace, adopt, back_off, start_if_wanted, start_with_host, retire_dependents, confirm_reload,
                    refuse_reload)

namespace {

using S = LifeState;
using E = LifeEvent;
using A = LifeAction;

/// In a state in which no instance is there and none comes: what is the same in all of them.
LifeTable::Rows idle(LifeTable& table, S state) {
  return table.in(state)
      .on(E::restart, S::gathering, {A::forgive, A::gather})
      .on({E::reload_overlap, E::reload_handover}, S::trying, {A::forgive, A::load_next})
      .on(E::disable, S::disabled, {A::refuse})
      .on(E::disorder, S::out_of_order, {A::refuse})
      .on(E::host_stops, S::stopped, {A::refuse})
      .ignore({E::allow, E::need_gone});
}

/// What follows a start that failed, or the death of an instance: `first`, and what the plugin's failures so far
/// demand.
LifeTable::Rows broke(LifeTable::Rows rows, const std::vector<A>& first, S again) {
  const auto with = [&](E event, S to, std::initializer_list<A> more) {
    std::vector<A> all = first;
    all.insert(all.end(), more);
    rows.on(event, to, all);
  };
  with(E::broke_again, again, {A::start_if_wanted});
  with(E::broke_back_off, S::backing_off, {A::back_off});
  with(E::broke_quarantine, S::quarantined, {});
  with(E::broke_hold, S::held, {});
  return rows;
}

[[nodiscard]] LifeTable make_table() {
  LifeTable table(S::known);

  // May not run.
  table.in(S::disabled)
      .on({E::want, E::restart}, S::disabled, {A::refuse})
      .on({E::reload_overlap, E::reload_handover}, S::trying, {A::load_next})  // to a build that asks for less
      .on(E::allow, S::known)
      .on(E::disorder, S::out_of_order)
      .on(E::host_stops, S::stopped, {A::refuse})
      .ignore({E::disable, E::need_gone, E::need_closed, E::need_open})
      .else_impossible();
  table.in(S::out_of_order)
      .on({E::want, E::restart}, S::out_of_order, {A::refuse})
      .on({E::reload_overlap, E::reload_handover}, S::trying, {A::load_next})
      .on(E::allow, S::known)
      .on(E::disable, S::disabled)
      .on(E::host_stops, S::stopped, {A::refuse})
      .ignore({E::disorder, E::need_gone, E::need_closed, E::need_open})
      .else_impossible();

  // May run.
  idle(table, S::known)
      .on(E::want, S::gathering, {A::gather})
      .on(E::need_closed, S::blocked)
      .on(E::broke_quarantine, S::quarantined)  // a host died of it; or as the next two, after a reload that failed
      .on(E::broke_back_off, S::backing_off, {A::back_off})
      .on(E::broke_hold, S::held)
      .ignore({E::need_open})
      .else_impossible();
  idle(table, S::blocked)
      .on(E::want, S::gathering, {A::gather})
      .on(E::need_open, S::known, {A::start_with_host})
      .ignore({E::need_closed})
      .else_impossible();
  idle(table, S::start_failed)
      .on(E::want, S::gathering, {A::gather})
      .on(E::need_closed, S::blocked)
      .ignore({E::need_open})
      .else_impossible();
  idle(table, S::held).on(E::want, S::held, {A::refuse}).ignore({E::need_closed, E::need_open}).else_impossible();
  idle(table, S::backing_off)
      .on(E::want, S::backing_off, {A::refuse})
      .on(E::back_off_over, S::known, {A::start_if_wanted})
      .ignore({E::need_closed, E::need_open})
      .else_impossible();
  idle(table, S::awaiting_need)
      .on(E::want, S::awaiting_need, {A::refuse})
      .on(E::need_open, S::gathering, {A::gather})
      .on(E::need_closed, S::blocked)
      .else_impossible();
  idle(table, S::quarantined)
      .on(E::want, S::quarantined, {A::refuse})
      .ignore({E::need_closed, E::need_open})
      .else_impossible();

  // Starts.
  table.in(S::gathering)
      .on(E::needs_met, S::starting, {A::load})
      .on({E::needs_unmet, E::refused}, S::known, {A::refuse})
      .on(E::needs_back_off, S::awaiting_need, {A::refuse})
      .on(E::need_gone, S::gathering, {A::gather})
      .on(E::disable, S::disabled, {A::refuse})
      .on(E::disorder, S::out_of_order, {A::refuse})
      .on(E::host_stops, S::stopped, {A::refuse})
      .ignore({E::want, E::restart, E::allow, E::need_closed, E::need_open})
      .postpone({E::reload_overlap, E::reload_handover})
      .else_impossible();
  broke(table.in(S::starting), {A::refuse}, S::start_failed)
      .on(E::started, S::ready, {A::serve})
      .on(E::need_gone, S::starting_stale)
      .on(E::host_stops, S::stopping, {A::refuse})
      .ignore({E::want, E::restart, E::allow, E::need_closed, E::need_open})
      .postpone({E::reload_overlap, E::reload_handover, E::disable, E::disorder})
      .else_impossible();
  broke(table.in(S::starting_stale), {A::refuse}, S::start_failed)
      .on(E::started, S::draining, {A::stop})
      .on(E::host_stops, S::stopping, {A::refuse})
      .ignore({E::want, E::restart, E::allow, E::need_gone, E::need_closed, E::need_open})
      .postpone({E::reload_overlap, E::reload_handover, E::disable, E::disorder})
      .else_impossible();

  // Runs.
  broke(table.in(S::ready), {A::withdraw, A::retire_dependents}, S::known)
      .on(E::want, S::ready, {A::serve})
      .on(E::restart, S::draining, {A::withdraw, A::retire_dependents, A::forgive, A::stop})
      .on(E::need_gone, S::draining, {A::withdraw, A::retire_dependents, A::stop})
      .on(E::reload_overlap, S::overlapping, {A::load_next})
      .on(E::reload_handover, S::handing_over, {A::withdraw, A::hand_over})
      .on({E::disable, E::disorder}, S::closing, {A::withdraw, A::retire_dependents, A::stop})
      .on(E::host_stops, S::stopped)
      .ignore({E::allow, E::need_closed, E::need_open})
      .else_impossible();

  // Ends.
  table.in(S::draining)
      .on(E::drained, S::gathering, {A::gather})
      .on({E::disable, E::disorder}, S::closing)
      .on(E::host_stops, S::stopping, {A::refuse})
      .ignore({E::want, E::restart, E::allow, E::need_gone, E::need_closed, E::need_open})
      .postpone({E::reload_overlap, E::reload_handover})
      .else_impossible();
  table.in(S::closing)
      .on(E::drained, S::disabled, {A::refuse})
      .on(E::host_stops, S::stopping, {A::refuse})
      .ignore({E::want, E::restart, E::disable, E::disorder, E::need_gone, E::need_closed, E::need_open})
      .postpone({E::reload_overlap, E::reload_handover, E::allow})
      .else_impossible();

  // Is reloaded. What comes in between ends the reload, where an instance has the calls still.
  table.in(S::overlapping)
      .on(E::want, S::overlapping, {A::serve})
      .on(E::next_started, S::ready, {A::adopt, A::serve, A::replace, A::confirm_reload})
      .on(E::next_failed, S::ready, {A::refuse_reload})
      .on({E::broke_again, E::broke_back_off, E::broke_quarantine, E::broke_hold}, S::trying,
          {A::withdraw, A::retire_dependents})
      .on(E::restart, S::draining,
          {A::withdraw, A::retire_dependents, A::forgive, A::refuse_reload, A::drop_next, A::stop})
      .on(E::need_gone, S::draining, {A::withdraw, A::retire_dependents, A::refuse_reload, A::drop_next, A::stop})
      .on({E::disable, E::disorder}, S::closing,
          {A::withdraw, A::retire_dependents, A::refuse_reload, A::drop_next, A::stop})
      .on(E::host_stops, S::stopping, {A::refuse_reload})
      .ignore({E::allow, E::need_closed, E::need_open})
      .else_impossible();
  table.in(S::handing_over)
      .on(E::drained, S::succeeding, {A::load_next})
      .on(E::host_stops, S::stopping, {A::refuse, A::refuse_reload})
      .ignore({E::want, E::restart, E::allow, E::need_gone, E::need_closed, E::need_open})
      .postpone({E::disable, E::disorder})
      .else_impossible();
  table.in(S::succeeding)
      .on(E::next_started, S::ready, {A::adopt, A::serve, A::confirm_reload})
      .on(E::next_failed, S::gathering, {A::refuse_reload, A::gather})
      .on(E::need_gone, S::trying_stale)
      .on(E::host_stops, S::stopping, {A::refuse, A::refuse_reload})
      .ignore({E::want, E::restart, E::allow, E::need_closed, E::need_open})
      .postpone({E::disable, E::disorder})
      .else_impossible();
  table.in(S::trying)
      .on(E::next_started, S::ready, {A::adopt, A::serve, A::confirm_reload})
      .on(E::next_failed, S::known, {A::refuse, A::refuse_reload, A::start_if_wanted})
      .on(E::need_gone, S::trying_stale)
      .on(E::host_stops, S::stopping, {A::refuse, A::refuse_reload})
      .ignore({E::want, E::restart, E::allow, E::need_closed, E::need_open})
      .postpone({E::disable, E::disorder})
      .else_impossible();
  table.in(S::trying_stale)
      .on(E::next_started, S::draining, {A::adopt, A::confirm_reload, A::stop})
      .on(E::next_failed, S::known, {A::refuse, A::refuse_reload, A::start_if_wanted})
      .on(E::host_stops, S::stopping, {A::refuse, A::refuse_reload})
      .ignore({E::want, E::restart, E::allow, E::need_gone, E::need_closed, E::need_open})
      .postpone({E::disable, E::disorder})
      .else_impossible();

  // The host stops.
  table.in(S::stopping)
      .on(E::want, S::stopping, {A::refuse})
      .on({E::started, E::broke_again, E::broke_back_off, E::broke_quarantine, E::broke_hold, E::drained,
           E::next_started, E::next_failed},
          S::stopped)
      .on({E::reload_overlap, E::reload_handover}, S::stopping, {A::refuse_reload})
      .ignore(
          {E::restart, E::need_gone, E::need_closed, E::need_open, E::allow, E::disable, E::disorder, E::host_stops})
      .else_impossible();
  table.in(S::stopped)
      .on(E::want, S::stopped, {A::refuse})
      .on({E::reload_overlap, E::reload_handover}, S::stopped, {A::refuse_reload})
      .ignore({E::broke_again, E::broke_back_off, E::broke_quarantine, E::broke_hold, E::restart, E::need_gone,
               E::need_closed, E::need_open, E::allow, E::disable, E::disorder, E::host_stops})
      .else_impossible();
  return table;
}

}  // namespace

std::string_view name(LifeState state) { return boost::describe::enum_to_string(state, ""); }
std::string_view name(LifeEvent event) { return boost::describe::enum_to_string(event, ""); }
std::string_view name(LifeAction action) { return boost::describe::enum_to_string(action, ""); }

const LifeTable& plugin_life() {
  static const LifeTable kTable = make_table();
  return kTable;
}

std::string_view shown_as(LifeState state) {
  if (state == S::known) return "known";
  if (state == S::disabled) return "disabled";
  if (state == S::quarantined) return "quarantined";
  if (is_serving(state)) return "ready";
  if (is_waiting(state)) return "backing_off";
  if (state == S::out_of_order || state == S::blocked || state == S::start_failed || state == S::held) return "failed";
  const bool starts = state == S::gathering || state == S::starting || state == S::starting_stale ||
                      state == S::succeeding || state == S::trying || state == S::trying_stale;
  return starts ? "starting" : "draining";
}

bool is_settled(LifeState state) {
  return !is_ending(state) && state != S::gathering && state != S::starting && state != S::overlapping &&
         state != S::succeeding && state != S::trying;
}

bool is_serving(LifeState state) { return state == S::ready || state == S::overlapping; }

bool is_ending(LifeState state) {
  return state == S::draining || state == S::closing || state == S::handing_over || state == S::stopping ||
         state == S::starting_stale || state == S::trying_stale;
}

bool is_waiting(LifeState state) { return state == S::backing_off || state == S::awaiting_need; }

bool is_in_the_way(LifeState state) {
  const auto shown = shown_as(state);
  return shown == "failed" || shown == "quarantined" || shown == "disabled";
}

}  // namespace gantry::host
