// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/feed.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "plugins/project_state/checks.hpp"
#include "plugins/project_state/event_page.hpp"
#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/history.hpp"

namespace gantry::state {

namespace {

constexpr std::string_view kProject = "state.project.changed";
constexpr std::string_view kRecovered = "state.recovered";
constexpr std::size_t kMaxScopeName = 256;
constexpr std::int64_t kMaxSeq = std::int64_t{1} << 53;

/// "state.session." for Type::session.
[[nodiscard]] std::string topics_of(Type type) { return "state." + std::string(name(type)) + "."; }

[[nodiscard]] bool names_session(const json& told, const std::string& session) {
  return told.value("session_id", json()) == session;
}

/// What state.project.changed says of one object.
[[nodiscard]] bool touches(const StateScope& scope, const json& told) {
  const auto type = told.value("type", std::string());
  if (scope.type) return type == name(*scope.type);
  return names_session(told, scope.session) ||
         (type == name(Type::session) && told.value("id", std::string()) == scope.session);
}

/// Why `seq` of the log `epoch` is no point from which this log can be sent; empty: it is one.
[[nodiscard]] std::string not_in_log(const Ledger& ledger, const std::string& epoch, std::uint64_t seq) {
  if (epoch != ledger.epoch) return "epoch_changed";
  if (seq > ledger.seq) return "beyond_log";
  return seq < ledger.floor ? "too_old" : "";
}

[[nodiscard]] json place_in_log(const std::string& epoch, std::uint64_t seq) {
  return {{"epoch", epoch}, {"seq", seq}};
}

[[nodiscard]] json place_in_snapshot(const Ledger& ledger, const std::string& reason) {
  json place = place_in_log(ledger.epoch, ledger.seq);
  place["snapshot"] = {{"scope", 0}, {"cursor", nullptr}, {"reason", reason}};
  return place;
}

[[nodiscard]] std::string page_text(const Ledger& ledger, std::uint64_t covered, const EventPage& events,
                                    const json& from) {
  std::string out = R"({"epoch":)" + dump_json(ledger.epoch) + R"(,"head":)" + std::to_string(ledger.seq) +
                    R"(,"covered":)" + std::to_string(covered);
  if (!from.is_null()) out += R"(,"from":)" + dump_json(from);
  return out + R"(,"events":)" + events.text() + "}";
}

[[nodiscard]] Result<std::string> log_page(Database& db, const Ledger& ledger, const std::optional<Feed>& feed,
                                           std::uint64_t seq, const FeedPage& page) {
  EventPage events(page.coalesces);
  std::uint64_t scanned = 0;
  Query q(db, "SELECT " GANTRY_EVENT_COLUMNS " FROM events WHERE seq > ? ORDER BY seq LIMIT ?", seq, Feed::kMaxScanned);
  while (events.size() < Feed::kMaxPageEvents && events.bytes() < std::min(Feed::kMaxPageBytes, page.bytes)) {
    const auto row = q.next();
    if (!row) return std::unexpected(row.error());
    if (!*row) {
      if (scanned < Feed::kMaxScanned) seq = ledger.seq;
      break;
    }
    if (auto ok = check_event(q); !ok) return std::unexpected(ok.error());
    seq = q.count(0);
    ++scanned;
    const auto topic = q.text(1);
    const auto payload = q.text(2);
    if (!feed || feed->has(topic, payload)) events.add(seq, topic, payload);
  }
  return page_text(ledger, seq, events, seq < ledger.seq ? place_in_log(ledger.epoch, seq) : json());
}

[[nodiscard]] Result<std::string> snapshot_part(Database& db, const Ledger& ledger, const Feed& feed, json place,
                                                std::size_t bytes) {
  Params at(place["snapshot"]);
  const auto scope = static_cast<std::size_t>(at.integer("scope", 0, Feed::kMaxScopes));
  PageOf page{at.maybe_string("cursor"), Feed::kMaxPageEvents, bytes};
  const std::string reason = at.string("reason");
  if (auto ok = at.done(); !ok) return refuse("from.snapshot: " + ok.error().message);
  const auto seq = place["seq"].get<std::uint64_t>();
  if (scope >= feed.names().size()) return log_page(db, ledger, feed, seq, {false, bytes});
  const auto& name = feed.names()[scope];
  json payload{{"scope", name}, {"items", json::array()}, {"last", true}, {"reason", reason}};
  auto& next = place["snapshot"];
  next["scope"] = scope + 1;
  next["cursor"] = nullptr;
  if (name != "metrics") {
    auto objects = state_at(db, ledger, seq, name, page);
    if (!objects) return std::unexpected(objects.error());
    payload["items"] = std::move((*objects)["items"]);
    if (const auto cursor = objects->find("next_cursor"); cursor != objects->end()) {
      payload["last"] = false;
      next["scope"] = scope;
      next["cursor"] = *cursor;
    }
  }
  EventPage events(false);
  events.add(seq, "state.snapshot", dump_json(payload));
  return page_text(ledger, seq, events, place);
}

}  // namespace

Result<Feed> Feed::of(std::vector<std::string> names) {
  if (names.empty() || names.size() > kMaxScopes) {
    return refuse("scopes must name 1 to " + std::to_string(kMaxScopes) +
                  " of sessions, panes, layouts, settings, turns, metrics, session:ID");
  }
  Feed out;
  for (const auto& name : names) {
    if (name.size() > kMaxScopeName) return refuse("the name of a scope may have 256 bytes");
    if (name == "metrics") {
      out.metrics_ = true;
      continue;
    }
    auto scope = read_scope_name(name);
    if (!scope) return std::unexpected(scope.error());
    if (!scope->type && scope->session.empty()) return refuse("the scope session: names no session");
    out.scopes_.push_back(std::move(*scope));
  }
  out.names_ = std::move(names);
  return out;
}

bool Feed::has(std::string_view topic, const std::string& payload) const {
  if (topic == kRecovered) return true;
  std::optional<json> told;
  const auto read = [&]() -> const json& {
    if (!told) told = parse_json(payload).value_or(json::object());
    return *told;
  };
  return std::ranges::any_of(scopes_, [&](const StateScope& scope) {
    if (topic == kProject) {
      const auto objects = read().value("objects", json::array());
      return std::ranges::any_of(objects, [&](const json& object) { return touches(scope, object); });
    }
    if (scope.type) return topic.starts_with(topics_of(*scope.type));
    return payload.find(dump_json(scope.session)) != std::string::npos && names_session(read(), scope.session);
  });
}

json Feed::follow(json from, const Pace& pace) const {
  json topics = json::array({kRecovered});
  json some = json::array({kProject});
  json contains = json::array();
  for (const auto& scope : scopes_) {
    if (scope.type) {
      topics.push_back(topics_of(*scope.type) + "**");
      contains.push_back(R"("type":)" + dump_json(std::string(name(*scope.type))));
    } else {
      some = json::array({"state.**"});
      contains.push_back(dump_json(scope.session));
    }
  }
  if (metrics_) topics.push_back("metrics.**");
  json request{{"scopes", names_}};
  if (pace.debounce_ms != 0) request["coalesce"] = true;
  json out{{"topics", std::move(topics)},
           {"some", std::move(some)},
           {"contains", std::move(contains)},
           {"request", std::move(request)},
           {"from", std::move(from)}};
  if (pace.debounce_ms != 0) out["debounce_ms"] = pace.debounce_ms;
  if (pace.coalesces) out["behind"] = {{"scopes", names_}, {"coalesce", true}};
  return out;
}

json begin_feed(const Ledger& ledger, const Feed& feed, const std::optional<json>& since, const Pace& pace) {
  json out{{"mode", "live"}, {"epoch", ledger.epoch}, {"seq", ledger.seq}};
  json from = place_in_log(ledger.epoch, ledger.seq);
  if (since) {
    const auto epoch = (*since)["epoch"].get<std::string>();
    const auto seq = (*since)["seq"].get<std::uint64_t>();
    const auto reason = not_in_log(ledger, epoch, seq);
    if (reason.empty()) {
      out["mode"] = "replay";
      from = place_in_log(epoch, seq);
    } else {
      out["mode"] = "snapshot";
      out["reason"] = reason;
      from = place_in_snapshot(ledger, reason);
    }
  }
  out["follow"] = feed.follow(std::move(from), pace);
  return out;
}

Result<std::string> feed_page(Database& db, const Ledger& ledger, const std::optional<Feed>& feed, const json& from,
                              const FeedPage& page) {
  Params p(from);
  const auto epoch = p.string("epoch");
  const auto seq = static_cast<std::uint64_t>(p.integer("seq", 0, kMaxSeq));
  const auto snapshot = p.maybe_object("snapshot");
  if (auto ok = p.done(); !ok) return refuse("from: " + ok.error().message);
  auto reason = not_in_log(ledger, epoch, seq);
  if (snapshot && feed) {
    if (reason.empty() && seq >= ledger.history_floor) return snapshot_part(db, ledger, *feed, from, page.bytes);
    return snapshot_part(db, ledger, *feed, place_in_snapshot(ledger, reason.empty() ? "too_old" : reason), page.bytes);
  }
  if (reason.empty()) return log_page(db, ledger, feed, seq, page);
  if (feed) return snapshot_part(db, ledger, *feed, place_in_snapshot(ledger, reason), page.bytes);
  return fail(ErrorKind::not_found, "the log does not go back to seq " + std::to_string(seq) + " of epoch " + epoch,
              dump_json({{"reason", reason}, {"epoch", ledger.epoch}, {"floor", ledger.floor}}));
}

Result<json> snapshot_page(Database& db, const Ledger& ledger, const std::string& scope, const PageOf& page) {
  std::uint64_t seq = ledger.seq;
  PageOf inner = page;
  if (page.cursor) {  // SEQ:CURSOR
    const auto& text = *page.cursor;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seq);
    if (parsed.ec != std::errc() || parsed.ptr == text.data() + text.size() || *parsed.ptr != ':')
      return refuse("cursor is not one that this snapshot gave; start again without a cursor");
    inner.cursor = std::string(parsed.ptr + 1, text.data() + text.size());
  }
  auto out = state_at(db, ledger, seq, scope, inner);
  if (!out) return out;
  (*out)["scope"] = scope;
  if (const auto next = out->find("next_cursor"); next != out->end())
    *next = std::to_string(seq) + ":" + next->get<std::string>();
  return out;
}

}  // namespace gantry::state
