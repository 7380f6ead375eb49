// SPDX-License-Identifier: Apache-2.0
//
// What an edit would bring: with a server whose diagnostics the test controls, and with clangd.
#include <fcntl.h>
#include <sys/stat.h>

#include "plugins/lsp/config.hpp"
#include "plugins/lsp/edits/own_edits.hpp"
#include "plugins/lsp/edits/problem_changes.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace fs = std::filesystem;

namespace {

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A workspace with a server that finds fault with "bad" words, and waits for a sign before it judges a text with the
/// word "wait".
struct World {
  TempDir dir;
  std::string a = dir.write("a.fake", "good\nbad one\nfine\n");
  std::string b = dir.write("b.fake", "good\n");
  std::string sign = dir.path() + ".sign";
  TestHost host;

  explicit World(const std::vector<std::string>& more = {}) : host(kPlugin, config(more)) {
    host.describe_origin(1, {{"workspace", dir.path()}});
    REQUIRE(host.started() == 0);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    std::error_code none;
    fs::remove(sign, none);
  }
  json config(const std::vector<std::string>& more) const {
    REQUIRE(::mkfifo(sign.c_str(), 0600) == 0);
    std::vector<std::string> options{"--diagnose", "--diagnose-when", sign};
    options.insert(options.end(), more.begin(), more.end());
    return config_of({{"fake", fake_server(dir, options)}}, dir);
  }
  json check(const json& edits) {
    return value_of(host.call("lsp.check_edit", {{"path", "a.fake"}, {"edits", edits}}));
  }
  /// Returns when the server has got the text of an edit, which has the word "wait".
  TestStream begin_check(const json& wait_ms = 20'000) {
    auto asked = host.begin(
        "lsp.check_edit",
        {{"path", "a.fake"}, {"edits", {{{"old_text", "good"}, {"new_text", "bad wait"}}}}, {"wait_ms", wait_ms}});
    host.wait("the overlay", [&] {
      const auto told = texts();
      return !told.empty() && told.back().find("wait") != std::string::npos;
    });
    return asked;
  }
  void give_sign() const { std::ofstream(sign) << "x"; }
  std::string hover() {
    return value_of(
               host.call("lsp.request", {{"uri", a}, {"method", "textDocument/hover"}, {"params", json::object()}}))
        .at("contents");
  }
  /// The texts of a.fake that the server has got, in order; the versions rise.
  std::vector<std::string> texts() const {
    std::vector<std::string> out;
    long long last = 0;
    for (const auto& message : sent_to(dir)) {
      const std::string method = message.value("method", "");
      if (method != "textDocument/didOpen" && method != "textDocument/didChange") continue;
      const json& document = message["params"]["textDocument"];
      REQUIRE(document["version"] > last);
      last = document["version"];
      if (document["uri"] != "file://" + a) continue;
      out.push_back(method.ends_with("Open") ? document["text"] : message["params"]["contentChanges"][0]["text"]);
    }
    return out;
  }
  json problems(int wait_ms = 20'000) {
    return value_of(host.call("lsp.problems", {{"path", "a.fake"}, {"wait_ms", wait_ms}}));
  }
  std::string refused(const gantry::Result<json>& result, ErrorKind kind) {
    REQUIRE_FALSE(result);
    CAPTURE(result.error().message);
    REQUIRE(result.error().kind == kind);
    return result.error().message;
  }
};

json problem(int line, const std::string& message) {
  return {{"range", {{"start", {{"line", line}, {"character", 0}}}, {"end", {{"line", line}, {"character", 1}}}}},
          {"severity", 1},
          {"message", message}};
}

}  // namespace

