// SPDX-License-Identifier: Apache-2.0
//
// Edits for agents: proposed, applied and refused, with a server that answers what the test wants, and with clangd.
#include <sys/stat.h>

#include <ctime>
#include <utility>

#include "plugins/lsp/config.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using std::chrono::milliseconds;
using std::chrono::minutes;

namespace fs = std::filesystem;

namespace {

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

json replace(int line, int from, int to, const std::string& text) {
  return {{"range", {{"start", {{"line", line}, {"character", from}}}, {"end", {{"line", line}, {"character", to}}}}},
          {"newText", text}};
}

/// Two workspaces, each of a client of its own, with a server whose answers the test gives.
struct World {
  TempDir dir;
  TempDir other;
  std::string a = dir.write("src/a.fake", "one two\nthree\n");
  std::string b = dir.write("src/b.fake", "two\n");
  std::string answers = dir.path() + ".answers";
  TestHost host;

  explicit World(const std::vector<std::string>& options = {})
      : host(kPlugin, config_of({{"fake", server(options)}}, dir)) {
    give(json::object());
    host.describe_origin(1, {{"workspace", dir.path()}});
    host.describe_origin(2, {{"workspace", other.path()}});
    REQUIRE(host.started() == 0);
    settle();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    std::error_code none;
    fs::remove(answers, none);
  }
  json server(std::vector<std::string> options) const {
    options.insert(options.end(), {"--diagnose", "--answers", answers});
    return fake_server(dir, options);
  }
  void give(const json& all) const { std::ofstream(answers, std::ios::trunc) << all; }
  void settle() {
    (void)value_of(host.call("lsp.request", {{"uri", a}, {"method", "test/echo"}}));
    host.advance(milliseconds(400));
  }
  static json document(const std::string& path, const std::vector<json>& edits, const json& version = nullptr) {
    return {{"textDocument", {{"uri", "file://" + path}, {"version", version}}}, {"edits", edits}};
  }
  /// Proposes what the server answers to a rename.
  json propose(const json& edit) {
    give({{"textDocument/rename", edit}});
    return value_of(host.call("lsp.rename", kPlace));
  }
  json propose_both() {
    return propose(
        {{"documentChanges", {document(a, {replace(0, 4, 7, "zwei")}), document(b, {replace(0, 0, 3, "zwei")})}}});
  }
  gantry::Result<json> apply(const json& id, std::uint64_t origin = 1) {
    return host.call("lsp.apply", {{"edit_id", id}}, gantry::Duration(-1), origin);
  }
  ErrorKind refused(const gantry::Result<json>& result, const std::string& words) {
    REQUIRE_FALSE(result);
    CAPTURE(result.error().message);
    REQUIRE(result.error().message.find(words) != std::string::npos);
    return result.error().kind;
  }
  const json kPlace{{"path", "src/a.fake"}, {"line", 1}, {"symbol", "two"}, {"new_name", "zwei"}};
};

}  // namespace

TEST_CASE("edits: a rename is proposed as lines before and after, and nothing is written before it is applied") {
  World world;
  const json proposed = world.propose_both();
  REQUIRE(proposed["edit_id"].is_string());
  REQUIRE(proposed["files"] == 2);
  REQUIRE(proposed["total"] == 2);
  REQUIRE(proposed["items"] ==
          json::array({{{"path", "src/a.fake"}, {"line", 1}, {"old", "one two"}, {"new", "one zwei"}},
                       {{"path", "src/b.fake"}, {"line", 1}, {"old", "two"}, {"new", "zwei"}}}));
  REQUIRE(sent_to(world.dir, "textDocument/rename").back()["params"] ==
          json{{"textDocument", {{"uri", "file://" + world.a}}},
               {"position", {{"line", 0}, {"character", 4}}},
               {"newName", "zwei"}});
  REQUIRE(content(world.a) == "one two\nthree\n");
  const json applied = value_of(world.apply(proposed["edit_id"]));
  INFO(applied.dump());
  REQUIRE(content(world.a) == "one zwei\nthree\n");
  REQUIRE(content(world.b) == "zwei\n");
  REQUIRE(
      applied["files"] ==
      json::array(
          {{{"path", "src/a.fake"}, {"change", "edited"}, {"freshness", "fresh"}, {"errors", 0}, {"warnings", 0}},
           {{"path", "src/b.fake"}, {"change", "edited"}, {"freshness", "fresh"}, {"errors", 0}, {"warnings", 0}}}));
  REQUIRE(applied["items"].empty());
  // Not twice.
  REQUIRE(world.refused(world.apply(proposed["edit_id"]), "ask for the edit anew") == ErrorKind::not_found);
  // The server was told.
  REQUIRE(sent_to(world.dir, "textDocument/didChange").back()["params"]["contentChanges"][0]["text"] ==
          "one zwei\nthree\n");
}

