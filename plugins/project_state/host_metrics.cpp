// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/host_metrics.hpp"

#include <array>
#include <utility>

namespace gantry::state {

namespace {

/// Empty: there is no such number.
[[nodiscard]] std::optional<double> number_at(const json& doc, const char* pointer) {
  const json::json_pointer place(pointer);
  if (!doc.contains(place) || !doc.at(place).is_number()) return std::nullopt;
  return doc.at(place).get<double>();
}

/// What a count has grown by; empty: not at all, or it is not known.
[[nodiscard]] std::optional<double> growth(const json& now, const json& before, const char* member) {
  const double grown = now.value(member, 0.0) - before.value(member, 0.0);
  return grown > 0 ? std::optional(grown) : std::nullopt;
}

}  // namespace

std::vector<Measurement> host_measurements(const json& now, const json& before) {
  std::vector<Measurement> out;
  constexpr std::array<std::pair<const char*, const char*>, 4> kGauges{
      {{"host.rss_bytes", "/rss_bytes"},
       {"host.connections", "/connections"},
       {"host.tasks.running", "/tasks/running"},
       {"host.events.waiting", "/event_processing/waiting"}}};
  for (const auto& [name, place] : kGauges) {
    if (const auto value = number_at(now, place)) out.push_back({name, json::object(), *value, 0});
  }
  if (!before.is_object() || !now.is_object()) return out;
  const auto part = [](const json& doc, const char* member) { return doc.value(member, json::object()); };
  for (const auto& [name, member] :
       {std::pair("host.events.published", "published"), {"host.events.dropped", "dropped"}}) {
    if (const auto grown = growth(part(now, "events"), part(before, "events"), member))
      out.push_back({name, json::object(), *grown, 0});
  }
  const json methods = part(before, "methods");
  for (const auto& [method, counts] : part(now, "methods").items()) {
    const json earlier = part(methods, method.c_str());
    for (const auto& [name, member] :
         {std::pair("host.calls", "calls"), {"host.errors", "errors"}, {"host.call_seconds", "seconds"}}) {
      if (const auto grown = growth(counts, earlier, member)) out.push_back({name, {{"method", method}}, *grown, 0});
    }
  }
  return out;
}

}  // namespace gantry::state
