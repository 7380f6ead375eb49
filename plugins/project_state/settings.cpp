// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/settings.hpp"

#include "plugins/project_state/merge.hpp"
#include "plugins/project_state/page.hpp"

namespace gantry::state {

namespace {

constexpr std::size_t kMaxKey = 256;
constexpr std::size_t kMaxValue = 1 << 20;
constexpr int kMaxDepth = 64;
constexpr std::uint64_t kForgetStep = 1000;

struct Row {
  std::uint64_t rev = 0;             // 0: never set
  std::optional<std::string> value;  // empty: deleted
};

[[nodiscard]] Result<Row> find(Database& db, const Scope& scope, const std::string& key) {
  Query q(db, "SELECT rev, value FROM settings WHERE scope = ? AND key = ?", scope.stored(), key);
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  if (!*row) return Row{};
  return Row{q.count(0), q.is_null(1) ? std::nullopt : std::optional<std::string>(q.text(1))};
}

[[nodiscard]] Result<json> parse_value(const std::string& key, const std::string& text) {
  auto value = parse_json(text);
  if (!value)
    return fail(ErrorKind::storage_failed, "the row of setting " + key + " is damaged; restore a copy of state.db");
  return value;
}

/// JSON has one type of number: a client in JavaScript cannot tell 1 from 1.0.
[[nodiscard]] std::string type_of(const json& value) { return value.type_name(); }

[[nodiscard]] Result<void> compare(const std::string& key, const Row& held, std::optional<std::uint64_t> given) {
  if (!given || *given == held.rev || (*given == 0 && !held.value)) return {};
  return fail(ErrorKind::conflict,
              "setting \"" + key + "\" is at rev " + std::to_string(held.rev) + ", not " + std::to_string(*given) +
                  "; get it again and repeat the change on that",
              dump_json({{"rev", held.rev}, {"given", *given}}));
}

[[nodiscard]] Result<void> compare_types(const std::string& key, const json& held, const std::string& wanted,
                                         const char* advice) {
  const std::string is = type_of(held);
  if (is == wanted) return {};
  return fail(ErrorKind::conflict, "setting \"" + key + "\" holds a value of type " + is + ", not " + wanted + advice,
              dump_json({{"type", is}, {"given", wanted}}));
}

/// Room for one more row: at the bound, the settings that were deleted longest ago are forgotten for good.
[[nodiscard]] Result<void> make_room(Transaction& tx) {
  if (tx.ledger.settings < tx.limits.max_settings) return {};
  Query q(tx.db,
          "DELETE FROM settings WHERE n IN (SELECT n FROM settings WHERE value IS NULL ORDER BY changed_seq LIMIT ?)",
          kForgetStep);
  if (auto ok = q.run(); !ok) return ok;
  tx.ledger.settings -= static_cast<std::uint64_t>(sqlite3_changes64(tx.db.handle()));
  if (tx.ledger.settings < tx.limits.max_settings) return {};
  return fail(ErrorKind::too_large, "there are " + std::to_string(tx.ledger.settings) +
                                        " settings, as many as [state] max_settings allows; delete some, or raise it");
}

[[nodiscard]] Result<void> write(Transaction& tx, const Scope& scope, const std::string& key, const Row& before,
                                 const Row& after) {
  // The log comes first: it gives the change its seq.
  json event{{"key", key}, {"value", nullptr}, {"rev", after.rev}};
  if (after.value) {
    auto value = parse_value(key, *after.value);
    if (!value) return std::unexpected(value.error());
    event["value"] = std::move(*value);
  }
  scope.show(event);
  if (auto ok = tx.append("state.setting.changed", std::move(event)); !ok) return ok;
  if (before.rev == 0) {
    Query q(tx.db, "INSERT INTO settings (scope, key, value, rev, changed_seq) VALUES (?, ?, ?, ?, ?)", scope.stored(),
            key, after.value, after.rev, tx.ledger.seq);
    ++tx.ledger.settings;
    return q.run();
  }
  Query q(tx.db, "UPDATE settings SET value = ?, rev = ?, changed_seq = ? WHERE scope = ? AND key = ?", after.value,
          after.rev, tx.ledger.seq, scope.stored(), key);
  return q.run();
}

[[nodiscard]] json answer(const Ledger& ledger, const Scope& scope, const std::string& key, json value,
                          std::uint64_t rev) {
  json result{{"key", key},        {"value", std::move(value)}, {"rev", rev},
              {"seq", ledger.seq}, {"epoch", ledger.epoch},     {"durability", "D2"}};
  scope.show(result);
  return result;
}

}  // namespace

void Scope::show(json& object) const {
  object["scope"] = workspace.empty() ? "user" : "workspace";
  if (!workspace.empty()) object["workspace"] = workspace;
}

Result<void> check_setting_key(const std::string& key) {
  if (key.empty()) return fail(ErrorKind::invalid_params, "key must not be empty");
  if (key.size() > kMaxKey)
    return fail(ErrorKind::too_large, "a key may have 256 bytes, not " + std::to_string(key.size()));
  for (const char c : key) {
    if (static_cast<unsigned char>(c) < 0x20)
      return fail(ErrorKind::invalid_params, "key must not hold control characters");
  }
  return {};
}

Result<void> check_setting_value(const json& value) {
  if (deeper_than(value, kMaxDepth)) return fail(ErrorKind::too_large, "a setting may be nested 64 levels deep");
  if (const auto size = dump_json(value).size(); size > kMaxValue) {
    return fail(ErrorKind::too_large, "a setting may have 1 MiB of JSON, not " + std::to_string(size) + " bytes");
  }
  return {};
}

Result<json> set_setting(Transaction& tx, const Scope& scope, const std::string& key, const json& value,
                         const SetOptions& options) {
  const auto before = find(tx.db, scope, key);
  if (!before) return std::unexpected(before.error());
  if (auto ok = compare(key, *before, options.rev); !ok) return std::unexpected(ok.error());
  if (value.is_null() && !before->value) return answer(tx.ledger, scope, key, nullptr, before->rev);
  if (before->value && !value.is_null() && !options.retype) {
    const auto held = parse_value(key, *before->value);
    if (!held) return held;
    const auto ok = compare_types(key, *held, type_of(value), "; set a value of its type, or say `retype: true`");
    if (!ok) return std::unexpected(ok.error());
  }

  Row after{before->rev + 1, value.is_null() ? std::nullopt : std::optional<std::string>(dump_json(value))};
  const auto size = [](const Row& row) { return row.value ? row.value->size() : 0; };
  if (auto ok = tx.resize(size(*before), size(after)); !ok) return std::unexpected(ok.error());
  if (before->rev == 0) {
    if (auto ok = make_room(tx); !ok) return std::unexpected(ok.error());
  }
  if (auto ok = write(tx, scope, key, *before, after); !ok) return std::unexpected(ok.error());
  return answer(tx.ledger, scope, key, value, after.rev);
}

Result<json> get_setting(Database& db, const Ledger& ledger, const Scope& scope, const std::string& key,
                         const std::optional<std::string>& type) {
  const auto row = find(db, scope, key);
  if (!row) return std::unexpected(row.error());
  if (!row->value) return answer(ledger, scope, key, nullptr, row->rev);
  auto value = parse_value(key, *row->value);
  if (!value) return value;
  if (type) {
    const auto ok = compare_types(key, *value, *type, "; read it without a type, or set it anew with `retype: true`");
    if (!ok) return std::unexpected(ok.error());
  }
  return answer(ledger, scope, key, std::move(*value), row->rev);
}

Result<json> list_settings(Database& db, const Ledger& ledger, const Scope& scope, const std::string& prefix,
                           const std::optional<std::string>& cursor, std::uint64_t limit) {
  const std::string list = ledger.epoch + "\nsettings\n" + scope.stored() + "\n" + prefix;
  const auto start = page_start(cursor, list);
  if (!start) return std::unexpected(start.error());
  Query q(db,
          "SELECT n, value, key, rev FROM settings WHERE scope = ?1 AND value IS NOT NULL AND n > ?2 "
          "AND substr(key, 1, length(?3)) = ?3 ORDER BY n",
          scope.stored(), *start, prefix);
  return read_page(q, ledger, list, *start, limit, [&](const std::string& stored) -> Result<json> {
    const std::string key = q.text(2);
    auto value = parse_value(key, stored);
    if (!value) return value;
    json item{{"key", key}, {"value", std::move(*value)}, {"rev", q.count(3)}};
    scope.show(item);
    return item;
  });
}

}  // namespace gantry::state
