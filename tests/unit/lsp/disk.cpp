// SPDX-License-Identifier: Apache-2.0
//
// Callers that are no editor, and a disk on which others write: what the server is told, and what is fresh.
#include <algorithm>

#include "plugins/lsp/config.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

struct Shared {
  TempDir dir;
  std::string file = dir.write("a.fake", "text");
  TestHost host;
  explicit Shared(std::vector<std::string> options = {})
      : host(kPlugin, config_of({{"fake", fake_server(dir, std::move(options))}}, dir)) {
    REQUIRE(ask("test/echo"));
  }
  ~Shared() { host.stop(); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  gantry::Result<json> ask(const std::string& method, const json& params = json::object()) {
    return host.call("lsp.request", {{"uri", file}, {"method", method}, {"params", params}});
  }
  void publish(long long version, const std::string& message) {
    const json params{{"uri", "file://" + file}, {"version", version}, {"diagnostics", {{{"message", message}}}}};
    REQUIRE(ask("test/notify", {{"method", "textDocument/publishDiagnostics"}, {"params", params}}));
  }
  json known() { return value_of(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}})); }
  /// The first that the server was told of this method.
  json told(const std::string& method) {
    host.wait(method.c_str(), [&] { return !sent_to(dir, method).empty(); });
    return sent_to(dir, method).front();
  }
  [[nodiscard]] json changes(const std::string& path, int type) const {
    return {{{"uri", "file://" + path}, {"type", type}}};
  }
};

json notify_diagnostics(const std::string& path, json version, const std::string& message) {
  json params{{"uri", "file://" + path}, {"diagnostics", {{{"message", message}}}}};
  if (!version.is_null()) params["version"] = version;
  return {{"uri", path},
          {"method", "test/notify"},
          {"params", {{"method", "textDocument/publishDiagnostics"}, {"params", params}}}};
}

}  // namespace

TEST_CASE("lsp.diagnostics: are fresh only until something else changes in the tree, and the server is told of it") {
  Shared t;
  t.publish(1, "of the header of before");
  REQUIRE(t.known()["freshness"] == "fresh");
  const auto header = t.dir.write("deep/header.h", "changed");
  const auto got = t.known();
  REQUIRE(got["freshness"] == "stale");
  REQUIRE(got["diagnostics"][0]["message"] == "of the header of before");
  REQUIRE(t.ask("test/echo"));  // by then the server has seen what was told before
  REQUIRE(sent_to(t.dir, "workspace/didChangeWatchedFiles").at(0)["params"]["changes"] == t.changes(header, 1));
  const auto told = sent_to(t.dir, "textDocument/didChange").at(0)["params"];
  REQUIRE(told["textDocument"]["version"] == 2);
  REQUIRE(told["contentChanges"] == json{{{"text", "text"}}});
  t.publish(2, "of the header of now");
  REQUIRE(t.known()["freshness"] == "fresh");
  REQUIRE(t.known()["diagnostics"][0]["message"] == "of the header of now");
  REQUIRE(sent_to(t.dir, "textDocument/didChange").size() == 1);  // nothing has changed since
}

TEST_CASE("lsp.diagnostics: what changes while they are waited for makes them stale, not fresh") {
  Shared t;
  auto waiting = t.host.begin("lsp.diagnostics", {{"uri", t.file}, {"wait_ms", 500}});
  const auto calls = [&] { return server_entry(t.host, "shared")["clients"].get<int>(); };
  t.host.wait("the wait", [&] { return calls() == 1; });
  const pid_t server = server_entry(t.host, "shared")["pid"];
  ::kill(server, SIGSTOP);
  const json params{{"uri", "file://" + t.file}, {"version", 1}, {"diagnostics", {{{"message", "x"}}}}};
  auto publishes =
      t.host.begin("lsp.request", {{"uri", t.file},
                                   {"method", "test/notify"},
                                   {"params", {{"method", "textDocument/publishDiagnostics"}, {"params", params}}}});
  t.host.wait("the server to be asked", [&] { return calls() == 2; });  // only then something changes
  t.dir.write("header.h", "changed");
  ::kill(server, SIGCONT);
  REQUIRE(publishes.result());
  t.host.wait("the version of now", [&] { return !sent_to(t.dir, "textDocument/didChange").empty(); });
  t.host.settle();
  REQUIRE_FALSE(waiting.answered());
  t.host.advance(std::chrono::milliseconds(500));
  REQUIRE(waiting.result()->at("freshness") == "stale");
}

