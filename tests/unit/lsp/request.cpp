// SPDX-License-Identifier: Apache-2.0
//
// Callers that are no editor: files from the disk, one shared server, its own requests, diagnostics and their
// freshness.
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

json hover_of(const std::string& file) { return {{"uri", "file://" + file}, {"method", "textDocument/hover"}}; }

// The same stamp and another content must not pass for the same content: an old stamp, set by hand, is believed.
void set_old_time(const std::string& file, int seconds_ago) {
  timespec times[2];
  ::clock_gettime(CLOCK_REALTIME, &times[0]);
  times[0].tv_sec -= seconds_ago;
  times[1] = times[0];
  REQUIRE(::utimensat(AT_FDCWD, file.c_str(), times, 0) == 0);
}

json notify_diagnostics(const std::string& file, json version, const std::string& message) {
  json params{{"uri", "file://" + file}, {"diagnostics", {{{"message", message}}}}};
  if (!version.is_null()) params["version"] = version;
  return {{"uri", file},
          {"method", "test/notify"},
          {"params", {{"method", "textDocument/publishDiagnostics"}, {"params", params}}}};
}

}  // namespace

TEST_CASE("lsp.request: the first file of a language is told") {
  TempDir dir;
  const auto file = dir.write("a.fake", "first");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  for (int i = 0; i < 2; ++i) REQUIRE(host.call("lsp.request", hover_of(file)));
  int told = 0;
  for (const auto& event : host.events()) told += event.topic.starts_with("lsp.language.") ? 1 : 0;
  REQUIRE(told == 1);
  host.stop();
}

TEST_CASE("lsp.request: opens the file as it is on the disk, and changes it when it has changed") {
  TempDir dir;
  const auto file = dir.write("a b.fake", "first");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  auto hover = host.call("lsp.request",
                         {{"uri", "file://" + dir.path() + "/x/../a%20b.fake"}, {"method", "textDocument/hover"}});
  REQUIRE(hover);
  REQUIRE(hover->at("contents") == "first");
  dir.write("a b.fake", "secnd");  // the same size, within the same tick
  hover = host.call("lsp.request", hover_of(file));
  REQUIRE(hover->at("contents") == "secnd");
  REQUIRE(hover->at("version") == 2);
  set_old_time(file, 100);
  REQUIRE(host.call("lsp.request", hover_of(file))->at("version") == 2);  // another stamp, the same text
  REQUIRE(host.call("lsp.request", hover_of(file))->at("version") == 2);
  REQUIRE(sent_to(dir, "textDocument/didOpen").size() == 1);
  REQUIRE(sent_to(dir, "textDocument/didChange").size() == 1);
  REQUIRE(sent_to(dir, "textDocument/didOpen")[0]["params"]["textDocument"]["uri"] ==
          "file://" + dir.path() + "/a%20b.fake");
  REQUIRE(sent_to(dir, "initialize").size() == 1);
  host.stop();
}

TEST_CASE("lsp.request: one server for each root") {
  TempDir dir;
  dir.write("one/fake.root", "");
  dir.write("two/fake.root", "");
  const auto a = dir.write("one/deep/a.fake", "a"), b = dir.write("two/b.fake", "b"), c = dir.write("c.fake", "c");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  for (const auto& file : {a, b, c, a}) REQUIRE(host.call("lsp.request", hover_of(file)));
  std::vector<std::string> roots;
  const auto servers = host.call("lsp.servers")->at("servers");
  for (const auto& server : servers) roots.push_back(server["root"]);
  std::sort(roots.begin(), roots.end());
  REQUIRE(roots == std::vector<std::string>{dir.path(), dir / "one", dir / "two"});
  host.stop();
}

