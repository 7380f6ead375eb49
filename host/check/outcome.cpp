// SPDX-License-Identifier: Apache-2.0
#include "host/check/outcome.hpp"

#include <array>

namespace gantry::host::check {

namespace {
constexpr std::array<std::string_view, 6> kNames{"passed", "failed", "warning", "skipped", "crashed", "timed_out"};
}

std::string_view status_name(Status status) { return kNames.at(static_cast<std::size_t>(status)); }

json to_json(const Outcome& outcome) {
  return {{"status", status_name(outcome.status)}, {"note", outcome.note},     {"expected", outcome.expected},
          {"happened", outcome.happened},          {"advice", outcome.advice}, {"evidence", outcome.evidence},
          {"defective", outcome.defective}};
}

Outcome outcome_of(const json& doc) {
  Outcome out;
  const std::string status = doc.value("status", "");
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames.at(i) == status) out.status = static_cast<Status>(i);
  }
  out.note = doc.value("note", "");
  out.expected = doc.value("expected", "");
  out.happened = doc.value("happened", "");
  out.advice = doc.value("advice", "");
  out.evidence = doc.value("evidence", std::vector<std::string>{});
  out.defective = doc.value("defective", std::vector<std::string>{});
  return out;
}

}  // namespace gantry::host::check