TEST_CASE("edits: apply tells what is wrong in the files that it has touched") {
  World world;
  const json proposed = world.propose(
      {{"changes",
        {{"file://" + world.a, {replace(0, 4, 7, "bad")}}, {"file://" + world.b, {replace(0, 3, 3, "!")}}}}});
  const json applied = value_of(world.apply(proposed["edit_id"]));
  REQUIRE(applied["items"] == json::array({{{"path", "src/a.fake"},
                                            {"line", 1},
                                            {"column", 5},
                                            {"text", "one bad"},
                                            {"severity", "error"},
                                            {"message", "a bad word: one bad"}}}));
  REQUIRE(applied["files"][0]["errors"] == 1);
  REQUIRE(applied["files"][1]["errors"] == 0);
}

TEST_CASE("edits: files that are created, renamed and deleted are proposed and applied as such") {
  World world;
  const auto made = world.dir / "src/made.fake", moved = world.dir / "src/moved.fake";
  const json proposed =
      world.propose({{"documentChanges",
                      {{{"kind", "create"}, {"uri", "file://" + made}},
                       World::document(made, {replace(0, 0, 0, "fresh\n")}),
                       World::document(world.a, {replace(0, 0, 3, "1")}),
                       {{"kind", "rename"}, {"oldUri", "file://" + world.a}, {"newUri", "file://" + moved}},
                       {{"kind", "delete"}, {"uri", "file://" + world.b}}}}});
  REQUIRE(proposed["items"] ==
          json::array({{{"path", "src/b.fake"}, {"change", "deleted"}},
                       {{"path", "src/made.fake"}, {"change", "created"}},
                       {{"path", "src/made.fake"}, {"line", 1}, {"old", ""}, {"new", "fresh"}},
                       {{"path", "src/moved.fake"}, {"change", "renamed"}, {"from", "src/a.fake"}},
                       {{"path", "src/moved.fake"}, {"line", 1}, {"old", "one two"}, {"new", "1 two"}}}));
  const json applied = value_of(world.apply(proposed["edit_id"]));
  REQUIRE(applied["files"].size() == 3);
  REQUIRE(content(made) == "fresh\n");
  REQUIRE(content(moved) == "1 two\nthree\n");
  REQUIRE_FALSE(fs::exists(world.a));
  REQUIRE_FALSE(fs::exists(world.b));
}

TEST_CASE("edits: apply is refused when a file has changed since the proposal") {
  World world;
  const json proposed = world.propose_both();
  world.dir.write("src/b.fake", "TWO\n");
  REQUIRE(world.refused(world.apply(proposed["edit_id"]), "has changed since") == ErrorKind::conflict);
  REQUIRE(content(world.a) == "one two\nthree\n");
  world.dir.write("src/b.fake", "two\n");  // as it was
  REQUIRE(world.apply(proposed["edit_id"]));
  REQUIRE(content(world.b) == "zwei\n");
}

