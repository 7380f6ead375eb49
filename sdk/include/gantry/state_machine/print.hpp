// SPDX-License-Identifier: Apache-2.0
//
// gantry/state_machine/print.hpp: a table as a diagram and as text, for documentation (gantry/state_machine.hpp).
//
// Thread rule: functions without state.
#pragma once

#include <gantry/state_machine/state_table.hpp>
#include <map>
#include <string>

namespace gantry {

/// The steps of a table as a state diagram of Mermaid: an arrow for each pair of states, with its events.
[[nodiscard]] inline std::string to_mermaid(const StateTable& table) {
  std::string out = "stateDiagram-v2\n    [*] --> " + table.states()[table.initial()] + "\n";
  for (StateTable::Index from = 0; from < table.states().size(); ++from) {
    std::map<StateTable::Index, std::string> arrows;
    for (StateTable::Index event = 0; event < table.events().size(); ++event) {
      const auto& answer = table.at(from, event);
      if (answer.kind != TransitionKind::step || answer.to == from) continue;
      auto& label = arrows[answer.to];
      label += (label.empty() ? "" : ", ") + table.events()[event];
    }
    for (const auto& [to, label] : arrows)
      out += "    " + table.states()[from] + " --> " + table.states()[to] + ": " + label + "\n";
  }
  return out;
}

/// The table as Markdown: a row for each step; below each state what is ignored and postponed there.
[[nodiscard]] inline std::string to_markdown(const StateTable& table) {
  std::string out = "| in | comes | then | and |\n|----|-------|------|-----|\n";
  for (StateTable::Index from = 0; from < table.states().size(); ++from) {
    std::string ignored;
    std::string postponed;
    for (StateTable::Index event = 0; event < table.events().size(); ++event) {
      const auto& answer = table.at(from, event);
      const std::string& name = table.events()[event];
      if (answer.kind == TransitionKind::ignored) ignored += (ignored.empty() ? "" : ", ") + name;
      if (answer.kind == TransitionKind::postponed) postponed += (postponed.empty() ? "" : ", ") + name;
      if (answer.kind != TransitionKind::step) continue;
      std::string actions;
      for (const auto action : answer.actions) actions += (actions.empty() ? "" : ", ") + table.actions()[action];
      out += "| " + table.states()[from] + " | " + name + " | " + table.states()[answer.to] + " | " + actions + " |\n";
    }
    if (!postponed.empty()) out += "| " + table.states()[from] + " | " + postponed + " | postponed | |\n";
    if (!ignored.empty()) out += "| " + table.states()[from] + " | " + ignored + " | ignored | |\n";
  }
  return out;
}

}  // namespace gantry
