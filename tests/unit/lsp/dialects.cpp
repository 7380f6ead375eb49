// SPDX-License-Identifier: Apache-2.0
//
// Servers whose libraries write JSON-RPC in a way of their own.
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

/// The message of the fake server's log that holds this text, as it was written.
std::string line_with(const TempDir& dir, const std::string& text) {
  std::ifstream in(dir.log());
  for (std::string line; std::getline(in, line);) {
    if (line.find(text) != std::string::npos) return line;
  }
  return {};
}

}  // namespace

TEST_CASE("lsp dialects: a server that writes a null error beside each result is answered by its result") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--error-null"})}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  REQUIRE(editor.initialize(dir.path())["result"].contains("capabilities"));
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  const json call{{"uri", file}, {"method", "test/echo"}, {"params", {{"x", 2}}}};
  REQUIRE(value_of(host.call("lsp.request", call))["x"] == 2);
  host.stop();
}

TEST_CASE("lsp dialects: a server that prints lines between its messages and ends headers by bare newlines is heard") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", unshared(fake_server(dir, {"--noisy"}))}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  REQUIRE(editor.initialize(dir.path())["result"].contains("capabilities"));
  for (int x = 0; x < 3; ++x) {
    REQUIRE(editor.ask("test/echo", {{"x", x}})["result"]["x"] == x);
    const json call{{"uri", file}, {"method", "test/echo"}, {"params", {{"x", x}}}};
    REQUIRE(value_of(host.call("lsp.request", call))["x"] == x);
  }
  REQUIRE(server_entry(host, "shared")["restarts"] == 0);
  // What it printed first is told, once for the editor's server and once for the shared one.
  const auto log = host.log();
  const auto first = log.find(R"(fake prints on its stdout what is no LSP message)");
  REQUIRE(first != std::string::npos);
  REQUIRE(log.find(R"(\x1b[1mStarting\x1b[0m up)", first) != std::string::npos);
  REQUIRE(log.find("Called a method") == std::string::npos);
  const auto times = [&](const std::string& text) {
    std::size_t n = 0;
    for (auto at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) ++n;
    return n;
  };
  REQUIRE(times("what is no LSP message") == 2);
  host.stop();
}

TEST_CASE("lsp dialects: a server that answers the request 1 as 1.0 or 1e0 is heard, to its last answer") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", unshared(fake_server(dir, {"--float-ids"}))}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  REQUIRE(editor.initialize(dir.path())["result"].contains("capabilities"));
  for (int x = 0; x < 2; ++x) {  // one is answered as N.0, one as Ne0
    const auto answer = editor.ask("test/echo", {{"x", x}});
    REQUIRE(answer["result"]["x"] == x);
    REQUIRE(answer["id"].is_number_integer());
    const json call{{"uri", file}, {"method", "test/echo"}, {"params", {{"x", x}}}};
    REQUIRE(value_of(host.call("lsp.request", call))["x"] == x);
  }
  REQUIRE(editor.ask("test/none")["error"]["code"] == -32601);
  REQUIRE(editor.ask("shutdown").at("result").is_null());
  editor.notify("exit");
  REQUIRE(editor.stream().result());
  host.stop();
  // The shared one said exit once its shutdown was answered: it was not killed after the grace.
  REQUIRE(sent_to(dir, "exit").size() == 2);
}

TEST_CASE("lsp dialects: an editor may write the id 1 as 1.0 when it cancels, and when it answers a question") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {}, {{"editor_max_concurrent_requests", 1}}));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  const int held = editor.send("test/hang"), waits = editor.send("test/echo");
  host.wait("the hang", [&] { return !sent_to(dir, "test/hang").empty(); });
  for (const int id : {waits, held}) {  // one that waits in line here, and one that is with the server
    editor.cancel(static_cast<double>(id));
    const auto answer = editor.answer(id);
    REQUIRE(answer["error"]["code"] == -32800);
    REQUIRE(answer["id"].is_number_integer());  // as the request has it
  }
  const int asked = editor.send("test/ask", {{"method", "test/question"}});
  editor.raw({{"id", editor.said("test/question")["id"].get<double>()}, {"result", "yes"}});
  REQUIRE(editor.answer(asked)["result"]["result"] == "yes");
  // The other way round: the request is 900.0, and its cancellation 900.
  editor.raw({{"id", 900.0}, {"method", "test/hang"}});
  editor.cancel(900);
  const auto answer = editor.answer(900);
  REQUIRE(answer["error"]["code"] == -32800);
  REQUIRE(answer["id"].dump() == "900.0");
  host.stop();
}

