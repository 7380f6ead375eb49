// SPDX-License-Identifier: Apache-2.0
//
// host/services/life_table.hpp: the life of a plugin, as a table. The table is in life_table.cpp; docs/plugin-life.md
// shows its diagram, printed by the tests.
//
// An instance is one start of a plugin. At most one instance has the plugin's calls (LiveInstance); an instance that is
// being replaced ends its calls beside it.
//
// Thread rule: constants.
#pragma once

#include <cstdint>
#include <gantry/state_machine.hpp>
#include <string_view>

namespace gantry::host {

enum class LifeState : std::uint8_t {
  known,           ///< may be started; nobody has asked for it, or its last instance died and another may start at once
  disabled,        ///< by the configuration, or since the user has not agreed to what it asks for
  out_of_order,    ///< its manifest, or the set of plugins, does not let it run
  blocked,         ///< a plugin that it needs has failed, is quarantined or disabled; whoever calls it tries again
  start_failed,    ///< its last start failed; the next caller starts it again
  held,            ///< it failed, and is configured to stay so until somebody restarts it
  backing_off,     ///< it failed again; it may start when the back-off is over
  awaiting_need,   ///< a plugin that it needs is backing off; it starts when that may
  quarantined,     ///< it failed too often; until somebody restarts it
  gathering,       ///< a start has begun: the plugins that need it end, the plugins that it needs start
  starting,        ///< its instance is loaded and started
  starting_stale,  ///< as starting, but a plugin that it needs has gone: its instance will not be called
  ready,           ///< its instance has the calls
  draining,        ///< its instance ends; then it is started again
  closing,         ///< its instance ends; then it is disabled
  overlapping,     ///< reload by overlap: as ready, and the instance of another build starts beside
  handing_over,    ///< reload by handover: its instance ends its calls and gives its state
  succeeding,      ///< reload by handover: the other build starts; if it fails, the build before it starts again
  trying,          ///< reload while no instance has the calls: the other build starts
  trying_stale,    ///< as trying, but a plugin that it needs has gone: the instance will not be called
  stopping,        ///< the host stops, while a start or an end runs
  stopped,         ///< the host stops: nothing starts any more
};

enum class LifeEvent : std::uint8_t {
  want,              ///< somebody calls it, needs it, or an event activates it
  needs_met,         ///< what it needs is ready
  needs_unmet,       ///< the start of what it needs was refused
  needs_back_off,    ///< what it needs is backing off, or starts once more
  started,           ///< its instance is ready
  refused,           ///< its start was refused for a reason that is no failure of its own
  broke_again,       ///< its start failed, or its instance died: it may start at once
  broke_back_off,    ///< ... after a back-off
  broke_quarantine,  ///< ... too often
  broke_hold,        ///< ... and it is configured not to be restarted
  back_off_over,
  restart,          ///< by hand
  need_gone,        ///< the instance of a plugin that it needs ended
  need_closed,      ///< a plugin that it needs has failed, is quarantined or disabled
  need_open,        ///< none of those that it needs is in the way
  drained,          ///< its instance has ended
  reload_overlap,   ///< another build is to take its place, beside the one that runs
  reload_handover,  ///< another build is to take its place, after the one that runs
  next_started,     ///< the instance of the other build is ready
  next_failed,      ///< the other build could not be started
  allow,            ///< it may run: configured, trusted, and it fits with the others
  disable,          ///< it may not run: disabled, or not trusted
  disorder,         ///< it cannot run: there is no manifest, or what it needs is not there
  host_stops,
};

enum class LifeAction : std::uint8_t {
  serve,              ///< its instance has the calls: callers that wait get it
  withdraw,           ///< no call reaches its instance any more
  refuse,             ///< callers that wait get an error
  forgive,            ///< what it was held back for is forgotten
  gather,             ///< wait for the end of those that need it, start those that it needs
  load,               ///< load and start its instance
  load_next,          ///< load and start the instance of the other build
  drop_next,          ///< what comes of that start is ended, whatever it is
  stop,               ///< end its instance, after those that need it
  hand_over,          ///< let its instance end its calls and give its state, then end it
  replace,            ///< the instance before ends its calls beside the new one
  adopt,              ///< the other build is the plugin's from now on
  back_off,           ///< wake it when the back-off is over
  start_if_wanted,    ///< what is activated by something else than calls starts again by itself, and so does what
                      ///< another one needs that the host starts
  start_with_host,    ///< what the host starts, and what that needs, is started now: what was in its way then is gone
  retire_dependents,  ///< those that need it are started again after it
  confirm_reload,     ///< whoever asked for the reload is told that it is done
  refuse_reload,      ///< whoever asked for the reload is told why it is not
};

[[nodiscard]] std::string_view name(LifeState state);
[[nodiscard]] std::string_view name(LifeEvent event);
[[nodiscard]] std::string_view name(LifeAction action);

using LifeTable = TransitionTable<LifeState, LifeEvent, LifeAction>;
/// The one table of all plugins.
[[nodiscard]] const LifeTable& plugin_life();

/// What host.plugins says: one of the contract's eight words.
[[nodiscard]] std::string_view shown_as(LifeState state);
/// No start or end runs: it stays so until something new comes.
[[nodiscard]] bool is_settled(LifeState state);
/// Its instance has the calls.
[[nodiscard]] bool is_serving(LifeState state);
/// Its instance ends, or will as soon as it has started: what it needs must neither start nor end before that.
[[nodiscard]] bool is_ending(LifeState state);
/// It backs off, or what it needs does.
[[nodiscard]] bool is_waiting(LifeState state);
/// Those that need it cannot start while it is so.
[[nodiscard]] bool is_in_the_way(LifeState state);

}  // namespace gantry::host
