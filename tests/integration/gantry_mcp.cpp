// SPDX-License-Identifier: Apache-2.0
#include "tests/folders.hpp"
#include "tests/integration/agent.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

std::string table(const std::string& plugin) {
  return "[plugins." + plugin + "]\npath = \"" + gantry::folders::build() + "/tests/plugins/" + plugin + ".so\"\n";
}
const std::string kTyped = table("typed");

std::set<std::string> names_of(const json& response) {
  std::set<std::string> names;
  for (const auto& tool : response["result"]["tools"]) names.insert(tool["name"].get<std::string>());
  return names;
}

}  // namespace

TEST_CASE("gantry mcp: it starts a host, and offers the tools of its plugins in both eras") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", kTyped);
  StdioAgent agent(box);
  const json modern_list = agent.ask("tools/list", modern());
  REQUIRE(agent.initialize()["result"]["protocolVersion"] == "2025-11-25");
  const json legacy_list = agent.ask("tools/list");
  REQUIRE(names_of(legacy_list) == names_of(modern_list));
  for (const char* name : {"typed_say", "ai_models", "ai_chat", "state_session_list"}) {
    CAPTURE(name);
    REQUIRE(names_of(legacy_list).contains(name));
  }
  REQUIRE_FALSE(names_of(legacy_list).contains("state_session_delete"));
  for (const auto& tool : legacy_list["result"]["tools"]) {
    INFO(tool.dump());
    REQUIRE(tool["inputSchema"]["type"] == "object");
    REQUIRE(tool["outputSchema"]["type"] == "object");
    REQUIRE(tool["annotations"].size() == 4);
    REQUIRE_FALSE(tool["description"].get<std::string>().empty());
  }
  const json said = agent.ask("tools/call", {{"name", "typed_say"}, {"arguments", {{"text", "hi"}}}})["result"];
  REQUIRE(said["structuredContent"] == json{{"said", "hi"}});
  const json wrong = agent.ask("tools/call", modern({{"name", "typed_say"}, {"arguments", {{"text", 5}}}}))["result"];
  REQUIRE(wrong["isError"] == true);
  REQUIRE(wrong["_meta"]["io.gantry/error"]["kind"] == "invalid_params");
  REQUIRE(box.run({"stop"}).code == 0);
}

TEST_CASE("gantry mcp: the working folder is a workspace of the host") {
  Sandbox box;
  (void)box.serve();
  box.cwd = box.work().string();
  StdioAgent agent(box);
  (void)agent.ask("server/discover", modern());
  const auto status = box.connect().call("host.status", json::object(), std::chrono::seconds(10));
  REQUIRE((*status)["workspaces"] == json::array({box.work().string()}));
}

TEST_CASE("gantry mcp: without a host and with --no-start it fails, and says so on stderr alone") {
  Sandbox box;
  const auto ran = box.run({"mcp", "--no-start"});
  REQUIRE(ran.code == 1);
  REQUIRE(ran.out.empty());
  REQUIRE_FALSE(ran.err.empty());
  require_civil(ran);
}

TEST_CASE("gantry mcp: requests that came before the end of the input are answered, then it ends with 0") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", kTyped);
  (void)box.serve();
  StdioAgent agent(box);
  for (int i = 1; i <= 20; ++i)
    agent.request(i, "tools/call", modern({{"name", "typed_say"}, {"arguments", {{"text", "hi"}}}}));
  agent.hang_up();
  std::set<int> answered;
  for (int i = 1; i <= 20; ++i) answered.insert(agent.receive()["id"].get<int>());
  REQUIRE(answered.size() == 20);
  REQUIRE(agent.receive().is_null());
  REQUIRE(agent.wait() == 0);
}

TEST_CASE("gantry mcp: a line over the limit is answered with an error, and the session goes on") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", "[host]\nmax_message_bytes = 65536\n");
  (void)box.serve();
  StdioAgent agent(box);
  agent.send_text(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":")" + std::string(200'000, 'x') +
                  "\"}}\n");
  REQUIRE(agent.receive()["error"]["code"] == -32600);
  REQUIRE(agent.ask("server/discover", modern())["result"]["resultType"] == "complete");
}

