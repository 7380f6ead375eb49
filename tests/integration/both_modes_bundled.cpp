// SPDX-License-Identifier: Apache-2.0
//
// The plugins that come with the host, in both modes: a script for each, and one for whatever lies in the folder.
#include <set>

#include "tests/folders.hpp"
#include "tests/integration/both_modes.hpp"
#include "tests/unit/ai/fault_server.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

void write_lessons(Sandbox& box) {
  std::string lessons;
  for (int i = 0; i < 40; ++i) {
    lessons += "void lesson_" + std::to_string(i) +
               "() {\n  for (std::size_t index = 0; index < values.size(); ++index) {\n"
               "    total_weight += values[index].weight;\n  }\n}\n";
  }
  box.write("work/lessons.cpp", "#include <vector>\n" + lessons);
}

void write_code(Sandbox& box) {
  box.write("work/compile_flags.txt", "-std=c++20\n");
  box.write("work/a.cpp",
            "/// Adds two numbers.\nint add(int a, int b) { return a + b; }\nint x = add(1, 2);\n"
            "int broken() { return undeclared_name; }\n");
}

}  // namespace

TEST_CASE("same in both modes: project state") {
  Stage stage;
  stage.plugins["project_state"] = "";
  same_in_both_modes(stage, [](Talk& talk, Sandbox& box) {
    talk.subscribe({"state.**"});
    const json mutation{{"client_id", "c"}, {"mutation_id", "m"}};
    const json create{{"name", "one"}, {"roots", {box.work().string()}}, {"mutation", mutation}};
    const auto made = talk.call("state.session.create", create);
    const json id = made["result"]["session"]["id"];
    (void)talk.call("state.session.create", create);  // the same mutation again
    (void)talk.call("state.session.create", {{"name", "other"}, {"mutation", mutation}});
    (void)talk.call("state.session.create", {{"name", 7}});
    (void)talk.call("state.session.create", {{"nmae", "x"}});
    (void)talk.call("state.session.get", {{"id", id}});
    (void)talk.call("state.session.get", {{"id", "nobody"}});
    for (const json& rev : {json(1), json(1), json(nullptr)})
      (void)talk.call("state.session.update", {{"id", id}, {"rev", rev}, {"patch", {{"branch", "main"}}}});
    (void)talk.call("state.session.update", {{"id", id}, {"patch", json::object()}});
    for (int i = 0; i < 3; ++i) (void)talk.call("state.session.create", {{"name", "s" + std::to_string(i)}});
    const auto page = talk.call("state.session.list", {{"limit", 2}});
    (void)talk.call("state.session.list", {{"limit", 2}, {"cursor", page["result"].value("next_cursor", json())}});
    (void)talk.call("state.session.list", {{"filter", {{"name", "s1"}}}});
    (void)talk.call("state.session.list", {{"cursor", "nonsense"}});
    (void)talk.call("state.session.delete", {{"id", id}, {"rev", 1}});
    (void)talk.call("state.session.delete", {{"id", id}, {"rev", nullptr}});
    for (const json& value : {json(4), json("four"), json(5)})
      (void)talk.call("state.settings.set", {{"key", "editor.tab_size"}, {"value", value}});
    (void)talk.call("state.settings.set", {{"key", "editor.tab_size"}, {"value", "four"}, {"retype", true}});
    (void)talk.call("state.settings.set", {{"key", "a.b"}, {"value", {{"deep", {1, 2}}}}, {"scope", "workspace"}});
    (void)talk.call("state.settings.set", {{"key", "no spaces"}, {"value", 1}});
    for (const char* key : {"editor.tab_size", "a.b", "absent"}) (void)talk.call("state.settings.get", {{"key", key}});
    (void)talk.call("state.settings.get", {{"key", "a.b"}, {"scope", "workspace"}});
    for (const char* scope : {"user", "workspace", "planet"})
      (void)talk.call("state.settings.list", {{"scope", scope}});
    (void)talk.call("state.flush");
    (void)talk.call("plugin.reload", {{"name", "project_state"}});
    (void)talk.call("state.session.list");
    (void)talk.call("state.settings.set", {{"key", "last"}, {"value", 1}});
    talk.hear_events(11);
  });
}

