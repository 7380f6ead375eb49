// SPDX-License-Identifier: Apache-2.0
//
// gantry/state_machine.hpp: life cycles as tables.
//
//   enum class Light : std::uint8_t { red, green };         // with std::string_view name(Light), "" past the last one
//   enum class Signal : std::uint8_t { timer, failure };    // likewise
//   enum class Lamp : std::uint8_t { show_red, show_green };
//   gantry::TransitionTable<Light, Signal, Lamp> table(Light::red);
//   table.in(Light::red).on(Signal::timer, Light::green, {Lamp::show_green}).ignore({Signal::failure});
//   table.in(Light::green).on(Signal::timer, Light::red, {Lamp::show_red}).on(Signal::failure, Light::red, {...});
//
//   gantry::Strand strand;
//   gantry::StateMachine<Light, Signal, Lamp, Facts> machine(strand, table, [](const auto& step, Facts& facts) {...});
//   machine.post(Signal::timer);
//
// A table is a pure function from (state, event) to (state, actions). Each pair has one of four
// answers: a step, ignored (the event says nothing new), postponed (the event is handled again
// after the next change of state, as in Erlang's gen_statem), or impossible (the event cannot come
// in that state). Tables that people write are made at run time by StateTable::make, which returns
// what is wrong with them; there a pair without an answer is `undefined`, and the caller decides
// what that means.
//
// Thread rule: tables are constant once made. Strand and StateMachine: post() from any thread; it
// does not block. The events of all machines of a strand are handled one at a time, in the order of
// post(), by whichever thread posts to an idle strand; actions run on that thread, without a lock,
// and may post. They must not block and must not throw.
// Bounds: kMaxNames states, events and actions of a table; kMaxPostponed events of a machine (more
// are an error of the table, and end the process); the queue of a strand is bounded by the code
// that posts to it.
// Never: an event is handled inside another one's actions; two actions of a strand run at once; an
// event is lost.
// Source: Harel, "Statecharts" (1987); Erlang/OTP, gen_statem ("postpone"); Boost.Asio (strand).
#pragma once

#include <gantry/state_machine/machine.hpp>
#include <gantry/state_machine/print.hpp>
#include <gantry/state_machine/state_table.hpp>
#include <gantry/state_machine/strand.hpp>
#include <gantry/state_machine/transition_table.hpp>