TEST_CASE("lsp.request: what cannot be asked is refused with what to do") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  auto missing = fake_server(dir);
  missing["command"] = "no-such-language-server";
  missing["languages"] = {"gone"};
  missing.erase("extensions");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}, {"missing", missing}}, dir));
  const auto error = [&](const json& params) { return host.call("lsp.request", params).error(); };
  REQUIRE(error(hover_of(dir / "none.fake")).kind == ErrorKind::not_found);
  REQUIRE(error({{"uri", "a.fake"}, {"method", "m"}}).kind == ErrorKind::invalid_params);
  REQUIRE(error({{"uri", file}}).message.find("method is missing") != std::string::npos);
  REQUIRE(error({{"uri", file}, {"methode", "m"}}).message.find("method") != std::string::npos);
  REQUIRE(error({{"uri", dir / "x.unknown"}, {"method", "m"}}).message.find("pass language") != std::string::npos);
  REQUIRE(error({{"uri", dir / "x.rs"}, {"method", "m"}}).message.find("\"rust\"") != std::string::npos);
  REQUIRE(error({{"uri", file}, {"method", "shutdown"}}).kind == ErrorKind::invalid_params);
  REQUIRE(error({{"uri", file}, {"method", "textDocument/didChange"}}).kind == ErrorKind::invalid_params);
  const auto upstream = error({{"uri", file}, {"method", "test/none"}});
  REQUIRE(upstream.kind == ErrorKind::upstream_failed);
  REQUIRE(upstream.message.find("no test/none") != std::string::npos);
  const auto gone = error({{"uri", file}, {"method", "m"}, {"language", "gone"}});
  REQUIRE(gone.kind == ErrorKind::unavailable);
  REQUIRE(gone.message.find("[lsp.servers.missing] command") != std::string::npos);
  std::filesystem::resize_file(file, (std::uintmax_t{16} << 20) + 1);
  REQUIRE(error(hover_of(file)).kind == ErrorKind::too_large);
  host.stop();
}

TEST_CASE("lsp.request: a folder selects a server without opening anything") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const auto result =
      host.call("lsp.request",
                {{"uri", dir.path()}, {"method", "test/echo"}, {"language", "fake"}, {"params", {{"query", "x"}}}});
  REQUIRE(value_of(result) == json{{"query", "x"}});
  REQUIRE(sent_to(dir, "textDocument/didOpen").empty());
  host.stop();
}

TEST_CASE("lsp.request: the shared server's own requests are all answered, from the configuration where there is one") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  auto server = fake_server(dir);
  server["settings"] = {{"fake", {{"deep", {{"x", 1}}}}}, {"with.dot", true}};
  TestHost host(kPlugin, config_of({{"fake", server}}, dir));
  const auto ask = [&](const std::string& method, const json& params) {
    const auto got = host.call(
        "lsp.request", {{"uri", file}, {"method", "test/ask"}, {"params", {{"method", method}, {"params", params}}}});
    REQUIRE(got);
    return *got;
  };
  const auto items = json{{{"section", "fake.deep"}}, {{"section", "with.dot"}}, {{"section", "none"}}, json::object()};
  REQUIRE(ask("workspace/configuration", {{"items", items}})["result"] ==
          json{{{"x", 1}}, true, nullptr, server["settings"]});
  REQUIRE(ask("workspace/workspaceFolders", nullptr)["result"][0]["uri"] == "file://" + dir.path());
  REQUIRE(ask("workspace/applyEdit", json::object())["result"]["applied"] == false);
  REQUIRE(ask("window/showDocument", json::object())["result"]["success"] == false);
  for (const auto* method :
       {"client/registerCapability", "client/unregisterCapability", "window/workDoneProgress/create",
        "window/showMessageRequest", "workspace/semanticTokens/refresh", "workspace/diagnostic/refresh"}) {
    REQUIRE(ask(method, json::object()).at("result").is_null());
  }
  REQUIRE(ask("some/thing", json::object())["error"]["code"] == -32601);
  REQUIRE(sent_to(dir, "workspace/didChangeConfiguration").at(0)["params"]["settings"] == server["settings"]);
  host.stop();
}