TEST_CASE("checks: a diagnostic is the same wherever its line has moved, and another when its line has not") {
  using gantry::lsp::apply_edits;
  const auto edited = apply_edits("a\nb\nc\nd\ne\n", {{{1, 0}, {1, 0}, "new\nnew\n"}, {{3, 0}, {4, 0}, "D1\nD2\n"}});
  REQUIRE(edited->text == "a\nnew\nnew\nb\nc\nD1\nD2\ne\n");
  const json before{problem(0, "first"), problem(1, "moves"), problem(3, "in the hunk"), problem(4, "goes"),
                    problem(4, "stays")};
  const json after{problem(0, "first"),       problem(1, "goes"),  problem(3, "moves"),
                   problem(6, "in the hunk"), problem(7, "stays"), problem(7, "stays")};
  const auto changes = gantry::lsp::problem_changes(before, after, edited->hunks);
  REQUIRE(changes.kept == 4);
  REQUIRE(changes.removed == std::vector<json>{problem(4, "goes")});
  REQUIRE(changes.added == std::vector<json>{problem(1, "goes"), problem(7, "stays")});
}

TEST_CASE("checks: a caller's edits name lines and characters from 1, or the text that they replace") {
  using gantry::lsp::own_edits;
  const std::string text = "one\n\xF0\x9F\x98\x80 two two\nthree";
  const auto result = [&](const json& edits) {
    auto read = own_edits(edits, text);
    if (!read) return "! " + read.error().message;
    return gantry::lsp::apply_edits(text, *read)->text;
  };
  const auto one = [&](const json& edit) { return result(json::array({edit})); };
  REQUIRE(one({{"line", 2}, {"column", 3}, {"end_column", 6}, {"new_text", "2"}}) ==
          "one\n\xF0\x9F\x98\x80 2 two\nthree");
  REQUIRE(one({{"line", 2}, {"new_text", "new\n"}}) == "one\nnew\n\xF0\x9F\x98\x80 two two\nthree");
  REQUIRE(one({{"line", 2}, {"end_line", 3}, {"new_text", ""}}) == "one\nthree");
  REQUIRE(one({{"line", 1}, {"end_line", 4}, {"new_text", "x"}}) == "x");
  REQUIRE(one({{"old_text", " two\nth"}, {"new_text", "!"}}) == "one\n\xF0\x9F\x98\x80 two!ree");
  REQUIRE(one({{"old_text", "two"}, {"new_text", "!"}}).find("edits[0] names an old_text that is in the file more") ==
          2);
  REQUIRE(one({{"old_text", "four"}, {"new_text", "!"}}).find("not in the file") != std::string::npos);
  REQUIRE(one({{"old_text", ""}, {"new_text", "!"}}).find("not in the file") != std::string::npos);
  REQUIRE(one({{"line", 1}}).find("no new_text") != std::string::npos);
  REQUIRE(one({{"new_text", "x"}}).find("neither a line") != std::string::npos);
  REQUIRE(one({{"line", 0}, {"new_text", "x"}}).find("neither a line") != std::string::npos);
  REQUIRE(one({{"line", 9}, {"new_text", "x"}}).find("with 3 lines") != std::string::npos);
  REQUIRE(one({{"line", 2}, {"end_line", 1}, {"new_text", "x"}}).find("ends before") != std::string::npos);
  REQUIRE(one(5).find("no new_text") != std::string::npos);
}

