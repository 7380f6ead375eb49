// SPDX-License-Identifier: Apache-2.0
//
// What users of editors, language servers and programs between them have reported as bugs, tried with `gantry lsp`.
// Each case names the reports. The server is tests/npm/raw_server.js, which writes what it is told.
#include <csignal>
#include <map>

#include "tests/folders.hpp"
#include "tests/integration/editor.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::string kInitialize = R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"capabilities":{}}})";

// With a server of its own each editor is sent what the server has said, whatever it has declared.
void serve_raw(Sandbox& box, const std::vector<std::string>& options = {}) {
  fs::create_directories(box.work() / ".cache");  // where a server may write
  json command{"node", gantry::folders::source() + "/tests/npm/raw_server.js",
               (fs::canonical(box.work()) / ".cache" / "said").string()};
  for (const auto& option : options) command.push_back(option);
  box.write("config/gantry/gantry.toml", "[log]\nstderr = false\n[lsp.servers.raw]\ncommand = " + command.dump() +
                                             "\nlanguages = [\"raw\"]\nshare = \"none\"\n");
  box.cwd = box.work().string();
  (void)box.serve({"--workspace", box.work().string()});
}

std::string frame(const std::string& text) {
  return "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
}

/// All that a `gantry lsp` writes whose input is these bytes, to which it ends with the answer to a `shutdown` of id 9.
std::string output_of(Sandbox& box, const std::string& input) {
  std::array<int, 2> in{};
  REQUIRE(::pipe2(in.data(), O_CLOEXEC) == 0);
  const pid_t pid = box.spawn({"lsp", "--server", "raw"}, box.dir() / "output", box.dir() / "lsp.err", in[0]);
  ::close(in[0]);
  const auto write = [&](const std::string& bytes) {
    return ::write(in[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  };
  REQUIRE(write(input + frame(R"({"jsonrpc":"2.0","id":9,"method":"shutdown"})")));
  box.wait_for_text("output", "\"id\":9");
  (void)std::signal(SIGPIPE, SIG_IGN);  // `gantry lsp` may have ended with its server
  (void)write(frame(R"({"jsonrpc":"2.0","method":"exit"})"));
  ::close(in[1]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  INFO(box.read("lsp.err"));
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return box.read("output");
}

json raw_entry(const json& servers) {
  for (const auto& server : servers.at("servers")) {
    if (server["name"] == "raw") return server;
  }
  return json::object();
}

}  // namespace

// chipsalliance/verible#1987, haskell/haskell-language-server#3233: Vim sends a Content-Type of its own.
// CppCXY/LanguageServer.Framework#6: no blank before the number. mtsmfm/language_server-protocol-ruby#148: a header
// whose name ends so. oraios/serena#1442: servers that take no other header than Content-Length.
TEST_CASE("lsp reports: headers of an editor in each spelling are read and Content-Length alone is written") {
  Sandbox box;
  serve_raw(box);
  const auto echo = [](int id) {
    return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":"test/echo","params":["ä"]})";
  };
  std::string input = frame(kInitialize) + frame(R"({"jsonrpc":"2.0","method":"initialized","params":{}})");
  const std::string size = std::to_string(echo(1).size());
  const std::string type = "Content-Type: application/vim-jsonrpc; charset=utf-8\r\n";
  input += "Content-Length: " + size + "\r\n" + type + "\r\n" + echo(1);
  input += type + "Content-Length: " + size + "\r\n\r\n" + echo(2);
  input += "Content-Length:" + size + "\r\n\r\n" + echo(3);
  input += "content-length: " + size + "\r\ncontent-type: application/vscode-jsonrpc; charset=utf8\r\n\r\n" + echo(4);
  input += "X-Content-Length: 7\r\nContent-Length: " + size + "\r\n\r\n" + echo(5);
  std::string wanted = frame(R"({"jsonrpc":"2.0","id":0,"result":{"capabilities":{}}})");
  for (int id = 1; id <= 5; ++id)
    wanted += frame(R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"result":["ä"]})");
  wanted += frame(R"({"jsonrpc":"2.0","id":9,"result":null})");
  REQUIRE(output_of(box, input) == wanted);
  box.wait_for_text("work/.cache/said", R"(\"method\":\"exit\")");
  std::istringstream lines(box.read("work/.cache/said"));
  for (std::string line; std::getline(lines, line);) {
    const auto message = json::parse(line);
    const auto bytes = message["text"].get<std::string>().size();
    REQUIRE(message["head"] == "Content-Length: " + std::to_string(bytes));
  }
}

// neovim/neovim#40139: an answer to null. #27395 (OmniSharp): null as a message. scztt/LanguageServer.quark#30: an
// answer without an id. alaingilbert/agl#7: an answer with neither result nor error. neovim/neovim#40073: a request
// with null as id.
TEST_CASE("lsp reports: what a server writes that is no sound message leaves the session as it was") {
  Sandbox box;
  serve_raw(box);
  StdioEditor editor(box, {"lsp", "--server", "raw"});
  (void)editor.initialize(0);
  (void)editor.request(1, "test/write",
                       {{"frames",
                         {"null", R"({"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}})",
                          R"({"jsonrpc":"2.0","result":null})", R"({"result":null})", "[]", "{}", "7", R"("text")"}}});
  REQUIRE(editor.receive() == json{{"jsonrpc", "2.0"}, {"id", 1}, {"result", nullptr}});
  (void)editor.request(2, "test/write", {{"frames", {R"({"jsonrpc":"2.0","id":$ID})"}}, {"answered", true}});
  REQUIRE(editor.answer_to(2)["id"] == 2);
  (void)editor.request(3, "test/write", {{"frames", {R"({"jsonrpc":"2.0","id":null,"method":"test/question"})"}}});
  const auto question = editor.receive();
  REQUIRE(question["method"] == "test/question");
  REQUIRE(question["id"].is_number_integer());
  REQUIRE(editor.answer_to(3)["result"].is_null());
  (void)editor.send({{"id", question["id"]}, {"result", 1.5}});
  (void)editor.request(4, "test/echo", {{"x", 1}});
  REQUIRE(editor.answer_to(4)["result"] == json{{"x", 1}});
  box.wait_for_text("work/.cache/said", R"(\"id\":null,\"jsonrpc\":\"2.0\",\"result\":1.5)");
  INFO(box.run({"logs"}).out);
  REQUIRE(raw_entry(json::parse(box.run({"call", "lsp.servers"}).out))["restarts"] == 0);
}