TEST_CASE("lsp.request: at most max_concurrent_lsp_requests are with the servers: cancelling one frees its place") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {{"max_concurrent_lsp_requests", 2}}));
  const auto hang = [&](int n) { return json{{"uri", file}, {"method", "test/hang"}, {"params", {{"n", n}}}}; };
  auto first = host.begin("lsp.request", hang(1));
  auto second = host.begin("lsp.request", hang(2));
  auto third = host.begin("lsp.request", {{"uri", file}, {"method", "test/echo"}, {"params", {{"n", 3}}}});
  auto fourth = host.begin("lsp.request", hang(4));
  host.wait("two hangs", [&] { return sent_to(dir, "test/hang").size() == 2; });
  fourth.cancel();  // it waits for a permit
  REQUIRE(fourth.result().error().kind == ErrorKind::cancelled);
  first.cancel();
  REQUIRE(first.result().error().kind == ErrorKind::cancelled);
  REQUIRE(value_of(third.result()) == json{{"n", 3}});
  std::map<int, json> ids;  // the server may get the first two in either order
  for (const auto& hung : sent_to(dir, "test/hang")) ids[hung["params"]["n"]] = hung["id"];
  REQUIRE(ids.size() == 2);
  const auto cancels = sent_to(dir, "$/cancelRequest");
  REQUIRE(cancels.size() == 1);
  REQUIRE(cancels[0]["params"]["id"] == ids.at(1));
  second.cancel();
  host.stop();
}

TEST_CASE("lsp.request: times out on the host's clock, and cancels at the server") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir,
                                   {{"max_concurrent_lsp_requests", 1}, {"lsp_request_timeout_seconds", 3}}));
  auto hang = host.begin("lsp.request", {{"uri", file}, {"method", "test/hang"}});
  host.wait("the hang", [&] { return !sent_to(dir, "test/hang").empty(); });
  auto waits = host.begin("lsp.request", {{"uri", file}, {"method", "test/hang"}});
  host.settle();
  host.advance(std::chrono::seconds(3));
  REQUIRE(hang.result().error().kind == ErrorKind::timeout);
  REQUIRE(hang.result().error().message.find("within 3 s") != std::string::npos);
  const auto queued = waits.result().error();
  REQUIRE(queued.kind == ErrorKind::timeout);
  host.wait("the cancellation", [&] { return !sent_to(dir, "$/cancelRequest").empty(); });
  REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/release"}})->get<std::string>() == "released");
  host.stop();
}

TEST_CASE("lsp.diagnostics: fresh only for the version that the server was told last: silence is no answer") {
  TempDir dir;
  const auto file = dir.write("a.fake", "one");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  auto silent = host.begin("lsp.diagnostics", {{"uri", file}, {"wait_ms", 500}});
  host.wait("didOpen", [&] { return !sent_to(dir, "textDocument/didOpen").empty(); });
  host.advance(std::chrono::milliseconds(500));
  const auto nothing = silent.result();
  REQUIRE(
      value_of(nothing) ==
      json{{"uri", "file://" + file}, {"version", nullptr}, {"freshness", "timeout"}, {"diagnostics", json::array()}});
  // A waiting caller gets them the moment they come.
  auto waiting = host.begin("lsp.diagnostics", {{"uri", file}, {"wait_ms", 500}});
  REQUIRE(host.call("lsp.request", notify_diagnostics(file, 1, "first")));
  auto got = waiting.result();
  REQUIRE(got->at("freshness") == "fresh");
  REQUIRE(got->at("version") == 1);
  REQUIRE(got->at("diagnostics")[0]["message"] == "first");
  REQUIRE(host.event("lsp.diagnostics.changed").payload["uri"] == "file://" + file);
  // The file changes: what is known is stale, also when the server repeats it, and fresh again with the new version.
  dir.write("a.fake", "two");
  got = host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}});
  REQUIRE(got->at("freshness") == "stale");
  REQUIRE(got->at("version") == 1);
  REQUIRE(host.call("lsp.request", notify_diagnostics(file, 1, "late")));
  REQUIRE(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}})->at("freshness") == "stale");
  REQUIRE(host.call("lsp.request", notify_diagnostics(file, 2, "second")));
  got = host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}});
  REQUIRE(got->at("freshness") == "fresh");
  REQUIRE(got->at("diagnostics")[0]["message"] == "second");
  // An older one that comes late does not replace a newer one.
  REQUIRE(host.call("lsp.request", notify_diagnostics(file, 1, "very late")));
  REQUIRE(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}})->at("diagnostics")[0]["message"] == "second");
  host.stop();
}