TEST_CASE("checks: what an edit brings and takes away is told, with nothing written and the text put back") {
  World world;
  const json checked = world.check(
      {{{"old_text", "bad one"}, {"new_text", "mended"}}, {{"line", 3}, {"end_column", 5}, {"new_text", "a bad end"}}});
  INFO(checked.dump());
  REQUIRE(checked["files"] ==
          json::array({{{"path", "a.fake"}, {"freshness", "fresh"}, {"added", 1}, {"removed", 1}, {"kept", 0}}}));
  REQUIRE(checked["items"] == json::array({{{"path", "a.fake"},
                                            {"change", "added"},
                                            {"line", 3},
                                            {"column", 3},
                                            {"text", "a bad end"},
                                            {"severity", "error"},
                                            {"message", "a bad word: a bad end"}},
                                           {{"path", "a.fake"},
                                            {"change", "removed"},
                                            {"line", 2},
                                            {"column", 1},
                                            {"text", "bad one"},
                                            {"severity", "error"},
                                            {"message", "a bad word: bad one"}}}));
  REQUIRE(content(world.a) == "good\nbad one\nfine\n");
  REQUIRE(world.hover() == "good\nbad one\nfine\n");
  const auto texts = world.texts();
  REQUIRE(texts.size() == 4);  // opened, shown, put back, and told anew before the hover
  REQUIRE(texts[1] == "good\nmended\na bad end\n");
  REQUIRE(texts[2] == texts[0]);
  REQUIRE(texts[3] == texts[0]);
  // The same by its id, and then for good.
  const json again = value_of(world.host.call("lsp.check_edit", {{"edit_id", checked["edit_id"]}}));
  REQUIRE(again == checked);
  const json applied = value_of(world.host.call("lsp.apply", {{"edit_id", checked["edit_id"]}}));
  REQUIRE(applied["files"][0]["errors"] == 1);
  REQUIRE(content(world.a) == "good\nmended\na bad end\n");
}

TEST_CASE("checks: nobody else gets an answer or a diagnostic from the edited text") {
  World world;
  REQUIRE(world.problems()["total"] == 1);
  auto checked = world.begin_check();
  const auto overlay_version = sent_to(world.dir, "textDocument/didChange").back()["params"]["textDocument"]["version"];
  auto hover =
      world.host.begin("lsp.request", {{"uri", world.a}, {"method", "textDocument/hover"}, {"params", json::object()}});
  auto problems = world.host.begin("lsp.problems", {{"path", "a.fake"}});
  auto of_other = world.host.begin("lsp.problems", {{"path", "b.fake"}});
  world.host.wait("the line", [&] { return server_entry(world.host, "shared").value("clients", 0) == 4; });
  world.give_sign();
  REQUIRE(value_of(checked.result())["files"][0]["added"] == 1);
  REQUIRE(value_of(hover.result())["contents"] == "good\nbad one\nfine\n");
  const json seen = value_of(problems.result());
  REQUIRE(seen["freshness"] == "fresh");
  REQUIRE(seen["total"] == 1);
  REQUIRE(seen["items"][0]["line"] == 2);
  REQUIRE(value_of(of_other.result())["total"] == 0);
  for (const auto& event : world.host.events()) {
    if (event.topic == "lsp.diagnostics.changed") REQUIRE(event.payload["version"] != overlay_version);
  }
}

TEST_CASE("checks: requests that were sent before are answered before the text is shown") {
  World world;
  (void)world.problems();
  auto hangs = world.host.begin("lsp.request", {{"uri", world.a}, {"method", "test/hang"}});
  world.host.wait("the request", [&] { return !sent_to(world.dir, "test/hang").empty(); });
  auto checked = world.host.begin("lsp.check_edit",
                                  {{"path", "a.fake"}, {"edits", {{{"old_text", "good"}, {"new_text", "bad"}}}}});
  world.host.wait("the line", [&] { return server_entry(world.host, "shared").value("clients", 0) == 2; });
  world.host.settle();
  REQUIRE(world.texts().size() == 1);
  hangs.cancel();
  REQUIRE(value_of(checked.result())["files"][0]["added"] == 1);
  REQUIRE(world.hover() == "good\nbad one\nfine\n");
  REQUIRE(world.texts().size() == 4);
}

TEST_CASE("checks: when the caller leaves the text is put back") {
  World world;
  auto checked = world.begin_check();
  checked.cancel();
  REQUIRE(checked.result().error().kind == ErrorKind::cancelled);
  world.give_sign();
  REQUIRE(world.hover() == "good\nbad one\nfine\n");
  REQUIRE(world.problems()["items"][0]["message"] == "a bad word: bad one");
  REQUIRE(world.problems()["total"] == 1);
}

