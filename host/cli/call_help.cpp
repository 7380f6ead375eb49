// SPDX-License-Identifier: Apache-2.0
//
// `gantry call METHOD --help`: what rpc.discover says of a method, for people.
#include <algorithm>
#include <array>
#include <cstdio>
#include <gantry/params.hpp>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/config/schema_check.hpp"
#include "host/observe/printable.hpp"

namespace gantry::host {

namespace {

constexpr int kDeepest = 8;

struct Row {
  std::string name;
  std::string what;
  std::string about;
};

[[nodiscard]] json member(const json& object, const char* name) {
  const auto it = object.is_object() ? object.find(name) : object.end();
  return it == object.end() ? json() : *it;
}

// The range of 32 bits tells people nothing.
[[nodiscard]] std::string what_it_is(json schema, bool needed) {
  if (member(schema, "minimum") == json(INT32_MIN) && member(schema, "maximum") == json(INT32_MAX)) {
    schema.erase("minimum");
    schema.erase("maximum");
  }
  std::string out = schema_text(schema);
  if (needed) out += "; needed";
  if (const json standard = member(schema, "default"); !standard.is_null()) out += "; default " + dump_json(standard);
  return out;
}

void add_members(const json& schema, const std::string& prefix, bool params, int depth, std::vector<Row>& rows);

void add_row(const std::string& name, const json& schema, bool needed, bool params, int depth, std::vector<Row>& rows) {
  const json about = member(schema, "description");
  rows.push_back({name, what_it_is(schema, needed), about.is_string() ? about.get<std::string>() : ""});
  if (depth >= kDeepest) return;
  const json alternatives = member(schema, "oneOf");
  for (const auto& alternative : alternatives.is_array() ? alternatives : json::array())
    add_members(alternative, name + ".", params, depth + 1, rows);
  add_members(schema, name + ".", params, depth + 1, rows);
  if (const json items = member(schema, "items"); items.is_object() && !items.empty())
    add_row(name + "[]", items, false, params, depth + 1, rows);
  if (const json others = member(schema, "additionalProperties"); others.is_object() && !others.empty())
    add_row(name + ".*", others, false, params, depth + 1, rows);
}

void add_members(const json& schema, const std::string& prefix, bool params, int depth, std::vector<Row>& rows) {
  const json properties = member(schema, "properties");
  if (!properties.is_object()) return;
  const json required = member(schema, "required");
  for (const bool needed : {true, false}) {
    for (const auto& [name, property] : properties.items()) {
      const bool is_needed = std::find(required.begin(), required.end(), json(name)) != required.end();
      if (is_needed == needed) add_row(prefix + name, property, is_needed && params, params, depth, rows);
    }
  }
}

void print(const char* title, const std::vector<Row>& rows) {
  if (rows.empty()) return;
  std::size_t width = 0;
  for (const auto& row : rows) width = std::max(width, std::min<std::size_t>(row.name.size(), 32));
  std::printf("\n%s\n", title);
  for (const auto& row : rows) {
    std::printf("  %-*s  %s\n", static_cast<int>(width), printable(row.name, 200).c_str(),
                printable(row.what, 400).c_str());
    if (!row.about.empty())
      std::printf("  %-*s    %s\n", static_cast<int>(width), "", printable(row.about, 400).c_str());
  }
}

void print_method(const json& method) {
  const std::string name = method.value("name", "");
  const std::string summary = method.value("summary", "");
  std::printf("%s%s%s\n", name.c_str(), summary.empty() ? "" : ": ", printable(summary, 400).c_str());
  std::vector<Row> rows;
  std::string example;
  for (const auto& param : member(method, "params")) {
    const bool needed = param.value("required", false);
    const std::string key = param.value("name", "");
    if (key == "_meta") continue;  // every call's
    const json schema = member(param, "schema");
    add_row(key, schema, needed, true, 0, rows);
    if (needed) example += " " + key + (member(schema, "type") == json("string") ? "=TEXT" : ":=JSON");
  }
  print("params", rows);
  if (rows.empty()) std::printf("\nparams\n  none that it names\n");
  rows.clear();
  add_members(member(member(method, "result"), "schema"), "", false, 0, rows);
  print("result", rows);
  rows.clear();
  add_members(member(method, "x-gantry-item"), "", false, 0, rows);
  print("items", rows);
  std::string errors;
  const json own = member(method, "errors");
  for (const auto& error : own.is_array() ? own : json::array()) errors += error.value("message", "") + ", ";
  if (!errors.empty()) errors += "and ";
  std::printf(
      "\nerrors\n  %sthose of any call: invalid_params, timeout, cancelled, overloaded, unavailable, "
      "plugin_died, internal\n",
      errors.c_str());
  const bool stream = method.value("x-gantry-stream", false);
  std::printf("\n  gantry call %s%s%s\n", name.c_str(), stream ? " --stream" : "", example.c_str());
}

}  // namespace

int call_help(const Common& common, const std::string& method) {
  auto connected = connect_or_start(connect_options(common, "gantry call"));
  if (!connected) return complain(connected.error());
  const auto document = connected->client.call("rpc.discover", json::object(), std::chrono::seconds(30));
  if (!document) return complain(document.error());
  std::vector<std::string> names;
  for (const auto& entry : member(*document, "methods")) {
    names.push_back(entry.value("name", ""));
    if (names.back() != method) continue;
    print_method(entry);
    return 0;
  }
  return complain(
      Error{ErrorKind::method_not_found, "there is no method " + method + did_you_mean(method, names, ""), {}});
}

}  // namespace gantry::host