TEST_CASE("edits: apply is refused while an editor has unsaved changes in one of the files") {
  World world;
  const json proposed = world.propose_both();
  fs::create_symlink(world.b, world.dir / "link.fake");
  EditorClient editor(world.host, {{"language", "fake"}});
  (void)editor.initialize(world.dir.path());
  editor.open("file://" + (world.dir / "link.fake"), "two, and more\n");
  (void)editor.ask("test/echo");
  REQUIRE(world.refused(world.apply(proposed["edit_id"]), "link.fake is open in an editor") == ErrorKind::conflict);
  REQUIRE(content(world.a) == "one two\nthree\n");
  REQUIRE(content(world.b) == "two\n");
  editor.notify("textDocument/didChange",
                {{"textDocument", {{"uri", "file://" + (world.dir / "link.fake")}, {"version", 2}}},
                 {"contentChanges", {{{"text", "two\n"}}}}});
  (void)editor.ask("test/echo");
  REQUIRE(world.apply(proposed["edit_id"]));
  REQUIRE(content(world.b) == "zwei\n");
}

TEST_CASE("edits: a proposal of one workspace does not exist in another") {
  World world;
  const json proposed = world.propose_both();
  REQUIRE(world.refused(world.apply(proposed["edit_id"], 2), "no edit") == ErrorKind::not_found);
  REQUIRE(content(world.a) == "one two\nthree\n");
  // What another client asks for lies outside of its workspace, which is said at once.
  world.give({{"textDocument/rename", {{"changes", {{"file://" + world.a, {replace(0, 4, 7, "zwei")}}}}}}});
  json params = world.kPlace;
  params["path"] = world.a;
  const json outside = value_of(world.host.call("lsp.rename", params, gantry::Duration(-1), 2));
  REQUIRE(outside["notes"][0].get<std::string>().find("outside of the workspace") != std::string::npos);
  REQUIRE(world.refused(world.apply(outside["edit_id"], 2), "outside of the workspace") ==
          ErrorKind::permission_denied);
  REQUIRE(content(world.a) == "one two\nthree\n");
}

TEST_CASE("edits: a rename of nothing, and a server's malformed edits, change nothing and are said") {
  World world;
  const auto fails = [&](const json& edit, ErrorKind kind, const std::string& words) {
    world.give({{"textDocument/rename", edit}});
    CAPTURE(edit.dump());
    REQUIRE(world.refused(world.host.call("lsp.rename", world.kPlace), words) == kind);
  };
  fails(nullptr, ErrorKind::not_found, "nothing there that can be renamed");
  fails(5, ErrorKind::upstream_failed, "malformed");
  fails({{"changes", {{"file://" + world.a, {replace(0, 4, 2, "x")}}}}}, ErrorKind::upstream_failed,
        "before its start");
  fails({{"changes", {{"file://" + world.a, {replace(0, 0, 3, "x"), replace(0, 1, 2, "y")}}}}},
        ErrorKind::upstream_failed, "src/a.fake: the server's edit is malformed: the edits at 1:1 and at 1:2 overlap");
  fails({{"changes", {{"http://example.com/a", {replace(0, 0, 3, "x")}}}}}, ErrorKind::upstream_failed, "example.com");
  fails({{"documentChanges", {World::document(world.a, {replace(0, 0, 3, "x")}, 77)}}}, ErrorKind::conflict,
        "old text");
  world.give(json::object());
  REQUIRE(world.refused(world.host.call("lsp.rename", world.kPlace), "no textDocument/rename") ==
          ErrorKind::upstream_failed);
  REQUIRE(content(world.a) == "one two\nthree\n");
  const json nothing = world.propose(json::object());
  REQUIRE(nothing == json{{"edit_id", nullptr}, {"files", 0}, {"items", json::array()}, {"total", 0}});
}

TEST_CASE("edits: an edit is refused when the file has changed while the server worked on it") {
  World world;
  world.give({{"textDocument/rename", {{"test/hang", true}}}});
  auto asked = world.host.begin("lsp.rename", world.kPlace);
  world.host.wait("the rename", [&] { return !sent_to(world.dir, "textDocument/rename").empty(); });
  // The clock of the file system goes in ticks.
  timespec now{};
  REQUIRE(::clock_gettime(CLOCK_REALTIME, &now) == 0);
  struct stat after{};
  do {
    world.dir.write("src/b.fake", "more two\n");
    REQUIRE(::stat(world.b.c_str(), &after) == 0);
  } while (std::pair(after.st_ctim.tv_sec, after.st_ctim.tv_nsec) < std::pair(now.tv_sec, now.tv_nsec));
  const json edit{{"documentChanges", {World::document(world.b, {replace(0, 0, 3, "zwei")})}}};
  (void)value_of(
      world.host.call("lsp.request", {{"uri", world.a}, {"method", "test/release"}, {"params", {{"result", edit}}}}));
  REQUIRE(world.refused(asked.result(), "src/b.fake was changed while the server worked") == ErrorKind::conflict);
}