TEST_CASE("lsp.diagnostics: without versions a server is believed at once for a file's first text only") {
  TempDir dir;
  const auto file = dir.write("a.fake", "one");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  REQUIRE(host.call("lsp.request", notify_diagnostics(file, nullptr, "first")));
  REQUIRE(host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}})->at("freshness") == "fresh");
  dir.write("a.fake", "two");
  REQUIRE(host.call("lsp.request", notify_diagnostics(file, nullptr, "whose?")));
  const auto got = host.call("lsp.diagnostics", {{"uri", file}, {"wait_ms", 0}});
  REQUIRE(got->at("freshness") == "stale");
  REQUIRE(got->at("version").is_null());
  host.stop();
}

TEST_CASE("lsp.servers: lists what is configured and what runs") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  auto other = fake_server(dir);
  other["languages"] = {"other"};
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}, {"other", other}}, dir));
  REQUIRE(host.call("lsp.servers")->at("servers").size() == 2);
  REQUIRE(host.call("lsp.servers")->at("servers")[0]["state"] == "not_started");
  REQUIRE(host.call("lsp.request", hover_of(file)));
  const auto shared = server_entry(host, "shared");
  REQUIRE(shared["state"] == "ready");
  REQUIRE(shared["root"] == dir.path());
  REQUIRE(alive(shared["pid"]));
  REQUIRE(host.call("lsp.servers")->at("servers").size() == 2);
  host.stop();
  REQUIRE_FALSE(alive(shared["pid"]));
}

TEST_CASE("lsp.request: documents beyond the bound are closed, the longest unused first") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  for (int i = 0; i < 101; ++i)
    REQUIRE(host.call("lsp.request", hover_of(dir.write(std::to_string(i) + ".fake", "x"))));
  const auto closed = sent_to(dir, "textDocument/didClose");
  REQUIRE(closed.size() == 1);
  REQUIRE(closed[0]["params"]["textDocument"]["uri"] == "file://" + dir.path() + "/0.fake");
  REQUIRE(host.call("lsp.request", hover_of(dir / "0.fake")));  // opened anew
  host.stop();
}

TEST_CASE("lsp.request: an error of the server comes with its words") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const auto error = host.call("lsp.request", {{"uri", file}, {"method", "test/none"}}).error();
  REQUIRE(error.kind == ErrorKind::upstream_failed);
  REQUIRE(error.message == "fake answered test/none with an error: no test/none");
  REQUIRE(json::parse(error.data)["server"]["code"] == -32601);
  host.stop();
}

TEST_CASE("lsp.request: more calls than the bound wait for a server that does not come up are `overloaded`") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--hang-initialize"})}}, dir,
                                   {{"max_concurrent_lsp_requests", 300}}));
  std::vector<TestStream> calls;
  for (int i = 0; i < 257; ++i) calls.push_back(host.begin("lsp.request", {{"uri", file}, {"method", "test/echo"}}));
  const auto error = calls.back().result().error();
  REQUIRE(error.kind == ErrorKind::overloaded);
  REQUIRE(error.data.find("retry_after_ms") != std::string::npos);
  host.destroy();
}

TEST_CASE("lsp.diagnostics: who waits for them holds no place of max_concurrent_lsp_requests") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {{"max_concurrent_lsp_requests", 1}}));
  auto waits = host.begin("lsp.diagnostics", {{"uri", file}, {"wait_ms", 60'000}});
  host.wait("the document", [&] { return !sent_to(dir, "textDocument/didOpen").empty(); });
  REQUIRE(value_of(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}, {"params", {{"n", 1}}}}))["n"] ==
          1);
  waits.cancel();
  host.stop();
}

