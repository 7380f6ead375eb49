// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/event_page.hpp"

#include <utility>

namespace gantry::state {

namespace {

/// Which object an event is about; empty: none, or it is one of several of an object.
[[nodiscard]] std::string object_of(std::string_view topic, const json& payload) {
  std::string out;
  for (const char* member : {"turn_id", "pane_id", "session_id", "key"}) {
    if (!payload.contains(member)) continue;
    out = std::string(topic.substr(0, topic.rfind('.'))) + "\n" + dump_json(payload[member]);
    break;
  }
  for (const char* member : {"scope", "workspace"}) {  // of a setting
    if (!out.empty() && payload.contains(member)) out += "\n" + dump_json(payload[member]);
  }
  return out;
}

/// What stands for both events; empty: nothing does.
[[nodiscard]] std::optional<json> merged(const json& first, json second) {
  for (const char* patch : {"patch", "changes"}) {
    if (!second.contains(patch)) continue;
    auto both = merge_of_patches(first.value(patch, json::object()), second[patch]);
    if (!both) return std::nullopt;
    second[patch] = std::move(*both);
  }
  for (const char* member : {"from_rev", "from"}) {
    if (first.contains(member)) second[member] = first[member];
  }
  if (first.contains("plan") && !second.contains("plan")) second["plan"] = first["plan"];
  second["coalesced"] = first.value("coalesced", std::uint64_t{1}) + 1;
  return second;
}

}  // namespace

std::optional<json> merge_of_patches(json first, const json& second) {
  for (const auto& [member, value] : second.items()) {
    const auto before = first.find(member);
    if (before == first.end() || !value.is_object()) {
      first[member] = value;
    } else if (before->is_object()) {
      auto both = merge_of_patches(*before, value);
      if (!both) return std::nullopt;
      *before = std::move(*both);
    } else {
      return std::nullopt;  // alone, `value` would be merged into what the member was before `first`
    }
  }
  return first;
}

std::string EventPage::coalesced(const std::string& topic, const std::string& payload) {
  const auto told = parse_json(payload);
  if (!told || !told->is_object()) return payload;
  const auto object = object_of(topic, *told);
  if (object.empty()) return payload;
  if (!topic.ends_with(".updated") && !topic.ends_with(".changed")) {
    last_.erase(object);
    return payload;
  }
  const auto [place, is_new] = last_.try_emplace(object, entries_.size());
  if (is_new) return payload;
  Entry& before = entries_[std::exchange(place->second, entries_.size())];
  const auto first = parse_json(before.payload);
  const auto both = first ? merged(*first, *told) : std::nullopt;
  if (!both) return payload;
  before.payload.clear();
  --live_;
  return dump_json(*both);
}

void EventPage::add(std::uint64_t seq, const std::string& topic, const std::string& payload) {
  bytes_ += payload.size();
  std::string text = coalesces_ ? coalesced(topic, payload) : payload;
  ++live_;
  entries_.push_back({seq, topic, std::move(text)});
}

std::string EventPage::text() const {
  std::string out = "[";
  for (const auto& entry : entries_) {
    if (entry.payload.empty()) continue;
    if (out.size() > 1) out += ',';
    out.append(R"({"seq":)").append(std::to_string(entry.seq)).append(R"(,"topic":")").append(entry.topic);
    out.append(R"(","payload":)").append(entry.payload).append("}");
  }
  return out + "]";
}

}  // namespace gantry::state