TEST_CASE("edits: what is wrong with a question about edits is said") {
  World world;
  const auto bad = [&](const char* method, const json& params, const std::string& words) {
    REQUIRE(world.refused(world.host.call(method, params), words) == ErrorKind::invalid_params);
  };
  bad("lsp.rename", {{"symbol", "two"}}, "new_name is missing");
  bad("lsp.rename", {{"symbol", "two"}, {"new_name", ""}}, "new_name is empty");
  bad("lsp.rename", {{"new_name", "x"}}, "name what is meant");
  bad("lsp.rename", {{"line", 1}, {"column", 1}, {"new_name", "x"}}, "line goes with path");
  bad("lsp.format", json::object(), "path is missing");
  bad("lsp.format", {{"path", "src/a.fake"}, {"tab_size", 0}}, "tab_size");
  bad("lsp.code_actions", {{"path", "src/a.fake"}, {"line", 2}, {"column", 1}, {"end_line", 1}}, "end_line is before");
  bad("lsp.apply", json::object(), "edit_id is missing");
  bad("lsp.apply", {{"edit_id", "x"}, {"path", "a"}}, "path");
  REQUIRE(world.refused(world.host.call("lsp.apply", {{"edit_id", "x"}}), "no edit x") == ErrorKind::not_found);
}

TEST_CASE("edits: a long proposal comes in pages, and a file that is formatted already has none") {
  World world;
  std::string text;
  std::vector<json> edits;
  for (int i = 0; i < 200; ++i) {
    text += "line " + std::to_string(i) + "\n\n";
    edits.push_back(replace(2 * i, 0, 4, "row"));
  }
  world.dir.write("src/a.fake", text);
  world.give({{"textDocument/formatting", edits}});
  json params{{"path", "src/a.fake"}, {"max_tokens", 500}};
  std::vector<json> all;
  json edit_id;
  while (true) {
    const json page = value_of(world.host.call("lsp.format", params));
    REQUIRE(page["total"] == 200);
    REQUIRE(gantry::dump_json(page["items"]).size() < 2100);
    all.insert(all.end(), page["items"].begin(), page["items"].end());
    edit_id = page["edit_id"];
    if (!page.contains("next_cursor")) break;
    params["cursor"] = page["next_cursor"];
  }
  REQUIRE(all.size() == 200);
  REQUIRE(all[199] == json{{"path", "src/a.fake"}, {"line", 399}, {"old", "line 199"}, {"new", "row 199"}});
  REQUIRE(world.apply(edit_id));
  REQUIRE(content(world.a).starts_with("row 0\n\nrow 1\n"));
  world.give({{"textDocument/formatting", json::array()}});
  REQUIRE(value_of(world.host.call("lsp.format", {{"path", "src/a.fake"}}))["edit_id"] == nullptr);
  REQUIRE(sent_to(world.dir, "textDocument/formatting").back()["params"]["options"] ==
          json{{"tabSize", 4}, {"insertSpaces", true}});
}