TEST_CASE("checks: when the time is over the text is put back, and diagnostics that come late are dropped") {
  World world;
  (void)world.problems();
  auto checked = world.begin_check(5000);
  const auto version = sent_to(world.dir, "textDocument/didChange").back()["params"]["textDocument"]["version"];
  world.host.advance(seconds(5));
  const json result = value_of(checked.result());
  REQUIRE(result["files"] == json::array({{{"path", "a.fake"}, {"freshness", "timeout"}}}));
  REQUIRE(result["items"].empty());
  world.give_sign();  // now it says that the edited text is bad
  REQUIRE(world.hover() == "good\nbad one\nfine\n");
  REQUIRE(world.problems()["total"] == 1);
  for (const auto& event : world.host.events()) {
    if (event.topic == "lsp.diagnostics.changed") REQUIRE(event.payload["version"] != version);
  }
}

TEST_CASE("checks: a server that dies with the edited text gets that of the disk when it is started anew") {
  World world;
  auto checked = world.begin_check();
  const int pid = server_entry(world.host, "shared")["pid"];
  REQUIRE(::kill(pid, SIGKILL) == 0);
  (void)world.refused(checked.result(), ErrorKind::unavailable);
  auto hover =
      world.host.begin("lsp.request", {{"uri", world.a}, {"method", "textDocument/hover"}, {"params", json::object()}});
  // It may be over before anybody looks.
  world.host.wait("the restart", [&] { return world.host.pending_timers() >= 2 || hover.answered(); });
  world.host.advance(seconds(9));
  REQUIRE(value_of(hover.result())["contents"] == "good\nbad one\nfine\n");
}

TEST_CASE("checks: where the truth cannot be known that is said and nothing is shown to the server") {
  {
    World world({"--no-versions"});
    const json checked = world.check({{{"old_text", "good"}, {"new_text", "bad"}}});
    REQUIRE(checked["files"] == json::array({{{"path", "a.fake"}, {"freshness", "unsupported"}}}));
    REQUIRE(checked["notes"][0].get<std::string>().find("does not say which text") != std::string::npos);
    REQUIRE(checked["total"] == 0);
    REQUIRE(world.texts().size() == 1);
  }
  TempDir given;
  const auto answers = given.write("answers", "{}");
  World world({"--answers", answers});
  given.write(
      "answers",
      json{{"textDocument/formatting", json::array()},
           {"textDocument/rename",
            {{"documentChanges",
              {{{"kind", "rename"}, {"oldUri", "file://" + world.b}, {"newUri", "file://" + (world.dir / "b2.fake")}},
               {{"textDocument", {{"uri", "file://" + world.a}, {"version", nullptr}}},
                {"edits", json::array({{{"range", problem(0, "")["range"]}, {"newText", "bad"}}})}}}}}}}
          .dump());
  world.host.advance(milliseconds(400));
  auto asked = world.host.begin("lsp.rename", {{"path", "a.fake"}, {"line", 1}, {"column", 1}, {"new_name", "x"}});
  world.host.wait("the server", [&] { return world.texts().size() == 1; });
  world.host.advance(milliseconds(400));
  const json proposed = value_of(asked.result());
  const json checked = value_of(world.host.call("lsp.check_edit", {{"edit_id", proposed["edit_id"]}}));
  REQUIRE(checked["files"].size() == 2);
  for (const auto& file : checked["files"]) REQUIRE(file["freshness"] == "unsupported");
  REQUIRE(checked["notes"][0].get<std::string>().find("creates, renames or deletes files") != std::string::npos);
  REQUIRE(world.texts().size() == 1);
}

