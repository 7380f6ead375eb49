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
[[nodiscard]] inline json session_get() { return params({{"id", string("of the session")}}, json::array({"id"})); }
[[nodiscard]] inline json session_list() {
  return params(paged({{"filter", object({{"name", string("a part of the name")},
                                          {"root", string("one of the roots")},
                                          {"branch", string("exactly")}})}}));
}
[[nodiscard]] inline json session_update() {
  return params({{"id", string("of the session")},
                 {"rev", rev("as it was read; null: whatever it is")},
                 {"patch", object(session_members())},
                 {"mutation", mutation()}},
                json::array({"id", "rev", "patch"}));
}
[[nodiscard]] inline json session_delete() {
  return params({{"id", string("of the session")}, {"rev", rev("only if it is this")}, {"mutation", mutation()}},
                json::array({"id"}));
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
                        {"retype", {{"type", "boolean"}, {"description", "the value may be of another type"}}},
                        {"mutation", mutation()}}),
                json::array({"key", "value"}));
}
[[nodiscard]] inline json settings_list() { return params(scoped(paged({{"prefix", string("of the key")}}))); }

[[nodiscard]] inline json session_result() { return durable({{"session", session()}}, json::array({"session"})); }
[[nodiscard]] inline json deleted_result() {
  return durable({{"id", string("of the session")}, {"rev", {{"type", "integer"}}}, {"deleted", {{"const", true}}}},
                 json::array({"id", "rev", "deleted"}));
}
[[nodiscard]] inline json setting_result() {
  return durable(
      scoped({{"key", string("as given")}, {"value", any("null: there is none")}, {"rev", {{"type", "integer"}}}}),
      json::array({"key", "value", "rev"}));
}
[[nodiscard]] inline json list_result() {
  return with_head({{"items", {{"type", "array"}}}, {"next_cursor", string("absent on the last page")}},
                   json::array({"items"}));
}
[[nodiscard]] inline json head_result() { return durable(json::object(), json::array()); }

}  // namespace gantry::state::schemas