TEST_CASE("edits: code actions are proposed as edits, resolved, and named when they are commands") {
  World world;
  const json edit{{"changes", {{"file://" + world.a, {replace(0, 4, 7, "zwei")}}}}};
  world.give({{"textDocument/codeAction",
               {{{"title", "Rename"}, {"kind", "quickfix"}, {"isPreferred", true}, {"edit", edit}},
                {{"title", "Extract"}, {"kind", "refactor.extract"}, {"data", 7}},
                {{"title", "Run tests"}, {"command", "fake.test"}, {"arguments", {1}}},
                {{"title", "Not here"}, {"disabled", {{"reason", "no selection"}}}},
                {{"title", "Both"}, {"command", {{"title", "Note"}, {"command", "fake.note"}}}},
                {{"title", "Late"}}}},
              {"codeAction/resolve", {{"title", "Extract"}, {"edit", edit}}}});
  const json place{{"path", "src/a.fake"}, {"line", 1}, {"symbol", "two"}};
  const json actions = value_of(world.host.call("lsp.code_actions", place));
  INFO(actions.dump());
  REQUIRE(actions["total"] == 6);
  const json& items = actions["items"];
  REQUIRE(items[0]["preferred"] == true);
  REQUIRE(items[0]["edits"] ==
          json::array({{{"path", "src/a.fake"}, {"line", 1}, {"old", "one two"}, {"new", "one zwei"}}}));
  REQUIRE(items[1]["edit_id"].is_string());
  REQUIRE(items[1]["edit_id"] != items[0]["edit_id"]);
  REQUIRE(items[2]["edit_id"] == nullptr);
  REQUIRE(items[2]["why"].get<std::string>().find("fake.test") != std::string::npos);
  REQUIRE(items[3]["why"] == "disabled: no selection");
  for (const int later : {4, 5}) REQUIRE(items[later]["edit_id"].is_string());
  const auto resolved = sent_to(world.dir, "codeAction/resolve");
  REQUIRE(resolved.size() == 3);
  REQUIRE(resolved[0]["params"]["data"] == 7);
  REQUIRE(sent_to(world.dir, "workspace/executeCommand").empty());
  json one = place;
  one["title"] = "Extract";
  const json extract = value_of(world.host.call("lsp.code_actions", one));
  REQUIRE(extract["total"] == 1);
  REQUIRE(world.apply(extract["items"][0]["edit_id"]));
  REQUIRE(content(world.a) == "one zwei\nthree\n");
}

TEST_CASE("edits: a code action without an edit, also when it is resolved, says what else would do it") {
  World world;
  world.give(
      {{"textDocument/codeAction",
        {{{"title", "Note"}, {"command", {{"title", "Note"}, {"command", "fake.note"}}}}, {{"title", "Nothing"}}}},
       {"codeAction/resolve", {{"title", "x"}}}});
  const json items =
      value_of(world.host.call("lsp.code_actions", {{"path", "src/a.fake"}, {"line", 1}, {"symbol", "two"}}))["items"];
  INFO(items.dump());
  for (const auto& item : items) REQUIRE(item["edit_id"] == nullptr);
  REQUIRE(items[0]["why"].get<std::string>().find("fake.note") != std::string::npos);
  REQUIRE(items[1]["why"] == "the server does not say what the action would change");
  REQUIRE(sent_to(world.dir, "workspace/executeCommand").empty());
}

TEST_CASE("edits: a byte order mark stays in the file, and is no part of the text that servers and editors have") {
  World world;
  const std::string bom = "\xEF\xBB\xBF";
  world.dir.write("src/a.fake", bom + "ein two\nthree\n");
  EditorClient editor(world.host, {{"server", "fake"}}, 100'000, 7);
  editor.initialize(world.other.path());  // a server of its own
  editor.open("file://" + world.a, "ein two\nthree\n");
  const auto proposed = world.propose({{"changes", {{"file://" + world.a, {replace(0, 0, 3, "uno")}}}}});
  INFO(proposed.dump());
  REQUIRE(sent_to(world.dir, "textDocument/didChange").back()["params"]["contentChanges"][0]["text"] ==
          "ein two\nthree\n");
  const auto checked = value_of(world.host.call("lsp.check_edit", {{"edit_id", proposed["edit_id"]}}));
  INFO(checked.dump());
  const auto shown = sent_to(world.dir, "textDocument/didChange");
  REQUIRE(std::ranges::any_of(
      shown, [](const json& each) { return each["params"]["contentChanges"][0]["text"] == "uno two\nthree\n"; }));
  REQUIRE(world.apply(proposed["edit_id"]));
  REQUIRE(content(world.a) == bom + "uno two\nthree\n");
}