TEST_CASE("gantry mcp: when its host is killed its open requests fail, and the next one starts another host") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", table("conformance"));
  const pid_t host = box.serve();
  StdioAgent agent(box);
  (void)agent.initialize();
  agent.request("waits", "tools/call", {{"name", "wait"}});
  agent.request("reads", "subscriptions/listen");  // of the other era: refused, so all before has reached the host
  REQUIRE(agent.response("reads").contains("error"));
  box.wait_for_text("state/gantry.log", "waits until it is cancelled");
  ::kill(host, SIGKILL);
  const json lost = agent.response("waits")["result"];
  REQUIRE(lost["isError"] == true);
  REQUIRE(lost["_meta"]["io.gantry/error"]["kind"] == "unavailable");
  REQUIRE(box.wait(host) == 128 + SIGKILL);
  const json said = agent.ask("tools/call", {{"name", "test_simple_text"}})["result"];
  INFO(said.dump());
  REQUIRE_FALSE(said.value("isError", false));
  REQUIRE(box.host_pid().value() != host);
  REQUIRE(box.read("mcp.err").starts_with("gantry mcp: the host is gone\ngantry mcp: another host is there\n"));
  REQUIRE(box.run({"stop"}).code == 0);
  agent.hang_up();
  REQUIRE(agent.wait() == 0);
}

TEST_CASE("gantry mcp: without a host and with --no-start requests fail until there is one again") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", table("conformance"));
  (void)box.serve();
  StdioAgent agent(box, {"mcp", "--no-start"});
  (void)agent.initialize();
  const json simple{{"name", "test_simple_text"}};
  REQUIRE_FALSE(agent.ask("tools/call", simple)["result"].value("isError", false));
  for (int i = 0; i < 2; ++i) {
    REQUIRE(box.run({"stop"}).code == 0);
    REQUIRE(agent.ask("tools/call", simple)["result"]["_meta"]["io.gantry/error"]["kind"] == "unavailable");
    REQUIRE(agent.ask("ping")["result"] == json::object());
    (void)box.serve();
    wait_for("an answer", [&] { return !agent.ask("tools/call", simple)["result"].value("isError", false); });
  }
}

TEST_CASE("gantry mcp: what an agent has subscribed to outlives the host, in both eras") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", table("conformance"));
  const pid_t host = box.serve();
  const json watched{{"uri", "test://watched-resource"}};
  StdioAgent legacy(box), listener(box);
  (void)legacy.initialize();
  REQUIRE(legacy.ask("resources/subscribe", watched)["result"] == json::object());
  listener.request("sub", "subscriptions/listen",
                   modern({{"notifications", {{"resourceSubscriptions", {watched["uri"]}}}}}));
  REQUIRE(listener.receive()["method"] == "notifications/subscriptions/acknowledged");
  ::kill(host, SIGKILL);
  REQUIRE(box.wait(host) == 128 + SIGKILL);
  (void)box.serve();
  // Nobody has asked for anything: they find the host themselves, and say that something may have been missed.
  REQUIRE(legacy.message_of("notifications/resources/updated")["params"] == watched);
  REQUIRE(listener.receive()["params"]["uri"] == watched["uri"]);
  StdioAgent other(box);
  REQUIRE(other.ask("tools/call", modern({{"name", "touch"}}))["result"]["resultType"] == "complete");
  REQUIRE(legacy.message_of("notifications/resources/updated")["params"] == watched);
  const json told = listener.receive();
  REQUIRE(told["method"] == "notifications/resources/updated");
  REQUIRE(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "sub");
}

TEST_CASE("gantry mcp: a plugin that comes while the host runs brings its tools, and agents are told") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", "");
  (void)box.serve();
  StdioAgent agent(box);
  (void)agent.initialize();
  REQUIRE_FALSE(names_of(agent.ask("tools/list")).contains("typed_say"));
  box.write("config/gantry/gantry.toml", kTyped);
  REQUIRE(box.run({"call", "config.reload"}).code == 0);
  REQUIRE(agent.message_of("notifications/tools/list_changed")["jsonrpc"] == "2.0");
  REQUIRE(names_of(agent.ask("tools/list")).contains("typed_say"));
}

TEST_CASE("gantry mcp: a cancelled call ends in the plugin, and is not answered") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", table("conformance"));
  (void)box.serve();
  StdioAgent agent(box);
  agent.request(1, "tools/call", modern({{"name", "wait"}}));
  box.wait_for_text("state/gantry.log", "waits until it is cancelled");
  agent.notify("notifications/cancelled", {{"requestId", 1}});
  box.wait_for_text("state/gantry.log", "was cancelled");
  agent.request(2, "tools/call", modern({{"name", "test_simple_text"}}));
  REQUIRE(agent.receive()["id"] == 2);
}