// zed-industries/zed#29098: tokens that are numbers. MaskRay/ccls#840: a token that is used again after its end.
// neoclide/coc.nvim#2981: a registration that comes twice under one id.
TEST_CASE("lsp reports: after a crash each progress of a number or a text and each registration is ended once") {
  Sandbox box;
  serve_raw(box);
  StdioEditor editor(box, {"lsp", "--server", "raw"});
  (void)editor.initialize(0);
  const auto progress = [](const std::string& token, const std::string& kind) {
    return R"({"jsonrpc":"2.0","method":"$/progress","params":{"token":)" + token + R"(,"value":{"kind":")" + kind +
           R"(","title":"t"}}})";
  };
  const std::string registration =
      R"({"jsonrpc":"2.0","id":"r","method":"client/registerCapability","params":{"registrations":[)"
      R"({"id":"a","method":"workspace/didChangeWatchedFiles"}]}})";
  const json frames{progress("1", "begin"),
                    progress("\"1\"", "begin"),
                    progress("\"again\"", "begin"),
                    progress("\"again\"", "end"),
                    progress("\"over\"", "begin"),
                    progress("\"over\"", "end"),
                    progress("\"again\"", "begin"),
                    registration,
                    registration};
  (void)editor.request(1, "test/write", {{"frames", frames}});
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto message = editor.receive();
    if (message.contains("id")) (void)editor.send({{"id", message["id"]}, {"result", nullptr}});
  }
  REQUIRE(editor.answer_to(1)["result"].is_null());
  (void)editor.request(2, "test/die");
  std::multiset<json> ended;
  json message;
  do {
    message = editor.receive();
    if (message["method"] == "$/progress") {
      REQUIRE(message["params"]["value"]["kind"] == "end");
      ended.insert(message["params"]["token"]);
    } else if (message["method"] == "client/unregisterCapability") {
      ended.insert(message["params"]["unregisterations"]);
    }
  } while (message.value("id", json()) != 2);
  REQUIRE(message.contains("error"));
  const json registered = json::array({{{"id", "a"}, {"method", "workspace/didChangeWatchedFiles"}}});
  REQUIRE(ended == std::multiset<json>{1, "1", "again", registered});
}

