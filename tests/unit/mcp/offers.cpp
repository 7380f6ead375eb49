// SPDX-License-Identifier: Apache-2.0
//
// What a plugin's manifest offers to agents: what is taken, what is refused, and what rpc.discover shows of it.
#include <gantry/abi.h>

#include <catch2/catch.hpp>
#include <gantry/plugin.hpp>

#include "host/daemon/open_rpc.hpp"
#include "host/plugins/library/manifest.hpp"
#include "host/services/plugin_spec.hpp"

using namespace gantry;
using namespace gantry::host;

namespace {

json manifest(const std::string& id, json methods) {
  return {{"id", id},
          {"version", "1.0.0"},
          {"abi", {{"major", GANTRY_ABI_MAJOR}}},
          {"services", {id}},
          {"methods", std::move(methods)}};
}

json method(const std::string& name, const char* offer, json what) {
  return {{"name", name}, {"summary", "Does it"}, {offer, std::move(what)}};
}

/// The error of a manifest with these methods.
std::string error_of(json methods) {
  const auto parsed = parse_manifest(manifest("notes", std::move(methods)).dump());
  return parsed ? "" : parsed.error().message;
}
std::string error_of(const char* offer, json what) {
  return error_of(json::array({method("notes.add", offer, std::move(what))}));
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

AgentOffers offers_of(json methods) {
  const auto parsed = parse_manifest(manifest("notes", std::move(methods)).dump());
  REQUIRE(parsed);
  return parsed->methods.at("notes.Add-all").offers;
}

struct Notes {
  explicit Notes(Host /*host*/) {}
  static void define(Definition<Notes>& d) {
    d.id("notes").service("notes");
    d.method(
        "notes.find", [](Notes&, gantry::Call& call) { return Result<json>(call.params()); },
        {.summary = "Finds notes",
         .params = {{"type", "object"}, {"$defs", {{"word", {{"type", "string"}}}}}},
         .tool = Tool{.title = "Find", .read_only = true, .open_world = false},
         .resource = Resource{.uri_template = "notes:///{id}", .mime_type = "text/plain", .changes = "notes.changed"},
         .prompt = Prompt{.name = "summarize"}});
  }
};

}  // namespace

TEST_CASE("offers: a tool is named after its method unless it has a name, and has all four hints") {
  const auto offers = offers_of(json::array({method("notes.Add-all", "tool", json::object())}));
  REQUIRE(offers.tool->name == "notes_add_all");
  REQUIRE(offers.tool->description == "Does it");
  REQUIRE(offers.tool->annotations ==
          json{{"readOnlyHint", false}, {"destructiveHint", true}, {"idempotentHint", false}, {"openWorldHint", true}});
  const auto named = offers_of(
      json::array({method("notes.Add-all", "tool", {{"name", "add"}, {"annotations", {{"readOnlyHint", true}}}})}));
  REQUIRE(named.tool->name == "add");
  REQUIRE(named.tool->annotations["readOnlyHint"] == true);
  REQUIRE(named.tool->annotations["destructiveHint"] == false);
}

TEST_CASE("offers: names, hints and members that are wrong make the manifest wrong, and are named") {
  for (const std::string name : {"", "Add", "a-b", "a.b", "a b"}) {
    CAPTURE(name);
    REQUIRE(has(error_of("tool", {{"name", name}}), "tool name \"" + name + "\" must have 1 to 64 characters"));
    REQUIRE(has(error_of("prompt", {{"name", name}}), "prompt name \"" + name + "\" must have 1 to 64 characters"));
  }
  REQUIRE(error_of("tool", {{"name", std::string(64, 'a')}}).empty());
  REQUIRE(has(error_of("tool", {{"name", std::string(65, 'a')}}), "must have 1 to 64 characters"));
  REQUIRE(has(error_of("tool", {{"titel", "Add"}}), "did you mean \"title\"?"));
  REQUIRE(has(error_of("tool", "add"), "method notes.add: tool: "));
  REQUIRE(has(error_of("tool", {{"annotations", {{"readOnly", true}}}}), "did you mean \"readOnlyHint\"?"));
  REQUIRE(has(error_of("tool", {{"annotations", {{"readOnlyHint", true}, {"destructiveHint", true}}}}), "contradict"));
  REQUIRE(has(error_of("tool", {{"logs", true}}), "`logs` is for methods that are streams"));
}

TEST_CASE("offers: a tool's params and result are objects, except that content describes itself") {
  auto entry = method("notes.add", "tool", json::object());
  entry["result"] = {{"type", "array"}};
  REQUIRE(has(error_of(json::array({entry})), "the schema of its result is of no object"));
  entry["tool"] = {{"content", true}};
  REQUIRE(error_of(json::array({entry})).empty());
  entry["params"] = {{"type", "string"}};
  REQUIRE(has(error_of(json::array({entry})), "the schema of its params is of no object"));
}

TEST_CASE("offers: a resource has a URI or a template, and a prompt has arguments that are texts") {
  REQUIRE(error_of("resource", {{"uri", "notes:///all"}}).empty());
  REQUIRE(error_of("resource", {{"uri_template", "notes:///{id}/{+part}"}}).empty());
  REQUIRE(has(error_of("resource", json::object()), "either `uri` or `uri_template`"));
  REQUIRE(has(error_of("resource", {{"uri", "a:b"}, {"uri_template", "a:{b}"}}), "either `uri` or `uri_template`"));
  REQUIRE(has(error_of("resource", {{"uri", "all"}}), "must begin with a scheme"));
  REQUIRE(has(error_of("resource", {{"uri_template", "notes:{id"}}), "a brace has no partner"));
  REQUIRE(has(error_of("resource", {{"uri_template", "notes:{a}{b}"}}), "no text between them"));
  REQUIRE(has(error_of("resource", {{"uri_template", "notes:{?id}"}}), "is no name"));
  REQUIRE(has(error_of("resource", {{"uri_template", "notes:{uri}"}}), "named \"uri\""));
  REQUIRE(has(error_of("resource", {{"uri_template", "notes:{_meta}"}}), "named \"uri\" or \"_meta\""));
  REQUIRE(has(error_of("resource", {{"uri", "a:b"}, {"changes", "a b"}}), "changes is no topic"));
  auto entry = method("notes.add", "prompt", json::object());
  entry["params"] = {{"type", "object"}, {"properties", {{"n", {{"type", "integer"}}}}}};
  REQUIRE(has(error_of(json::array({entry})), "its argument n must be a string"));
}

TEST_CASE("offers: two methods cannot offer one thing, nor complete by a method that there is not") {
  const json two =
      json::array({method("notes.a", "tool", {{"name", "x"}}), method("notes.b", "tool", {{"name", "x"}})});
  REQUIRE(has(error_of(two), "methods notes.a and notes.b both offer tool x"));
  const json both =
      json::array({method("notes.a", "tool", {{"name", "x"}}), method("notes.b", "prompt", {{"name", "x"}})});
  REQUIRE(error_of(both).empty());
  REQUIRE(has(error_of("prompt", {{"completes", "notes.complete"}}), "completes by notes.complete"));
  REQUIRE(error_of("prompt", {{"completes", "notes.add"}}).empty());
}

TEST_CASE(
    "offers: of two plugins with one tool the later is out of order, and the one that came with the host is first") {
  const auto spec = [](const std::string& name, bool bundled) {
    PluginSpec out;
    out.name = name;
    out.bundled = bundled;
    out.take(*parse_manifest(manifest(name, json::array({method(name + ".find", "tool", {{"name", "find"}})})).dump()));
    return out;
  };
  std::vector<PluginSpec> specs{spec("alpha", false), spec("beta", true), spec("gamma", false)};
  refuse_what_does_not_fit(specs);
  REQUIRE(specs[0].failure == "it offers agents the tool find, which plugin beta offers already");
  REQUIRE(specs[1].failure.empty());
  REQUIRE(specs[2].failure == specs[0].failure);
  specs = {spec("alpha", false), spec("beta", true)};
  specs[1].enabled = false;
  refuse_what_does_not_fit(specs);
  REQUIRE(specs[0].failure.empty());
}

TEST_CASE("offers: what a C++ plugin declares is in its manifest, and rpc.discover shows it") {
  const auto parsed = parse_manifest(detail::Instance<Notes>::definition().manifest());
  REQUIRE(parsed);
  const auto doc = open_rpc({parsed->methods.at("notes.find")}, "1");
  const json& found = doc["methods"][0];
  REQUIRE(found["x-gantry-tool"]["name"] == "notes_find");
  REQUIRE(found["x-gantry-tool"]["title"] == "Find");
  REQUIRE(
      found["x-gantry-tool"]["annotations"] ==
      json{{"readOnlyHint", true}, {"destructiveHint", false}, {"idempotentHint", false}, {"openWorldHint", false}});
  REQUIRE(found["x-gantry-tool"]["inputSchema"]["$defs"]["word"]["type"] == "string");
  REQUIRE(found["x-gantry-resource"] == json{{"name", "notes.find"},
                                             {"uriTemplate", "notes:///{id}"},
                                             {"description", "Finds notes"},
                                             {"mimeType", "text/plain"},
                                             {"changes", "notes.changed"}});
  REQUIRE(found["x-gantry-prompt"] == json{{"name", "summarize"}, {"description", "Finds notes"}});
}