TEST_CASE(
    "gantry mcp: a tool that asks is answered by a legacy client's response, and by a modern client's next request") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", table("conformance"));
  (void)box.serve();
  const json capable{{"elicitation", json::object()}};
  const json filled{{"action", "accept"}, {"content", {{"name", "Ada"}, {"color", "blue"}}}};
  StdioAgent legacy(box);
  (void)legacy.initialize(capable);
  legacy.request("r", "tools/call", {{"name", "test_input_required_result_multi_round"}});
  for (int round = 0; round < 2; ++round) {
    const json question = legacy.receive();
    REQUIRE(question["method"] == "elicitation/create");
    legacy.send({{"id", question["id"]}, {"result", filled}});
  }
  REQUIRE(legacy.response("r")["result"]["content"][0]["text"] == "Ada likes blue");

  json params{{"name", "test_input_required_result_multi_round"}};
  for (const char* key : {"step1", "step2"}) {
    StdioAgent agent(box);  // each request may go to another process
    const json result = agent.ask("tools/call", modern(params, capable))["result"];
    REQUIRE(result["resultType"] == "input_required");
    REQUIRE(result["inputRequests"].contains(key));
    params["requestState"] = result["requestState"];
    params["inputResponses"] = {{key, filled}};
  }
  StdioAgent agent(box);
  REQUIRE(agent.ask("tools/call", modern(params, capable))["result"]["content"][0]["text"] == "Ada likes blue");
  params["requestState"] = "forged";
  REQUIRE(agent.ask("tools/call", modern(params, capable))["error"]["code"] == -32602);
}

TEST_CASE("gantry mcp: agents of both eras are told when a resource changes, and read what it is then") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", table("conformance"));
  (void)box.serve();
  const json watched{{"uri", "test://watched-resource"}};
  StdioAgent legacy(box);
  (void)legacy.initialize();
  REQUIRE(legacy.ask("resources/subscribe", watched)["result"] == json::object());
  StdioAgent listener(box);
  listener.request("sub", "subscriptions/listen",
                   modern({{"notifications", {{"resourceSubscriptions", {watched["uri"]}}}}}));
  REQUIRE(listener.receive()["method"] == "notifications/subscriptions/acknowledged");
  StdioAgent other(box);
  REQUIRE(other.ask("tools/call", modern({{"name", "touch"}}))["result"]["resultType"] == "complete");
  REQUIRE(legacy.message_of("notifications/resources/updated")["params"] == watched);
  const json told = listener.receive();
  REQUIRE(told["method"] == "notifications/resources/updated");
  REQUIRE(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "sub");
  REQUIRE(legacy.ask("resources/read", watched)["result"]["contents"][0]["text"] == "Version 1");
  REQUIRE(
      other.ask("resources/read", modern({{"uri", "test://template/a%20b/data"}}))["result"]["contents"][0]["text"] ==
      R"({"data":"Data for ID: a b","id":"a b"})");
  listener.notify("notifications/cancelled", {{"requestId", "sub"}});
  listener.hang_up();
  REQUIRE(listener.receive().is_null());
  REQUIRE(listener.wait() == 0);
}

TEST_CASE("gantry mcp: a plugin's progress, log, prompts and completions reach the agent") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", table("conformance"));
  (void)box.serve();
  StdioAgent agent(box);
  (void)agent.initialize();
  agent.request(1, "tools/call", {{"name", "test_tool_with_progress"}, {"_meta", {{"progressToken", "t"}}}});
  for (const int done : {0, 50, 100}) {
    const json params = agent.message_of("notifications/progress")["params"];
    REQUIRE(params["progress"] == done);
    REQUIRE(params["progressToken"] == "t");
  }
  REQUIRE(agent.response(1)["result"]["content"][0]["text"] == "done");
  agent.request(2, "tools/call", {{"name", "test_tool_with_logging"}});
  for (const char* words : {"Tool execution started", "Tool processing data", "Tool execution completed"})
    REQUIRE(agent.message_of("notifications/message")["params"]["data"] == words);
  REQUIRE(agent.response(2)["result"]["content"][0]["text"] == "logged");
  const json got = agent.ask(
      "prompts/get", {{"name", "test_prompt_with_arguments"}, {"arguments", {{"arg1", "a"}, {"arg2", "b"}}}})["result"];
  REQUIRE(got["messages"][0]["content"]["text"] == "Prompt with arguments: arg1='a', arg2='b'");
  const json completed =
      agent.ask("completion/complete", {{"ref", {{"type", "ref/prompt"}, {"name", "test_prompt_with_arguments"}}},
                                        {"argument", {{"name", "arg1"}, {"value", "par"}}}});
  REQUIRE(completed["result"]["completion"]["values"] == json{"paris", "park", "party"});
}