TEST_CASE("lsp dialects: a server's question is answered under its id as it was written, also one that no integer is") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", unshared(fake_server(dir))}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  for (const char* id : {"1e0", "2.0", "-3", "7.50", "18446744073709551617", R"("a\/b")"}) {
    CAPTURE(id);
    const json params{{"method", "workspace/applyEdit"}, {"id_text", id}};
    const int asked = editor.send("test/ask", params);
    const auto question = editor.said("workspace/applyEdit");
    REQUIRE(question["id"].is_number_integer());
    editor.raw({{"id", question["id"]}, {"result", {{"from", id}}}});
    REQUIRE(editor.answer(asked)["result"]["result"]["from"] == id);
    const auto line = line_with(dir, R"("result":{"from")");
    std::filesystem::resize_file(dir.log(), 0);
    REQUIRE(line.find("\"id\":" + std::string(id) + ",") != std::string::npos);
    // The shared server's is answered by the plugin itself.
    REQUIRE(value_of(host.call("lsp.request",
                               {{"uri", file}, {"method", "test/ask"}, {"params", params}}))["result"]["applied"] ==
            false);
    const auto own = line_with(dir, R"("applied":false)");
    std::filesystem::resize_file(dir.log(), 0);
    REQUIRE(own.find("\"id\":" + std::string(id) + ",") != std::string::npos);
  }
  host.stop();
}

TEST_CASE("lsp dialects: a server that cancels its question 1e0 as 1.0 withdraws it at the editor") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  editor.initialize(dir.path());
  (void)editor.send("test/ask", {{"method", "test/question"}, {"id_text", "1e0"}});
  const auto question = editor.said("test/question");
  (void)editor.ask("test/notify", {{"method", "$/cancelRequest"}, {"params", {{"id", 1.0}}}});
  REQUIRE(editor.said("$/cancelRequest")["params"]["id"] == question["id"]);
  host.stop();
}

TEST_CASE(
    "lsp dialects: URIs with one slash, with a host or encoded otherwise are of the same file, for callers and "
    "server") {
  TempDir dir;
  const auto file = dir.write("a:b.fake", "one");
  const std::string encoded = dir.path() + "/a%3ab.fake";
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  for (const auto& uri : {"file:" + file, "file://localhost" + file, "file:" + encoded, "FILE://" + file}) {
    CAPTURE(uri);
    const json params{{"textDocument", {{"uri", uri}}}};
    const json hover{{"uri", uri}, {"method", "textDocument/hover"}, {"params", params}};
    REQUIRE(value_of(host.call("lsp.request", hover))["contents"] == "one");
    // What the server publishes under this spelling is found under another.
    const json publish{{"uri", uri}, {"version", 1}, {"diagnostics", {{{"message", uri}}}}};
    REQUIRE(
        host.call("lsp.request", {{"uri", file},
                                  {"method", "test/notify"},
                                  {"params", {{"method", "textDocument/publishDiagnostics"}, {"params", publish}}}}));
    const auto got = value_of(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}}));
    REQUIRE(got["diagnostics"][0]["message"] == uri);
    REQUIRE(got["freshness"] == "fresh");
  }
  REQUIRE(sent_to(dir, "textDocument/didOpen").size() == 1);
  REQUIRE(
      host.call("lsp.request", {{"uri", "file:" + dir.path() + "/"}, {"method", "test/echo"}, {"language", "fake"}}));
  REQUIRE(sent_to(dir, "initialize").size() == 1);
  host.stop();
}