TEST_CASE("lsp.request: calls that are cancelled while they wait for a place leave the line") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir, {{"max_concurrent_lsp_requests", 1}}));
  auto holds = host.begin("lsp.request", {{"uri", file}, {"method", "test/hang"}});
  host.wait("the hang", [&] { return !sent_to(dir, "test/hang").empty(); });
  for (int i = 0; i < 300; ++i) {  // more than may wait
    auto waits = host.begin("lsp.request", {{"uri", file}, {"method", "test/hang"}});
    host.settle();
    waits.cancel();
    REQUIRE(waits.result().error().kind == ErrorKind::cancelled);
  }
  holds.cancel();
  host.stop();
}

TEST_CASE("lsp.request: a server whose configuration has changed makes room for one of the new configuration") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const json echo{{"uri", file}, {"method", "test/echo"}};
  REQUIRE(host.call("lsp.request", echo));
  const auto before = server_entry(host, "shared");
  host.reconfigure(config_of({{"fake", fake_server(dir, {"--utf8"})}}, dir));
  REQUIRE(host.call("lsp.request", echo));
  host.wait("the end of the old one", [&] { return !alive(before["pid"]); });
  const auto after = server_entry(host, "shared");
  REQUIRE(after["command"].back() == "--utf8");
  REQUIRE(after["pid"] != before["pid"]);
  // One whose command is as it was ends when it is asked for.
  auto with_settings = fake_server(dir, {"--utf8"});
  with_settings["settings"] = {{"a", 1}};
  host.reconfigure(config_of({{"fake", with_settings}}, dir));
  REQUIRE(server_entry(host, "shared")["pid"] == after["pid"]);
  REQUIRE(host.call("lsp.request", echo));
  REQUIRE(sent_to(dir, "workspace/didChangeConfiguration").size() == 1);
  host.wait("the end of that one", [&] { return !alive(after["pid"]); });
  host.stop();
}

TEST_CASE("lsp.servers: the end of what a server wrote on stderr is kept, within a bound") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/stderr"}, {"params", {{"bytes", 100'000}}}}));
  const auto tail = [&] { return server_entry(host, "shared").value("stderr_tail", ""); };
  host.wait("all of it", [&] { return tail().ends_with("the end\n"); });
  REQUIRE(tail().size() <= 4096);
  host.stop();
}

TEST_CASE("lsp.request: at most 32 servers are shared: one more ends the one that was not used for longest") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const auto ask = [&](int i) {
    const std::string project = "p" + std::to_string(i);
    dir.write(project + "/fake.root", "");
    const auto file = dir.write(project + "/a.fake", "");
    REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}}));
  };
  for (int i = 0; i < 32; ++i) ask(i);
  ask(0);
  ask(32);
  const auto roots = [&] {
    std::vector<std::string> out;
    const auto servers = host.call("lsp.servers");
    for (const auto& server : servers->at("servers")) out.push_back(server.value("root", ""));
    return out;
  };
  host.wait("the end of one", [&] { return roots().size() == 32; });
  const auto left = roots();
  REQUIRE(std::find(left.begin(), left.end(), dir / "p1") == left.end());
  REQUIRE(std::find(left.begin(), left.end(), dir / "p0") != left.end());
  host.stop();
}

TEST_CASE("lsp.servers: settings that make no sense are refused, and the ones before stay in force") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  host.reconfigure(config_of({{"other", {{"command", 3}}}}, dir));
  REQUIRE(host.log().find("the old [lsp] stays in force: ") != std::string::npos);
  REQUIRE(host.call("lsp.servers")->at("servers")[0]["name"] == "fake");
  host.stop();
}

TEST_CASE("lsp.diagnostics: a folder has none, and that is said") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  const auto error = host.call("lsp.diagnostics", {{"uri", dir.path()}, {"language", "fake"}}).error();
  REQUIRE(error.kind == ErrorKind::invalid_params);
  REQUIRE(error.message.find("is a folder") != std::string::npos);
  host.stop();
}
