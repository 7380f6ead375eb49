// SPDX-License-Identifier: Apache-2.0
//
// schemas.hpp: JSON Schema of the methods' params and results, for rpc.discover.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>

namespace gantry::state::schemas {

[[nodiscard]] inline json string(const char* about) { return {{"type", "string"}, {"description", about}}; }
[[nodiscard]] inline json count(int min, int max) { return {{"type", "integer"}, {"minimum", min}, {"maximum", max}}; }
[[nodiscard]] inline json any(const char* about) { return {{"description", about}}; }
[[nodiscard]] inline json strings() { return {{"type", "array"}, {"items", {{"type", "string"}}}}; }

[[nodiscard]] inline json object(json properties, json required = json::array()) {
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
}
[[nodiscard]] inline json params(json properties, json required = json::array()) {
  json schema = object(std::move(properties), std::move(required));
  schema["additionalProperties"] = false;
  schema["properties"]["_meta"] = {{"type", "object"}};
  return schema;
}

[[nodiscard]] inline json mutation() {
  return object(
      {{"client_id", string("who changes")},
       {"mutation_id", {{"type", {"string", "integer"}}, {"description", "of this change, unique per client_id"}}}},
      json::array({"client_id", "mutation_id"}));
}
[[nodiscard]] inline json rev(const char* about) {
  return {{"type", {"integer", "null"}}, {"minimum", 0}, {"description", about}};
}
[[nodiscard]] inline json session_members() {
  return {{"name", string("1 KiB at most")},
          {"roots", strings()},
          {"branch", {{"type", {"string", "null"}}}},
          {"open_files", strings()},
          {"attributes", {{"type", "object"}, {"description", "the client's own, 1 MiB at most"}}}};
}
[[nodiscard]] inline json session() {
  json members = session_members();
  members["id"] = string("given by the store");
  members["rev"] = {{"type", "integer"}, {"minimum", 1}};
  members["created_ms"] = {{"type", "integer"}};
  members["updated_ms"] = {{"type", "integer"}};
  return object(std::move(members), json::array({"id", "rev", "name", "roots", "open_files", "attributes"}));
}
[[nodiscard]] inline json with_head(json properties, json required) {
  properties["epoch"] = string("of the log");
  properties["seq"] = {{"type", "integer"}, {"description", "of the newest event that this answer contains"}};
  required.push_back("epoch");
  required.push_back("seq");
  return object(std::move(properties), std::move(required));
}
[[nodiscard]] inline json durable(json properties, json required) {
  properties["durability"] = {{"const", "D2"}, {"description", "on the disk before this answer"}};
  required.push_back("durability");
  return with_head(std::move(properties), std::move(required));
}

[[nodiscard]] inline json scoped(json properties) {
  properties["scope"] = {{"enum", {"user", "workspace"}}, {"default", "user"}};
  properties["workspace"] = string("absolute folder; default: the caller's");
  return properties;
}
[[nodiscard]] inline json paged(json properties) {
  properties["cursor"] = string("next_cursor of the page before");
  properties["limit"] = count(1, 1000);
  return properties;
}

[[nodiscard]] inline json nothing() { return params(json::object()); }
[[nodiscard]] inline json session_create() {
  json members = session_members();
  members["mutation"] = mutation();
  return params(std::move(members), json::array({"name"}));
}
[[nodiscard]] inline json by_id(const std::string& type) {
  return params({{"id", {{"type", "string"}, {"description", "of the " + type}}}}, json::array({"id"}));
}
[[nodiscard]] inline json update(const std::string& type, json members) {
  json schema = by_id(type);
  schema["properties"]["rev"] = rev("as it was read; null: whatever it is");
  schema["properties"]["patch"] = object(std::move(members));
  schema["properties"]["mutation"] = mutation();
  schema["required"] = {"id", "rev", "patch"};
  return schema;
}
[[nodiscard]] inline json remove(const std::string& type) {
  json schema = by_id(type);
  schema["properties"]["rev"] = rev("only if it is this");
  schema["properties"]["mutation"] = mutation();
  return schema;
}
[[nodiscard]] inline json pane_members() {
  return {{"title", {{"type", {"string", "null"}}}},
          {"path", {{"type", {"string", "null"}}}},
          {"cwd", {{"type", {"string", "null"}}}},
          {"attributes", {{"type", {"object", "null"}}, {"description", "the client's own, 1 MiB at most"}}}};
}
[[nodiscard]] inline json pane_create() {
  json members = pane_members();
  members["session_id"] = string("that it belongs to");
  members["kind"] = {{"enum", {"terminal", "editor"}}};
  members["mutation"] = mutation();
  return params(std::move(members), json::array({"session_id", "kind"}));
}
[[nodiscard]] inline json pane_list() {
  return params(paged({{"filter", object({{"session_id", string("exactly")}, {"kind", string("exactly")}})}}));
}
[[nodiscard]] inline json layout_node() {
  return {{"type", {"object", "null"}},
          {"properties",
           {{"kind", string("what the node is")},
            {"parent", {{"type", {"string", "null"}}, {"description", "the id of the node that it lies in"}}},
            {"order", {{"type", "number"}}},
            {"size", {{"type", {"number", "null"}}}},
            {"pane_id", {{"type", {"string", "null"}}, {"description", "a pane of this session"}}}}}};
}
[[nodiscard]] inline json layout_members() {
  return {{"root", {{"type", {"string", "null"}}, {"description", "the id of a node without a parent"}}},
          {"nodes", {{"type", "object"}, {"additionalProperties", layout_node()}}}};
}
[[nodiscard]] inline json layout_get() {
  return params({{"session_id", string("of the session")}}, json::array({"session_id"}));
}
[[nodiscard]] inline json layout_update() {
  return params({{"session_id", string("of the session")},
                 {"rev", rev("as it was read; null: whatever it is")},
                 {"patch", object(layout_members())},
                 {"mutation", mutation()}},
                json::array({"session_id", "rev", "patch"}));
}
[[nodiscard]] inline json of_turn(json more, json required) {
  more["id"] = string("of the turn");
  more["rev"] = rev("as it was read; null: whatever it is");
  more["mutation"] = mutation();
  required.push_back("id");
  required.push_back("rev");
  return params(std::move(more), std::move(required));
}
[[nodiscard]] inline json turn_create() {
  return params({{"session_id", string("that it belongs to")},
                 {"plan", any("any JSON without integers beyond 2^53 - 1, 1 MiB at most")},
                 {"mutation", mutation()}},
                json::array({"session_id"}));
}
[[nodiscard]] inline json turn_list() {
  return params(paged({{"filter", object({{"session_id", string("exactly")}, {"state", string("exactly")}})}}));
}
[[nodiscard]] inline json turn_propose() {
  return of_turn({{"plan", any("any JSON without integers beyond 2^53 - 1, 1 MiB at most")}}, json::array({"plan"}));
}
[[nodiscard]] inline json turn_approve() {
  return of_turn({{"plan_hash", string("lower-case SHA-256 of the plan in canonical JSON (RFC 8785)")},
                  {"expires_in_seconds", count(1, 31'622'400)}},
                 json::array({"plan_hash"}));
}
[[nodiscard]] inline json turn_transition() {
  return of_turn({{"to", string("a state of the table of turns")},
                  {"fence", {{"type", "integer"}, {"minimum", 0}, {"description", "needed to leave `executing`"}}}},
                 json::array({"to"}));
}
[[nodiscard]] inline json seq(const char* about) {
  return {{"type", "integer"}, {"minimum", 0}, {"description", about}};
}
[[nodiscard]] inline json scope_name() { return string("sessions, panes, layouts, settings, turns or session:ID"); }
[[nodiscard]] inline json at() {
  return params(paged({{"seq", seq("of the event after which it was so")}, {"scope", scope_name()}}),
                json::array({"seq", "scope"}));
}
[[nodiscard]] inline json scopes() {
  return {{"type", "array"}, {"items", scope_name()}, {"minItems", 1}, {"maxItems", 64}};
}
[[nodiscard]] inline json subscribe() {
  return params({{"scopes", scopes()},
                 {"debounce_ms",
                  {{"type", "integer"},
                   {"minimum", 0},
                   {"maximum", 10'000},
                   {"description", "events come once in this time at most, those of an object as one"}}},
                 {"coalesce",
                  {{"type", "boolean"},
                   {"default", true},
                   {"description", "changes of an object that wait for a slow client become one"}}},
                 {"since", object({{"epoch", string("of the log")}, {"seq", seq("of the last event that was seen")}},
                                  json::array({"epoch", "seq"}))}},
                json::array({"scopes"}));
}
[[nodiscard]] inline json subscribe_result() {
  return with_head({{"mode", {{"enum", {"live", "replay", "snapshot"}}}},
                    {"reason", string("why it is a snapshot")},
                    {"subscription", string("as $/event names it")}},
                   json::array({"mode"}));
}
[[nodiscard]] inline json log() {
  return params({{"scopes", scopes()},
                 {"coalesce", {{"type", "boolean"}, {"description", "changes of an object within a page as one"}}},
                 {"from", object({{"epoch", string("of the log")}, {"seq", seq("of the event before the first one")}},
                                 json::array({"epoch", "seq"}))}},
                json::array({"from"}));
}
[[nodiscard]] inline json log_result() {
  return object({{"epoch", string("of the log")},
                 {"head", seq("of its newest event")},
                 {"covered", seq("up to which there is nothing but these events")},
                 {"events", {{"type", "array"}}},
                 {"from", {{"type", "object"}, {"description", "of the next page; absent: there is none"}}}},
                json::array({"epoch", "head", "covered", "events"}));
}
[[nodiscard]] inline json snapshot() { return params(paged({{"scope", scope_name()}}), json::array({"scope"})); }
[[nodiscard]] inline json diff() {
  return params(paged({{"from", seq("of an event")}, {"to", seq("of an event")}, {"scope", scope_name()}}),
                json::array({"from", "to", "scope"}));
}
[[nodiscard]] inline json restore() {
  return params({{"seq", seq("of the event after which it was so")},
                 {"scope", scope_name()},
                 {"dry_run", {{"type", "boolean"}, {"description", "only say what would change"}}},
                 {"mutation", mutation()}},
                json::array({"seq", "scope"}));
}
[[nodiscard]] inline json import_params() {
  json entry = object({{"type", {{"enum", {"session", "pane", "layout", "setting", "turn"}}}},
                       {"object", {{"type", "object"}, {"description", "as state.at says it"}}}},
                      json::array({"type", "object"}));
  entry = {{"anyOf", {std::move(entry), string("the JSON text of one, which may be nested deeper than a message")}}};
  return params({{"objects",
                  {{"type", "array"},
                   {"maxItems", 5000},
                   {"items", std::move(entry)},
                   {"description", "what an object belongs to goes before it"}}},
                 {"on_conflict",
                  {{"enum", {"refuse", "keep", "replace"}},
                   {"default", "refuse"},
                   {"description", "what becomes of another object under the same name; a turn is kept"}}},
                 {"dry_run", {{"type", "boolean"}, {"description", "only say what would change"}}},
                 {"mutation", mutation()}},
                json::array({"objects"}));
}
[[nodiscard]] inline json import_result() {
  const json number{{"type", "integer"}, {"minimum", 0}};
  return durable({{"created", number}, {"replaced", number}, {"kept", number}, {"unchanged", number}},
                 json::array({"created", "replaced", "kept", "unchanged"}));
}
[[nodiscard]] inline json checkpoint() {
  return params({{"name", string("1 KiB at most")}, {"mutation", mutation()}}, json::array({"name"}));
}
[[nodiscard]] inline json batch() {
  json op =
      object({{"method", string("one that changes state")}, {"params", {{"type", "object"}}}}, json::array({"method"}));
  return params({{"ops", {{"type", "array"}, {"maxItems", 1000}, {"items", std::move(op)}}}, {"mutation", mutation()}},
                json::array({"ops"}));
}
[[nodiscard]] inline json session_list() {
  return params(paged({{"filter", object({{"name", string("a part of the name")},
                                          {"root", string("one of the roots")},
                                          {"branch", string("exactly")}})}}));
}
[[nodiscard]] inline json settings_get() {
  return params(scoped({{"key", string("256 bytes at most")},
                        {"type", {{"enum", {"boolean", "number", "string", "array", "object"}}}}}),
                json::array({"key"}));
}
[[nodiscard]] inline json settings_set() {
  return params(scoped({{"key", string("256 bytes at most")},
                        {"value", any("any JSON, 1 MiB at most; null deletes")},
                        {"rev", rev("only if it is this; 0: only if there is no value")},
                        {"durability",
                         {{"enum", {"D0", "D1", "D2"}},
                          {"default", "D2"},
                          {"description", "D0, D1: answered before the commit; a failure is state.setting.failed"}}},
                        {"retype", {{"type", "boolean"}, {"description", "the value may be of another type"}}},
                        {"mutation", mutation()}}),
                json::array({"key", "value"}));
}
[[nodiscard]] inline json settings_list() { return params(scoped(paged({{"prefix", string("of the key")}}))); }

[[nodiscard]] inline json session_result() { return durable({{"session", session()}}, json::array({"session"})); }
[[nodiscard]] inline json pane() {
  json members = pane_members();
  members["id"] = string("given by the store");
  members["rev"] = {{"type", "integer"}, {"minimum", 1}};
  members["session_id"] = string("that it belongs to");
  members["kind"] = {{"enum", {"terminal", "editor"}}};
  return object(std::move(members), json::array({"id", "rev", "session_id", "kind", "attributes"}));
}
[[nodiscard]] inline json pane_result() { return durable({{"pane", pane()}}, json::array({"pane"})); }
[[nodiscard]] inline json layout_result() {
  json members = layout_members();
  members["session_id"] = string("of the session");
  members["rev"] = {{"type", "integer"}, {"minimum", 0}};
  return durable({{"layout", object(std::move(members), json::array({"session_id", "rev", "root", "nodes"}))}},
                 json::array({"layout"}));
}
[[nodiscard]] inline json turn() {
  return object({{"id", string("given by the store")},
                 {"rev", {{"type", "integer"}, {"minimum", 1}}},
                 {"session_id", string("that it belongs to")},
                 {"state", string("of the table of turns")},
                 {"plan", any("as proposed")},
                 {"plan_hash", string("of the plan")},
                 {"fence", {{"type", "integer"}, {"minimum", 0}}},
                 {"approval", {{"type", "object"}}}},
                json::array({"id", "rev", "session_id", "state", "fence"}));
}
[[nodiscard]] inline json turn_result() {
  json schema = durable({{"turn", turn()}}, json::array({"turn"}));
  schema["properties"]["durability"] = {{"enum", {"D2", "D3"}}, {"description", "D3: an approval, also in the audit"}};
  return schema;
}
[[nodiscard]] inline json batch_result() {
  return durable(
      {{"results", {{"type", "array"}, {"description", "of each operation, without epoch, seq, durability"}}}},
      json::array({"results"}));
}
[[nodiscard]] inline json setting_result() {
  return durable(
      scoped({{"key", string("as given")}, {"value", any("null: there is none")}, {"rev", {{"type", "integer"}}}}),
      json::array({"key", "value", "rev"}));
}
[[nodiscard]] inline json metrics_record() {
  return params({{"name", string("1 to 128 letters, digits and `_.:-`")},
                 {"value", {{"type", "number"}}},
                 {"labels", {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}}}},
                json::array({"name", "value"}));
}
[[nodiscard]] inline json metrics_query() {
  return params({{"name", string("of the series")},
                 {"from", seq("milliseconds since 1970")},
                 {"to", seq("milliseconds since 1970, excluded")},
                 {"step", seq("milliseconds, 1000 at least")},
                 {"labels", {{"type", "object"}, {"description", "of one series; absent: all of this name together"}}}},
                json::array({"name", "from", "to", "step"}));
}
[[nodiscard]] inline json metrics_result() {
  json point = object({{"t", seq("where the step begins")},
                       {"count", seq("of measurements")},
                       {"sum", {{"type", "number"}}},
                       {"min", {{"type", "number"}}},
                       {"max", {{"type", "number"}}},
                       {"last", {{"type", "number"}}}},
                      json::array({"t", "count", "sum", "min", "max", "last"}));
  return object({{"points", {{"type", "array"}, {"items", std::move(point)}}},
                 {"step", seq("milliseconds: as asked for, rounded up to whole rows of what is kept")}},
                json::array({"points", "step"}));
}
[[nodiscard]] inline json backup() {
  return object({{"file", string("its name in backups/ of the state folder")},
                 {"seq", seq("of its newest event")},
                 {"bytes", seq("of the file")}},
                json::array({"file", "seq", "bytes"}));
}
[[nodiscard]] inline json changes() {
  return {{"type", "array"},
          {"items", object({{"type", string("of the object")},
                            {"id", string("of the object")},
                            {"before", any("absent: it was not there")},
                            {"after", any("absent: it is not there")}},
                           json::array({"type", "id"}))}};
}
[[nodiscard]] inline json at_result() {
  return with_head({{"items", {{"type", "array"}}}, {"next_cursor", string("absent on the last page")}},
                   json::array({"items"}));
}
[[nodiscard]] inline json diff_result() {
  return with_head({{"changes", changes()}, {"next_cursor", string("absent on the last page")}},
                   json::array({"changes"}));
}
[[nodiscard]] inline json restore_result() { return durable({{"changes", changes()}}, json::array({"changes"})); }
[[nodiscard]] inline json checkpoint_result() {
  return durable(
      {{"checkpoint", object({{"name", string("as given")},
                              {"seq", seq("that it names")},
                              {"at_ms", {{"type", "integer"}}},
                              {"kept", {{"type", "boolean"}, {"description", "the log goes back to it"}}}})}},
      json::array({"checkpoint"}));
}
/// Of D0 and D1 only key, value and durability.
[[nodiscard]] inline json setting_set_result() {
  json schema = setting_result();
  schema["properties"]["durability"] = {{"enum", {"D0", "D1", "D2"}}, {"description", "D2: on the disk"}};
  schema["required"] = {"key", "value", "durability"};
  return schema;
}
[[nodiscard]] inline json list_result() {
  return with_head({{"items", {{"type", "array"}}}, {"next_cursor", string("absent on the last page")}},
                   json::array({"items"}));
}
[[nodiscard]] inline json head_result() { return durable(json::object(), json::array()); }

}  // namespace gantry::state::schemas
