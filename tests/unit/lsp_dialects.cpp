// SPDX-License-Identifier: Apache-2.0
//
// Servers whose libraries write JSON-RPC in a way of their own.
#include "lsp_support.hpp"

using namespace lsp_test;

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