TEST_CASE("same in both modes: the model that learns the workspace") {
  Stage stage;
  stage.plugins["ai"] = "";
  stage.prepare = write_lessons;
  same_in_both_modes(stage, [](Talk& talk, Sandbox& box) {
    const std::string prefix =
        "  for (std::size_t index = 0; index < values.size(); ++index) {\n    total_weight += values[";
    const json complete{{"prefix", prefix}, {"path", (box.work() / "new.cpp").string()}, {"max_tokens", 12}};
    talk.until("ai.complete", complete,
               [](const json& result) { return result.value("text", "").find("index].weight") == 0; });
    talk.until("ai.models", json::object(),
               [](const json& result) { return dump_json(result).find("\"done\":false") == std::string::npos; });
    (void)talk.call("ai.models");
    (void)talk.call("ai.complete", complete);
    (void)talk.answer(talk.open("ai.complete", complete, 100));
    json with_suffix = complete;
    with_suffix["suffix"] = "].weight;\n";
    (void)talk.call("ai.complete", with_suffix);
    const json messages = json::array({{{"role", "user"}, {"content", prefix}}});
    (void)talk.call("ai.chat", {{"messages", messages}, {"max_tokens", 8}});
    (void)talk.answer(talk.open("ai.chat", {{"messages", messages}, {"max_tokens", 8}}, 100));
    // More than one item, so that it waits for credit.
    const int slow = talk.open("ai.chat", {{"messages", messages}, {"max_tokens", 8}}, 1);
    talk.hear_items(slow, 1);
    talk.cancel(slow);
    (void)talk.answer(slow);
    (void)talk.call("ai.chat", {{"messages", json::array({{{"role", 1}}})}});
    (void)talk.call("ai.chat", {{"messages", messages}, {"n", 2}});
    (void)talk.call("ai.complete", {{"prefix", "x"}, {"model", "nobody"}});
    (void)talk.call("ai.complete", {{"prefix", "x"}, {"workspace", "/nowhere"}});
    (void)talk.call("ai.complete", {{"prefix", "x"}, {"max_tokens", 0}});
    (void)talk.call("ai.embed");
  });
}

TEST_CASE("same in both modes: a provider whose key a command prints") {
  // The first key is refused once: then the command is run again, and the request sent once more.
  const fault::Reply good{fault::send(fault::response(200, fault::chat_answer("well")))};
  const fault::Reply refused{fault::send(fault::response(401, json{{"error", {{"message", "expired"}}}}))};
  fault::Server server({good, refused, good, good, good, refused, good, good});
  const auto provider = [&](const std::string& name, const std::string& command) {
    return "[ai.providers." + name + "]\nkind = \"openai\"\nmax_retries = 0\nbase_url = \"" + server.url() +
           "\"\napi_key_command = '" + command + "'\n[ai.models." + name + "]\nprovider = \"" + name + "\"\n";
  };
  Stage stage;
  stage.plugins["ai"] = "";
  stage.config =
      provider("good", "echo run >> $GANTRY_STATE_DIR/runs; echo key-$(grep -c run $GANTRY_STATE_DIR/runs)") +
      provider("failing", "echo secret; exit 3") + provider("empty", "true") + provider("odd", "echo a b") +
      provider("long", "yes") + provider("slow", "sleep 1000");
  same_in_both_modes(stage, [](Talk& talk, Sandbox&) {
    const auto chat = [](const std::string& model) {
      return json{{"model", model}, {"messages", json::array({{{"role", "user"}, {"content", "how are you?"}}})}};
    };
    for (const char* model : {"good", "good", "good", "failing", "failing", "empty", "odd", "long"})
      (void)talk.call("ai.chat", chat(model));
    const int slow = talk.open("ai.chat", chat("slow"), 1);
    talk.cancel(slow);
    (void)talk.answer(slow);
    (void)talk.call("ai.models");
  });
  std::vector<std::string> keys;
  for (const auto& request : server.requests()) keys.push_back(request.headers.at("authorization"));
  REQUIRE(keys == std::vector<std::string>{"Bearer key-1", "Bearer key-1", "Bearer key-2", "Bearer key-2",
                                           "Bearer key-1", "Bearer key-1", "Bearer key-2", "Bearer key-2"});
}