// nix-community/nixd#499, wgsl-analyzer/wgsl-analyzer#96: a server that ends at shutdown instead of answering.
TEST_CASE("lsp reports: shutdown is answered also by a server that ends at once and nothing is started again") {
  Sandbox box;
  serve_raw(box, {"--dies-at-shutdown"});
  const auto output = output_of(box, frame(kInitialize) + frame(R"({"jsonrpc":"2.0","method":"initialized"})"));
  INFO(output);
  REQUIRE(output.starts_with(frame(R"({"jsonrpc":"2.0","id":0,"result":{"capabilities":{}}})")));
  REQUIRE(output.ends_with(frame(R"({"jsonrpc":"2.0","id":9,"result":null})")));
  REQUIRE(output.find("error") == std::string::npos);
  const auto said = box.read("work/.cache/said");
  REQUIRE(said.find("initialize", said.find("shutdown")) == std::string::npos);
}

// dart-lang/sdk#56311: a request before the answer to the server's question. sublimelsp/LSP#906: both sides use one id.
TEST_CASE("lsp reports: a request passes an unanswered question of the server and equal ids of both are kept apart") {
  Sandbox box;
  serve_raw(box);
  StdioEditor editor(box, {"lsp", "--server", "raw"});
  (void)editor.initialize(0);
  (void)editor.request(
      1, "test/write",
      {{"frames",
        {R"({"jsonrpc":"2.0","id":1,"method":"workspace/configuration","params":{"items":[]}})",
         R"({"jsonrpc":"2.0","id":"1","method":"workspace/configuration","params":{"items":[{"section":"x"}]}})"}}});
  const auto first = editor.receive();
  const auto second = editor.receive();
  REQUIRE(first["id"] != second["id"]);
  REQUIRE(editor.answer_to(1)["result"].is_null());
  for (const auto& id : {first["id"], second["id"]}) {  // the editor's own requests may have the same
    (void)editor.send({{"id", id}, {"method", "test/echo"}, {"params", {{"mine", id}}}});
    REQUIRE(editor.answer_to(id)["result"] == json{{"mine", id}});
  }
  (void)editor.send({{"id", second["id"]}, {"result", {"second"}}});
  (void)editor.send({{"id", first["id"]}, {"result", json::array()}});
  box.wait_for_text("work/.cache/said", R"(\"id\":\"1\",\"jsonrpc\":\"2.0\",\"result\":[\"second\"]})");
  box.wait_for_text("work/.cache/said", R"(\"id\":1,\"jsonrpc\":\"2.0\",\"result\":[]})");
}

