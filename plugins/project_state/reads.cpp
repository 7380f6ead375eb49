// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/reads.hpp"

#include <array>
#include <filesystem>
#include <limits>
#include <map>
#include <vector>

#include "plugins/project_state/checks.hpp"
#include "plugins/project_state/feed.hpp"
#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/history.hpp"
#include "plugins/project_state/layouts.hpp"
#include "plugins/project_state/pages.hpp"
#include "plugins/project_state/schema.hpp"

namespace gantry::state {

namespace {

constexpr std::size_t kMaxCursor = 96;
constexpr std::size_t kMaxFilter = 4096;
constexpr std::int64_t kMaxSeq = std::int64_t{1} << 53;

[[nodiscard]] PageOf read_page_of(Params& p, const Caller& caller) {
  auto cursor = p.maybe_string("cursor");
  p.require(!cursor || cursor->size() <= kMaxCursor,
            "cursor is not one that a list gave; start again without a cursor");
  return {std::move(cursor), static_cast<std::uint64_t>(p.integer_or("limit", 100, 1, 1000)), caller.max_page};
}

[[nodiscard]] std::uint64_t read_seq(Params& p, const char* name) {
  return static_cast<std::uint64_t>(p.integer(name, 0, kMaxSeq));
}

/// Reads the members of `filter`, behind all other params.
[[nodiscard]] Result<std::vector<std::optional<std::string>>> read_filter(Params& p,
                                                                          const std::vector<const char*>& names) {
  Params f(p.maybe_object("filter").value_or(json::object()));
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  std::vector<std::optional<std::string>> out;
  for (const char* name : names) {
    out.push_back(f.maybe_string(name));
    f.require(!out.back() || out.back()->size() <= kMaxFilter, "a member may have 4096 bytes");
  }
  if (auto ok = f.done(); !ok) return refuse("filter: " + ok.error().message);
  return out;
}

/// An answer that says what it is as of.
[[nodiscard]] Result<json> with_head(const Ledger& head, const char* member, Result<json> read) {
  if (!read) return read;
  json answer = member == nullptr ? std::move(*read) : json{{member, std::move(*read)}};
  answer["epoch"] = head.epoch;
  answer["seq"] = head.seq;
  answer["durability"] = "D2";
  return answer;
}

/// The text of the JSON that `read` returns.
template <class F>
[[nodiscard]] Reader::Body as_text(F read) {
  return [read = std::move(read)](Database& db, const Ledger& head) -> Result<std::string> {
    const Result<json> answer = read(db, head);
    if (!answer) return std::unexpected(answer.error());
    return dump_json(*answer);
  };
}

[[nodiscard]] Result<Reader::Body> session_list(Params& p, const Caller& caller) {
  const auto page = read_page_of(p, caller);
  const auto members = read_filter(p, {"name", "root", "branch"});
  if (!members) return std::unexpected(members.error());
  const SessionFilter filter{members->at(0), members->at(1), members->at(2)};
  return as_text([page, filter](Database& db, const Ledger& head) { return list_sessions(db, head, filter, page); });
}

template <Type kType>
[[nodiscard]] Result<Reader::Body> member_list(Params& p, const Caller& caller) {
  const auto page = read_page_of(p, caller);
  const auto members = read_filter(p, {"session_id", kType == Type::turn ? "state" : "kind"});
  if (!members) return std::unexpected(members.error());
  const MemberFilter filter{members->at(0), members->at(1)};
  return as_text(
      [page, filter](Database& db, const Ledger& head) { return list_members(db, head, kType, filter, page); });
}

[[nodiscard]] Result<Reader::Body> settings_list(Params& p, const Caller& caller) {
  const auto page = read_page_of(p, caller);
  const std::string prefix = p.string_or("prefix", "");
  p.require(prefix.size() <= kMaxFilter, "prefix may have 4096 bytes");
  const auto scope = caller.scope(p);
  if (!scope) return std::unexpected(scope.error());
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return as_text([page, prefix, scope = *scope](Database& db, const Ledger& head) {
    return list_settings(db, head, scope, prefix, page);
  });
}

[[nodiscard]] Result<Reader::Body> at(Params& p, const Caller& caller) {
  const auto seq = read_seq(p, "seq");
  const std::string scope = p.string("scope");
  const auto page = read_page_of(p, caller);
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return as_text([seq, scope, page](Database& db, const Ledger& head) { return state_at(db, head, seq, scope, page); });
}

[[nodiscard]] Result<Reader::Body> diff(Params& p, const Caller& caller) {
  const auto from = read_seq(p, "from");
  const auto to = read_seq(p, "to");
  const std::string scope = p.string("scope");
  const auto page = read_page_of(p, caller);
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return as_text([from, to, scope, page](Database& db, const Ledger& head) {
    return state_diff(db, head, from, to, scope, page);
  });
}

/// The last of the params. Empty: there are no scopes.
[[nodiscard]] Result<std::optional<Feed>> read_scopes(Params& p) {
  const bool given = p.maybe_value("scopes").has_value();
  auto names = given ? p.strings("scopes") : std::vector<std::string>();
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (!given) return std::nullopt;
  auto feed = Feed::of(std::move(names));
  if (!feed) return std::unexpected(feed.error());
  return std::move(*feed);
}

[[nodiscard]] Result<Reader::Body> subscribe(Params& p, const Caller& /*caller*/) {
  const auto since = p.maybe_object("since");
  const Pace pace{p.integer_or("debounce_ms", 0, 0, Pace::kMaxDebounceMs), p.boolean_or("coalesce", true)};
  const auto feed = read_scopes(p);
  if (!feed) return std::unexpected(feed.error());
  if (!*feed) return refuse("scopes is missing");
  if (since) {
    Params s(*since);
    (void)s.string("epoch");
    (void)read_seq(s, "seq");
    if (auto ok = s.done(); !ok) return refuse("since: " + ok.error().message);
  }
  return as_text([feed = **feed, since, pace](Database& /*db*/, const Ledger& head) -> Result<json> {
    return begin_feed(head, feed, since, pace);
  });
}

[[nodiscard]] Result<Reader::Body> log(Params& p, const Caller& caller) {
  const json from = p.object("from");
  const FeedPage page{p.boolean_or("coalesce", false), caller.max_page};
  const auto feed = read_scopes(p);
  if (!feed) return std::unexpected(feed.error());
  return [feed = *feed, from, page](Database& db, const Ledger& head) { return feed_page(db, head, feed, from, page); };
}

[[nodiscard]] Result<Reader::Body> snapshot(Params& p, const Caller& caller) {
  const std::string scope = p.string("scope");
  const auto page = read_page_of(p, caller);
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return as_text([scope, page](Database& db, const Ledger& head) { return snapshot_page(db, head, scope, page); });
}

[[nodiscard]] Result<json> check_all(Database& db, const Ledger& head) {
  add_checksums(db);
  auto damage = find_damaged_pages(db);
  if (damage && !*damage) damage = find_damaged_rows(db, std::numeric_limits<std::uint64_t>::max());
  if (!damage) return std::unexpected(damage.error());
  if (*damage) {
    db.note_damage();
  } else if (damage = find_broken_audit(db); !damage) {  // which no backup mends
    return std::unexpected(damage.error());
  }
  return json{{"sound", !damage->has_value()},
              {"damage", *damage ? json(**damage) : json()},
              {"epoch", head.epoch},
              {"seq", head.seq}};
}

[[nodiscard]] Result<json> info(Database& db, const Ledger& head) {
  json counts = json::object();
  for (std::size_t i = 0; i < kTypes; ++i) counts[std::string(name(static_cast<Type>(i))) + "s"] = head.objects[i];
  const char* const file = sqlite3_db_filename(db.handle(), "main");
  return json{{"folder", std::filesystem::path(file == nullptr ? "" : file).parent_path().string()},
              {"schema", kSchemaVersion},
              {"epoch", head.epoch},
              {"seq", head.seq},
              {"floor", head.floor},
              {"history_floor", head.history_floor},
              {"objects", std::move(counts)},
              {"data_bytes", head.data_bytes},
              {"log_bytes", head.log_bytes},
              {"mutations", head.mutations}};
}

/// A method without params.
template <Result<json> (*kRead)(Database&, const Ledger&)>
[[nodiscard]] Result<Reader::Body> plain(Params& p, const Caller& /*caller*/) {
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return as_text(kRead);
}

}  // namespace

Reader::Body get_object(Type type, const std::string& id) {
  return as_text([type, id](Database& db, const Ledger& head) -> Result<json> {
    if (type == Type::layout) return with_head(head, "layout", get_layout(db, id));
    const auto object = live_object(db, type, id);
    if (!object) return std::unexpected(object.error());
    return with_head(head, std::string(name(type)).c_str(), show_object(*object));
  });
}

Result<SettingRequest> read_setting_request(Params& p, const Caller& caller) {
  constexpr std::array<std::string_view, 5> kJsonTypes{"boolean", "number", "string", "array", "object"};
  SettingRequest out{{}, p.string("key"), p.maybe_string("type")};
  p.require(!out.type || std::ranges::find(kJsonTypes, *out.type) != kJsonTypes.end(),
            "type must be one of boolean, number, string, array, object");
  auto scope = caller.scope(p);
  if (!scope) return std::unexpected(scope.error());
  out.scope = std::move(*scope);
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (auto ok = check_setting_key(out.key); !ok) return std::unexpected(ok.error());
  return out;
}

Reader::Body get_setting_of(const SettingRequest& request) {
  return as_text([request](Database& db, const Ledger& head) {
    return with_head(head, nullptr, get_setting(db, request.scope, request.key, request.type));
  });
}

ReadParams find_read(std::string_view method) {
  static const std::map<std::string_view, ReadParams> kReads{
      {"state.session.list", &session_list},
      {"state.pane.list", &member_list<Type::pane>},
      {"state.turn.list", &member_list<Type::turn>},
      {"state.settings.list", &settings_list},
      {"state.at", &at},
      {"state.diff", &diff},
      {"state.subscribe", &subscribe},
      {"state.log", &log},
      {"state.snapshot", &snapshot},
      {"state.checkpoint.list", &plain<&list_checkpoints>},
      {"state.check", &plain<&check_all>},
      {"state.info", &plain<&info>},
  };
  const auto found = kReads.find(method);
  return found == kReads.end() ? nullptr : found->second;
}

}  // namespace gantry::state