TEST_CASE("lsp.diagnostics: of a file that is asked for by a link are those that its server publishes where it leads") {
  TempDir dir, elsewhere;
  const auto real = elsewhere.write("project/a.fake", "one");
  std::filesystem::create_directory_symlink(elsewhere / "project", dir / "link");
  std::filesystem::create_symlink(real, dir / "alone.fake");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  for (const auto& file : {dir / "link/a.fake", dir / "alone.fake"}) {
    CAPTURE(file);
    const auto publish = [&](const std::string& path, json version, const std::string& message) {
      auto call = notify_diagnostics(path, std::move(version), message);
      call["uri"] = file;
      REQUIRE(host.call("lsp.request", call));
      return value_of(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}}));
    };
    auto waiting = host.begin("lsp.diagnostics", {{"uri", file}, {"wait_ms", 600'000}});
    const auto is_open = [&](const json& said) { return said["params"]["textDocument"]["uri"] == "file://" + file; };
    host.wait("the document", [&] { return std::ranges::any_of(sent_to(dir, "textDocument/didOpen"), is_open); });
    auto got = publish(real, nullptr, "under the real path");
    REQUIRE(got["freshness"] == "fresh");
    REQUIRE(got["uri"] == "file://" + file);  // as it was asked for
    REQUIRE(waiting.result()->at("diagnostics")[0]["message"] == "under the real path");
    REQUIRE(
        host.event("lsp.diagnostics.changed").payload["uri"].get<std::string>().starts_with("file://" + dir.path()));
    REQUIRE(publish(elsewhere / "project/b.fake", nullptr, "of another")["diagnostics"] == got["diagnostics"]);
    // A server that uses the path of the link means another file by the real one.
    got = publish(file, got["version"], "under the link");
    REQUIRE(publish(real, nullptr, "of the real one")["diagnostics"][0]["message"] == "under the link");
  }
  host.stop();
}

TEST_CASE("lsp.diagnostics: what is published of a file counts for a link to it, too, when both are open") {
  TempDir dir;
  const auto real = dir.write("real/a.fake", "one"), link = dir / "link/a.fake";
  std::filesystem::create_directory_symlink(dir / "real", dir / "link");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  for (const auto& file : {link, real})
    REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "textDocument/hover"}}));
  REQUIRE(sent_to(dir, "initialize").size() == 1);
  REQUIRE(host.call("lsp.request", notify_diagnostics(real, 2, "wrong")));
  for (const auto& file : {link, real}) {
    const auto got = value_of(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}}));
    REQUIRE(got["freshness"] == "fresh");
    REQUIRE(got["diagnostics"][0]["message"] == "wrong");
  }
  host.stop();
}

TEST_CASE("lsp.request: a request is answered by a server that knows what has changed before it") {
  Shared t;
  t.dir.write("header.h", "changed");
  REQUIRE(t.ask("test/echo"));
  std::vector<std::string> order;
  for (const auto& message : sent_to(t.dir)) order.push_back(message["method"]);
  order.erase(order.begin(), order.begin() + 4);
  REQUIRE(order == std::vector<std::string>{"workspace/didChangeWatchedFiles", "textDocument/didChange", "test/echo"});
}

TEST_CASE(
    "lsp.request: a document that was changed on the disk is told as saved to a server that wants to hear of it") {
  for (const auto& [option, text] :
       {std::pair<std::string, json>{"--save", json()}, {"--save-text", json("other")}, {"--utf8", json("never")}}) {
    Shared t({option});
    t.dir.write("a.fake", "other");
    REQUIRE(t.ask("test/echo"));
    const auto saved = sent_to(t.dir, "textDocument/didSave");
    REQUIRE(saved.size() == (option == "--utf8" ? 0U : 1U));
    if (saved.empty()) continue;
    REQUIRE(saved[0]["params"]["textDocument"]["uri"] == "file://" + t.file);
    REQUIRE(saved[0]["params"].value("text", json()) == text);
  }
}