TEST_CASE("lsp dialects: a URI that is no file is passed on as it is, and refused only where a file is needed") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient editor(host, {{"server", "fake"}, {"cwd", dir.path()}});
  const json folders{{{"uri", "vscode-remote://x/a"}, {"name", "a"}}, {{"uri", "file://server/b"}, {"name", "b"}}};
  REQUIRE(editor.ask("initialize", {{"rootUri", "file://server/b"}, {"workspaceFolders", folders}}).contains("result"));
  REQUIRE(sent_to(dir, "initialize")[0]["params"]["workspaceFolders"] == folders);
  REQUIRE(editor.ask("test/cwd")["result"] == dir.path());
  REQUIRE(host.log().find("uri file://server/b names the host \"server\"") != std::string::npos);
  for (const auto* uri :
       {"untitled:Untitled-1", "jar:file:///a.jar!/B.class", "deno:/https/x", "file://server/a.fake"}) {
    CAPTURE(uri);
    editor.open(uri, "text of " + std::string(uri));
    const json params{{"textDocument", {{"uri", uri}}}};
    REQUIRE(editor.ask("textDocument/hover", params)["result"]["contents"] == "text of " + std::string(uri));
    REQUIRE(value_of(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}, {"params", params}})) == params);
    const auto refused =
        host.call("lsp.request", {{"uri", uri}, {"method", "test/echo"}, {"language", "fake"}}).error();
    REQUIRE(refused.kind == ErrorKind::invalid_params);
    REQUIRE(refused.message.find(uri) != std::string::npos);
  }
  REQUIRE(host.call("lsp.diagnostics", {{"uri", "file://server/a.fake"}})
              .error()
              .message.find("names the host \"server\"") != std::string::npos);
  REQUIRE(EditorClient(host, {{"server", "fake"}, {"root", "file://server/b"}})
              .stream()
              .result()
              .error()
              .message.find("root: uri file://server/b names the host") == 0);
  host.stop();
}

TEST_CASE("lsp dialects: diagnostics for the version 1.0 are for the version 1") {
  TempDir dir;
  const auto file = dir.write("a.fake", "one");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const auto publish = [&](const json& version) {
    const json params{{"uri", "file://" + file}, {"version", version}, {"diagnostics", {{{"message", "wrong"}}}}};
    REQUIRE(
        host.call("lsp.request", {{"uri", file},
                                  {"method", "test/notify"},
                                  {"params", {{"method", "textDocument/publishDiagnostics"}, {"params", params}}}}));
    return value_of(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}}));
  };
  REQUIRE(publish(1)["freshness"] == "fresh");
  dir.write("a.fake", "another");
  REQUIRE(publish(1.0)["freshness"] == "stale");
  const auto now = publish(2.0);
  REQUIRE(now["freshness"] == "fresh");
  REQUIRE(now["version"].dump() == "2");
  host.stop();
}

TEST_CASE("lsp dialects: a change of a watched file whose type a caller writes as 2.0 is told as 2") {
  TempDir dir;
  const auto file = dir.write("a.fake", "one");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const auto ask = [&](const std::string& method, const json& params) {
    return host.call("lsp.request", {{"uri", file}, {"method", method}, {"params", params}});
  };
  const auto change = [](const json& type) { return json{{{"uri", "file:///elsewhere/a.h"}, {"type", type}}}; };
  REQUIRE(ask("test/echo", json::object()));
  for (const json& none : {json(2.5), json(4.0), json("2"), json()})
    REQUIRE(ask("workspace/didChangeWatchedFiles", {{"changes", change(none)}}));
  REQUIRE(ask("workspace/didChangeWatchedFiles", {{"changes", change(2.0)}}));
  REQUIRE(ask("test/echo", json::object()));  // by then the server has seen what was told before
  const auto told = sent_to(dir, "workspace/didChangeWatchedFiles");
  REQUIRE(told.size() == 1);
  REQUIRE(told[0]["params"]["changes"].dump() == change(2).dump());
  host.stop();
}