TEST_CASE("gantry mcp: an agent that does not read holds up nobody else, and gets all when it reads") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", table("conformance"));
  (void)box.serve();
  StdioAgent stalled(box);
  constexpr int kRequests = 200;  // their responses are more than a pipe and a socket hold
  for (int i = 1; i <= kRequests; ++i) stalled.request(i, "tools/list", modern());
  StdioAgent other(box);
  REQUIRE(other.ask("tools/call", modern({{"name", "test_simple_text"}}))["result"].contains("content"));
  std::set<int> answered;
  std::size_t bytes = 0;
  for (int i = 1; i <= kRequests; ++i) {
    const json response = stalled.receive();
    bytes += response.dump().size();
    if (response.contains("result")) answered.insert(response["id"].get<int>());
  }
  REQUIRE(answered.size() == kRequests);
  REQUIRE(bytes > std::size_t{1} << 20);
}

TEST_CASE(
    "gantry mcp: an agent asks where a symbol is defined and what is wrong, and clangd's answer fits its schema") {
  Sandbox box;
  std::ofstream(box.work() / "compile_flags.txt") << "-std=c++20\n";
  std::ofstream(box.work() / "shop.cpp") << "int total(int a) { return a; }\nint main() { return total(1) + \"x\"; }\n";
  box.cwd = box.work().string();
  StdioAgent agent(box);
  const json listed = agent.ask("tools/list", modern());
  for (const char* name :
       {"lsp_definition", "lsp_references", "lsp_implementation", "lsp_hover", "lsp_document_symbols",
        "lsp_workspace_symbols", "lsp_call_hierarchy", "lsp_diagnostics", "lsp_completion"}) {
    CAPTURE(name);
    REQUIRE(names_of(listed).contains(name));
  }
  const auto call = [&](const char* tool, json arguments) {
    arguments["wait_ms"] = 60'000;
    return agent.ask("tools/call", modern({{"name", tool}, {"arguments", std::move(arguments)}}))["result"];
  };
  const json found = call("lsp_definition", {{"path", "shop.cpp"}, {"line", 2}, {"symbol", "total"}});
  INFO(found.dump());
  REQUIRE(found["structuredContent"] ==
          json{{"items",
                json::array(
                    {{{"path", "shop.cpp"}, {"line", 1}, {"column", 5}, {"text", "int total(int a) { return a; }"}}})},
               {"total", 1}});
  REQUIRE(json::parse(found["content"][0]["text"].get<std::string>()) == found["structuredContent"]);
  const json problems = call("lsp_diagnostics", {{"path", "shop.cpp"}})["structuredContent"];
  REQUIRE(problems["freshness"] == "fresh");
  REQUIRE(problems["items"][0]["line"] == 2);
  // The same as a resource, whose changes are told.
  const std::string uri = "lsp-diagnostics://" + (box.work() / "shop.cpp").string();
  const json read = agent.ask("resources/read", modern({{"uri", uri}}))["result"]["contents"][0];
  REQUIRE(read["uri"] == uri);
  REQUIRE(json::parse(read["text"].get<std::string>()) == problems);
  agent.request("watch", "subscriptions/listen", modern({{"notifications", {{"resourceSubscriptions", {uri}}}}}));
  REQUIRE_FALSE(agent.message_of("notifications/subscriptions/acknowledged").is_null());
  std::ofstream(box.work() / "shop.cpp") << "int total(int a) { return a; }\n";
  agent.request("mended", "tools/call",
                modern({{"name", "lsp_diagnostics"}, {"arguments", {{"path", "shop.cpp"}, {"wait_ms", 60'000}}}}));
  REQUIRE(agent.message_of("notifications/resources/updated")["params"]["uri"] == uri);
  REQUIRE(agent.response("mended")["result"]["structuredContent"]["total"] == 0);
  const json refused = call("lsp_hover", {{"path", "shop.cpp"}, {"line", 1}, {"symbol", "absent"}});
  REQUIRE(refused["isError"] == true);
  REQUIRE(refused["_meta"]["io.gantry/error"]["kind"] == "not_found");
  REQUIRE(box.run({"stop"}).code == 0);
}

TEST_CASE(
    "gantry mcp: an agent renames a symbol by a proposal that it applies, and gantry call sees the same proposals") {
  Sandbox box;
  std::ofstream(box.work() / "compile_flags.txt") << "-std=c++20\n";
  std::ofstream(box.work() / "shop.cpp") << "int total(int a) { return a; }\nint main() { return total(1); }\n";
  const auto text = [&] {
    std::ifstream in(box.work() / "shop.cpp");
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  box.cwd = box.work().string();
  StdioAgent agent(box);
  const json listed = agent.ask("tools/list", modern());
  for (const auto& tool : listed["result"]["tools"]) {
    const std::string name = tool["name"];
    if (name == "lsp_rename" || name == "lsp_format" || name == "lsp_code_actions" || name == "lsp_check_edit")
      REQUIRE(tool["annotations"]["readOnlyHint"] == true);
    if (name == "lsp_apply") {
      REQUIRE(tool["annotations"]["readOnlyHint"] == false);
      REQUIRE(tool["annotations"]["destructiveHint"] == true);
    }
  }
  for (const char* name : {"lsp_rename", "lsp_format", "lsp_code_actions", "lsp_check_edit", "lsp_apply"})
    REQUIRE(names_of(listed).contains(name));
  const auto call = [&](const char* tool, json arguments) {
    arguments["wait_ms"] = 60'000;
    return agent.ask("tools/call", modern({{"name", tool}, {"arguments", std::move(arguments)}}))["result"];
  };
  const json proposed = call("lsp_rename", {{"symbol", "total"}, {"path", "shop.cpp"}, {"new_name", "sum"}});
  INFO(proposed.dump());
  REQUIRE(proposed["structuredContent"]["items"][1] == json{{"path", "shop.cpp"},
                                                            {"line", 2},
                                                            {"old", "int main() { return total(1); }"},
                                                            {"new", "int main() { return sum(1); }"}});
  const std::string id = proposed["structuredContent"]["edit_id"];
  const json checked = call("lsp_check_edit", {{"edit_id", id}})["structuredContent"];
  REQUIRE(checked["files"] ==
          json::array({{{"path", "shop.cpp"}, {"freshness", "fresh"}, {"added", 0}, {"removed", 0}, {"kept", 0}}}));
  REQUIRE(text().find("sum") == std::string::npos);
  const json applied = call("lsp_apply", {{"edit_id", id}});
  INFO(applied.dump());
  REQUIRE(applied["structuredContent"]["files"][0]["freshness"] == "fresh");
  REQUIRE(text() == "int sum(int a) { return a; }\nint main() { return sum(1); }\n");
  const json again = call("lsp_apply", {{"edit_id", id}});
  REQUIRE(again["isError"] == true);
  REQUIRE(again["_meta"]["io.gantry/error"]["kind"] == "not_found");
  // A proposal belongs to the workspace, not to the connection: gantry call, which names none, is in the host's first.
  const auto renamed = box.run({"call", "lsp.rename", "symbol=sum", "path=shop.cpp", "new_name=total"});
  INFO(renamed.out << renamed.err);
  REQUIRE(renamed.code == 0);
  const std::string next = json::parse(renamed.out)["edit_id"];
  std::filesystem::create_directory(box.dir() / "elsewhere");
  box.cwd = (box.dir() / "elsewhere").string();
  StdioAgent stranger(box);
  const json denied =
      stranger.ask("tools/call", modern({{"name", "lsp_apply"}, {"arguments", {{"edit_id", next}}}}))["result"];
  REQUIRE(denied["_meta"]["io.gantry/error"]["kind"] == "not_found");
  box.cwd = box.work().string();
  const auto written = box.run({"call", "lsp.apply", "edit_id=" + next});
  INFO(written.out << written.err);
  REQUIRE(written.code == 0);
  REQUIRE(text() == "int total(int a) { return a; }\nint main() { return total(1); }\n");
  REQUIRE(box.run({"stop"}).code == 0);
}