TEST_CASE("lsp.request: callers may notify, which is answered with null, but not of what is the plugin's own") {
  Shared t;
  REQUIRE(value_of(t.ask("textDocument/didSave")).is_null());
  const auto saved = t.told("textDocument/didSave");
  REQUIRE(saved["params"]["textDocument"]["uri"] == "file://" + t.file);
  REQUIRE_FALSE(saved.contains("id"));
  REQUIRE(value_of(t.ask("workspace/didRenameFiles", {{"files", json::array()}})).is_null());
  const auto own = t.host.call("lsp.request", {{"uri", t.file}, {"method", "fake/refresh"}, {"notification", true}});
  REQUIRE(value_of(own).is_null());
  REQUIRE_FALSE(t.told("fake/refresh").contains("id"));
  for (const auto* method : {"textDocument/didOpen", "textDocument/didChange", "textDocument/didClose", "initialized",
                             "exit", "$/cancelRequest", "workspace/didChangeConfiguration"})
    REQUIRE(t.ask(method).error().kind == ErrorKind::invalid_params);
}

TEST_CASE("lsp.request: a caller's didChangeWatchedFiles is merged into the plugin's, and makes diagnostics stale") {
  Shared t;
  t.publish(1, "x");
  REQUIRE(t.known()["freshness"] == "fresh");
  const std::string elsewhere = "/elsewhere/header.h";
  const auto header = t.dir.write("header.h", "1");
  REQUIRE(value_of(t.ask("workspace/didChangeWatchedFiles", {{"changes", t.changes(elsewhere, 2)}})).is_null());
  REQUIRE(t.known()["freshness"] == "stale");
  REQUIRE(t.ask("test/echo"));  // by then the server has seen what was told before
  std::set<json> told;
  for (const auto& message : sent_to(t.dir, "workspace/didChangeWatchedFiles")) {
    for (const auto& change : message["params"]["changes"]) REQUIRE(told.insert(change).second);
  }
  REQUIRE(told == std::set<json>{t.changes(elsewhere, 2)[0], t.changes(header, 1)[0]});
}

TEST_CASE("lsp.request: a notification may be of a file that is gone") {
  Shared t;
  std::filesystem::remove(t.file);
  REQUIRE(t.ask("test/echo").error().kind == ErrorKind::not_found);
  REQUIRE(value_of(t.ask("workspace/didDeleteFiles", {{"files", {{{"uri", "file://" + t.file}}}}})).is_null());
  (void)t.told("workspace/didDeleteFiles");
}

TEST_CASE("lsp faults: an answer over 64 MiB is an error for who asked, editor or caller") {
  Shared t;
  EditorClient editor(t.host, {{"server", "fake"}});
  editor.initialize(t.dir.path());
  REQUIRE(kind_of(editor.ask("test/big_answer")) == "too_large");
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(t.ask("test/big_answer").error().message.find("over 64 MiB") != std::string::npos);
}

TEST_CASE("clangd: a header that changes on the disk changes the diagnostics of the file that includes it") {
  TempDir dir;
  dir.write("a.hpp", "int f(int);\n");
  const auto file = dir.write("a.cpp", "#include \"a.hpp\"\nint x = f(1);\n");
  TestHost host(kPlugin, config_of({{"clangd", {{"command", {"clangd-19", "--background-index=false"}}}}}, dir),
                Time::real);
  const auto ask = [&] { return value_of(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}})); };
  REQUIRE(ask()["diagnostics"].empty());
  dir.write("a.hpp", "int another(int);\n");
  auto now = ask();
  REQUIRE(now["freshness"] == "fresh");
  REQUIRE(now["diagnostics"].size() == 1);
  // What no C file can include is no reason to ask clangd again; what may be one is, and is answered.
  dir.write("README.md", "nothing");
  REQUIRE(ask()["version"] == now["version"]);
  dir.write("list.inc", "nothing");
  const auto again = ask();
  REQUIRE(again["freshness"] == "fresh");
  REQUIRE(again["version"] > now["version"]);
  REQUIRE(again["diagnostics"].size() == 1);
  host.stop();
}

TEST_CASE("clangd: a compilation database that comes later holds from then on") {
  TempDir dir;
  const auto file = dir.write("a.cpp", "static_assert(FROM_THE_DATABASE == 7);\n");
  TestHost host(kPlugin, config_of({{"clangd", {{"command", {"clangd-19", "--background-index=false"}}}}}, dir),
                Time::real);
  const auto ask = [&] { return value_of(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}})); };
  REQUIRE(ask()["diagnostics"].size() == 1);
  const json commands{
      {{"directory", dir.path()}, {"file", file}, {"command", "clang++ -DFROM_THE_DATABASE=7 -c a.cpp"}}};
  dir.write("build/compile_commands.json", commands.dump());
  const auto now = ask();
  REQUIRE(now["freshness"] == "fresh");
  REQUIRE(now["diagnostics"].empty());
  host.stop();
}