TEST_CASE("same in both modes: language servers with the real clangd") {
  Stage stage;
  stage.plugins["lsp"] = "";
  stage.config = "[async]\nlsp_request_timeout_seconds = 60\n";
  stage.prepare = write_code;
  same_in_both_modes(stage, [](Talk& talk, Sandbox& box) {
    const std::string uri = "file://" + (box.work() / "a.cpp").string();
    const auto at = [](int line, int character) {
      return json{{"position", {{"line", line}, {"character", character}}}};
    };
    const auto ask = [&](const std::string& method, const json& params) {
      (void)talk.call("lsp.request", {{"uri", uri}, {"method", method}, {"params", params}});
    };
    (void)talk.call("lsp.servers");
    ask("textDocument/hover", at(2, 9));
    ask("textDocument/definition", at(2, 9));
    ask("textDocument/documentSymbol", json::object());
    ask("textDocument/nonsense", json::object());
    (void)talk.call("lsp.diagnostics", {{"uri", uri}, {"wait_ms", 60'000}});
    (void)talk.call("lsp.request", {{"uri", "file:///nowhere/a.cpp"}, {"method", "textDocument/hover"}});
    (void)talk.call("lsp.request", {{"uri", uri}});
    (void)talk.call("lsp.servers");
    (void)talk.call("lsp.restart", {{"server", "nobody"}});
    // An editor's stream. What clangd says by itself, it says when it likes.
    const int editor = talk.open("lsp.attach", {{"language", "cpp"}}, 1000);
    talk.only(editor, [](const json& item) { return !item.contains("method"); });
    const auto say = [&](json message) {
      message["jsonrpc"] = "2.0";
      talk.item(editor, message);
    };
    talk.hear_credit(editor, 8);
    say({{"id", 1},
         {"method", "initialize"},
         {"params", {{"rootUri", "file://" + box.work().string()}, {"capabilities", json::object()}}}});
    talk.hear_items(editor, 1);
    say({{"method", "initialized"}, {"params", json::object()}});
    say({{"method", "textDocument/didOpen"},
         {"params",
          {{"textDocument",
            {{"uri", uri}, {"languageId", "cpp"}, {"version", 1}, {"text", box.read("work/a.cpp")}}}}}});
    json hover = at(2, 9);
    hover["textDocument"] = {{"uri", uri}};
    say({{"id", 2}, {"method", "textDocument/hover"}, {"params", hover}});
    talk.hear_items(editor, 2);
    say({{"id", 3}, {"method", "shutdown"}});
    talk.hear_items(editor, 3);
    say({{"method", "exit"}});
    (void)talk.answer(editor);
  });
}

// Also those that nobody has written a script for.
TEST_CASE("same in both modes: whatever comes with the host is asked for everything with nothing and with too much") {
  Stage stage;
  for (const auto& file : fs::recursive_directory_iterator(gantry::folders::build() + "/plugins")) {
    auto manifest = file.path();
    if (file.path().extension() != ".so" || !fs::exists(manifest.replace_extension(".json"))) continue;
    const bool bundled = file.path().parent_path() == fs::path(gantry::folders::build() + "/plugins");
    stage.plugins[file.path().stem().string()] = bundled ? "" : file.path().string();
  }
  REQUIRE(stage.plugins.size() >= 3);
  same_in_both_modes(stage, [&stage](Talk& talk, Sandbox&) {
    const auto described = talk.call("rpc.discover")["result"]["methods"];
    std::set<std::string> services;
    for (const auto& service : talk.call("host.services")["result"]) {
      if (stage.plugins.contains(service["plugin"])) services.insert(service["name"]);
    }
    // The workspace is learned in the background.
    talk.until("ai.models", json::object(),
               [](const json& result) { return dump_json(result).find("\"done\":false") == std::string::npos; });
    for (const auto& method : described) {
      const auto name = method["name"].get<std::string>();
      if (!services.contains(name.substr(0, name.find('.')))) continue;
      if (name == "state.backup.create") continue;  // it is named by the time
      for (const json& params : {json::object(), json{{"no such member", 1}}}) (void)talk.call(name, params);
    }
  });
}