// fox0430/moe#2067 and #2728: cancelled twice, and when the answer is there already.
TEST_CASE("lsp reports: a request that is cancelled twice and one that is cancelled too late have one answer each") {
  Sandbox box;
  serve_raw(box);
  StdioEditor editor(box, {"lsp", "--server", "raw"});
  (void)editor.initialize(0);
  (void)editor.request(1, "test/hang");
  for (int i = 0; i < 2; ++i) (void)editor.notify("$/cancelRequest", {{"id", 1}});
  REQUIRE(editor.receive()["error"]["code"] == -32800);
  (void)editor.request(2, "test/echo", {{"x", 2}});
  REQUIRE(editor.receive()["result"]["x"] == 2);
  for (int id = 1; id <= 2; ++id) (void)editor.notify("$/cancelRequest", {{"id", id}});
  (void)editor.request(3, "test/echo", {{"x", 3}});
  REQUIRE(editor.receive()["result"]["x"] == 3);
}

// neovim/neovim#30638: "1" is another id than 1.
TEST_CASE("lsp reports: a text and a number that look alike are two requests and each has its own cancellation") {
  Sandbox box;
  serve_raw(box);
  StdioEditor editor(box, {"lsp", "--server", "raw"});
  (void)editor.initialize(0);
  for (const json& id : {json(1), json("1")}) (void)editor.send({{"id", id}, {"method", "test/hang"}});
  (void)editor.notify("$/cancelRequest", {{"id", "1"}});
  REQUIRE(editor.receive()["id"] == "1");
  (void)editor.notify("$/cancelRequest", {{"id", 1}});
  REQUIRE(editor.receive()["id"] == 1);
}

// bug-ops/mcpls#458: what is in flight when the server is gone. The editor answers a question that nobody has any more.
TEST_CASE("lsp reports: at a crash requests are answered at once and a late answer does not reach the next server") {
  Sandbox box;
  serve_raw(box);
  StdioEditor editor(box, {"lsp", "--server", "raw"});
  (void)editor.initialize(0);
  (void)editor.request(1, "test/hang");
  (void)editor.request(
      2, "test/write",
      {{"frames", {R"({"jsonrpc":"2.0","id":"q","method":"window/showMessageRequest","params":{}})"}}});
  const auto question = editor.receive();
  REQUIRE(question["method"] == "window/showMessageRequest");
  REQUIRE(editor.receive()["id"] == 2);
  (void)editor.request(3, "test/die");
  std::set<json> failed;
  bool withdrawn = false;
  while (failed.size() < 2 || !withdrawn) {
    const auto message = editor.receive();
    if (message.contains("error")) failed.insert(message["id"]);
    withdrawn =
        withdrawn || (message.value("method", "") == "$/cancelRequest" && message["params"]["id"] == question["id"]);
  }
  REQUIRE(failed == std::set<json>{1, 3});
  (void)editor.send({{"id", question["id"]}, {"result", {{"title", "too late"}}}});
  wait_for("an answer of the next server", [&, id = 3]() mutable {
    (void)editor.request(++id, "test/echo");
    return editor.answer_to(id).contains("result");
  });
  REQUIRE(box.read("work/.cache/said").find("too late") == std::string::npos);
}