TEST_CASE("checks: a file that has changed since the proposal is a conflict, and bad questions are refused") {
  World world;
  const json checked = world.check({{{"old_text", "good"}, {"new_text", "better"}}});
  world.dir.write("a.fake", "other\n");
  REQUIRE(world.refused(world.host.call("lsp.check_edit", {{"edit_id", checked["edit_id"]}}), ErrorKind::conflict)
              .find("has changed since") != std::string::npos);
  const auto bad = [&](const json& params) {
    return world.refused(world.host.call("lsp.check_edit", params), ErrorKind::invalid_params);
  };
  const json edits = json::array({{{"old_text", "other"}, {"new_text", "x"}}});
  (void)bad(json::object());
  (void)bad({{"path", "a.fake"}});
  (void)bad({{"edits", edits}});
  (void)bad({{"edit_id", "x"}, {"path", "a.fake"}, {"edits", edits}});
  (void)bad({{"path", "a.fake"}, {"edits", json::array()}});
  (void)bad({{"path", "a.fake"}, {"edits", 5}});
  REQUIRE(bad({{"path", "a.fake"}, {"edits", {edits[0], edits[0]}}}).find("overlap") != std::string::npos);
  REQUIRE(
      world.refused(world.host.call("lsp.check_edit", {{"edit_id", "x"}}), ErrorKind::not_found).find("no edit x") ==
      0);
  const json nothing = value_of(world.host.call(
      "lsp.check_edit", {{"path", "a.fake"}, {"edits", {{{"old_text", "other"}, {"new_text", "other"}}}}}));
  REQUIRE(nothing["edit_id"] == nullptr);
}

TEST_CASE("checks: clangd tells what an edit would bring, and what it cannot know") {
  if (!gantry::lsp::find_on_path("clangd-19")) FAIL("clangd-19 is not installed; ./dev installs it");
  TempDir dir;
  dir.write("compile_commands.json",
            json::array({{{"directory", dir.path()}, {"file", "shop.cpp"}, {"command", "c++ -std=c++20 -c shop.cpp"}}})
                .dump());
  const std::string text = "#include \"shop.hpp\"\nint main() { return total(1) + x; }\n";
  const auto file = dir.write("shop.cpp", text);
  dir.write("shop.hpp", "#pragma once\ninline int total(int a) { return a; }\n");
  for (const bool dirty : {false, true}) {
    std::vector<std::string> command{"clangd-19"};
    if (dirty) command.emplace_back("--use-dirty-headers");
    TestHost host(kPlugin, config_of({{"clangd", {{"command", command}}}}, dir), Time::real);
    host.describe_origin(1, {{"workspace", dir.path()}});
    REQUIRE(host.started() == 0);
    const auto ask = [&](const char* method, json params) {
      params["wait_ms"] = 60'000;
      return value_of(host.call(method, params));
    };
    const json mended =
        ask("lsp.check_edit", {{"path", "shop.cpp"}, {"edits", {{{"old_text", "+ x"}, {"new_text", "+ y"}}}}});
    INFO(mended.dump());
    REQUIRE(mended["files"][0]["added"] == 1);
    REQUIRE(mended["files"][0]["removed"] == 1);
    REQUIRE(mended["items"][0]["message"].get<std::string>().find("'y'") != std::string::npos);
    REQUIRE(content(file) == text);
    REQUIRE(ask("lsp.problems", {{"path", "shop.cpp"}})["total"] == 1);
    const json renamed =
        ask("lsp.rename", {{"path", "shop.cpp"}, {"line", 2}, {"symbol", "total"}, {"new_name", "sum"}});
    REQUIRE(renamed["files"] == 2);
    const json checked = ask("lsp.check_edit", {{"edit_id", renamed["edit_id"]}});
    INFO(checked.dump());
    REQUIRE(checked["files"].size() == 2);
    for (const auto& each : checked["files"]) {
      REQUIRE(each["freshness"] == (dirty ? "fresh" : "unsupported"));
      if (dirty) REQUIRE(each["added"] == 0);
    }
    if (!dirty) REQUIRE(checked["notes"][0].get<std::string>().find("--use-dirty-headers") != std::string::npos);
  }
}