// What Gantry sends by itself: docs/editors.md, "What Gantry does not pass on as it came".
TEST_CASE("lsp reports: after a crash the next server gets the same bytes and each document as the editor has it") {
  Sandbox box;
  serve_raw(box);
  StdioEditor editor(box, {"lsp", "--server", "raw"});
  const std::string initialize =
      R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"capabilities":{"x":[1e0,3.0,"\u00e4\/"]},"rootUri":null}})";
  (void)editor.send_text(initialize);
  (void)editor.answer_to(0);
  const std::vector<std::string> same{
      R"({"jsonrpc":"2.0","method":"initialized","params":{"x":1e0}})",
      R"({"jsonrpc":"2.0","method":"workspace/didChangeConfiguration","params":{"settings":{"x":[3.0,"\u00e4\/"]}}})"};
  for (const auto& text : same) (void)editor.send_text(text);
  const auto open = [&](const std::string& uri, const std::string& text) {
    (void)editor.send_text(R"({"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":")" +
                           uri + R"(","languageId":"raw","version":1,"text":")" + text + R"("}}})");
  };
  open("file:///w%C3%B6rk/a%20b.raw", R"(one \ud834\udd1e\ntwo\n)");
  open("untitled:1", R"(\u0000\ttext)");
  open("file:///closed.raw", "gone");
  (void)editor.send_text(
      R"({"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///w%C3%B6rk/a%20b.raw",)"
      R"("version":7.0},"contentChanges":[{"range":{"start":{"line":0,"character":4},"end":{"line":0,"character":6}},)"
      R"("text":"clef"},{"range":{"start":{"line":1,"character":0},"end":{"line":2,"character":0}},"text":""}]}})");
  (void)editor.notify("textDocument/didClose", {{"textDocument", {{"uri", "file:///closed.raw"}}}});
  (void)editor.request(1, "test/die");
  REQUIRE(editor.answer_to(1).contains("error"));
  wait_for("an answer of the next server", [&, id = 1]() mutable {
    (void)editor.request(++id, "test/echo");
    return editor.answer_to(id).contains("result");
  });
  std::vector<std::string> said;
  std::istringstream lines(box.read("work/.cache/said"));
  for (std::string line; std::getline(lines, line);) {
    auto text = json::parse(line)["text"].get<std::string>();
    if (json::parse(text)["method"] == "initialize") said.clear();
    said.push_back(std::move(text));
  }
  REQUIRE(said.size() >= 6);
  const std::string id = json::parse(said[0])["id"].dump();
  REQUIRE(said[0] == "{\"jsonrpc\":\"2.0\",\"id\":" + id + initialize.substr(initialize.find(",\"method\"")));
  REQUIRE(std::vector(said.begin() + 1, said.begin() + 3) == same);
  std::map<std::string, json> opened;
  for (const auto& text : {said[3], said[4]}) {
    const auto message = json::parse(text);
    REQUIRE(message["method"] == "textDocument/didOpen");
    const auto& document = message["params"]["textDocument"];
    opened[document["uri"]] = document;
  }
  REQUIRE(opened["file:///w%C3%B6rk/a%20b.raw"] ==
          json{{"uri", "file:///w%C3%B6rk/a%20b.raw"}, {"languageId", "raw"}, {"version", 7}, {"text", "one clef\n"}});
  REQUIRE(opened["untitled:1"] ==
          json{{"uri", "untitled:1"}, {"languageId", "raw"}, {"version", 1}, {"text", std::string("\0\ttext", 6)}});
  REQUIRE(json::parse(said[5])["method"] == "test/echo");
}

// microsoft/vscode-languageserver-node#726: the editor is killed while its server has not answered initialize.
TEST_CASE("lsp reports: an editor that is killed while its server starts leaves no server behind") {
  Sandbox box;
  box.write("config/gantry/gantry.toml",
            "[lsp.servers.raw]\ncommand = [\"" + gantry::folders::build() +
                "/tests/lsp_fake_server\", \"--hang-initialize\"]\nlanguages = [\"raw\"]\n");
  (void)box.serve();
  auto client = box.connect();
  const auto server = [&] { return raw_entry(*client.call("lsp.servers", json::object(), kTimeout)); };
  StdioEditor editor(box, {"lsp", "--server", "raw"});
  (void)editor.send_text(kInitialize);
  wait_for("the server's process", [&] { return server().contains("pid"); });
  const auto process = server()["pid"].get<pid_t>();
  ::kill(editor.pid(), SIGKILL);
  wait_for("the server's end", [&] { return !lives(process) && !server().contains("pid"); });
}

// OmniSharp/omnisharp-roslyn#2691: a byte order mark in front of the first header.
TEST_CASE("lsp reports: a server that begins its output with a byte order mark is heard") {
  Sandbox box;
  serve_raw(box, {"--bom"});
  StdioEditor editor(box, {"lsp", "--server", "raw"});
  REQUIRE(editor.initialize(0).contains("result"));
  (void)editor.request(1, "test/echo", {{"x", 1}});
  REQUIRE(editor.answer_to(1)["result"]["x"] == 1);
}
