// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <gantry/file_uri.hpp>
#include <limits>
#include <set>

#include "plugins/lsp/config.hpp"
#include "plugins/lsp/documents.hpp"
#include "plugins/lsp/envelope.hpp"
#include "plugins/lsp/files.hpp"
#include "plugins/lsp/standing.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace gantry;
using namespace gantry::lsp;

TEST_CASE("lsp envelope: finds kind and id wherever they stand, and steps over the rest") {
  const auto full = [](std::string_view text) { return scan(text, Scan::full); };
  const std::string request = R"( {"params":{"id":7,"x":"}\"{"},"method":"a\/b","jsonrpc":"2.0","id" : "q\"1"} )";
  auto e = full(request);
  REQUIRE(e.is_request());
  REQUIRE(e.id == R"("q\"1")");
  REQUIRE(e.method() == "a/b");
  REQUIRE(e.params == R"({"id":7,"x":"}\"{"})");
  REQUIRE(full(R"({"jsonrpc":"2.0","method":"m"})").is_notification());
  e = full(R"({"id":3,"jsonrpc":"2.0","result":[1,{"id":9}]})");
  REQUIRE(e.is_response());
  REQUIRE(own_id(e.id) == 3);
  REQUIRE(e.result == R"([1,{"id":9}])");
  REQUIRE(full(R"({"\u0069d":5,"method":"m"})").id == "5");
  REQUIRE(scan(R"({"id":1,"method":"m","params":{"a")", Scan::route).is_request());
}

TEST_CASE("lsp envelope: an error that is null is none") {
  const auto e = scan(R"({"id":1,"result":{"a":null},"error": null})", Scan::full);
  REQUIRE(e.is_response());
  REQUIRE(e.error.empty());
  REQUIRE(e.result == R"({"a":null})");
  REQUIRE(scan(R"({"id":1,"error":{"code":1},"result":null})", Scan::full).error == R"({"code":1})");
}

TEST_CASE("lsp envelope: an array without elements is told from all else") {
  for (const auto* empty : {"[]", "[ ]", "[\n\t]"}) REQUIRE(is_empty_array(empty));
  for (const auto* other : {"", "[", "[[]]", "[1]", "{}", "null", "]", " "}) REQUIRE_FALSE(is_empty_array(other));
}

TEST_CASE("lsp envelope: what is no object, or is cut off, is refused") {
  for (const auto* text :
       {"", " ", "[]", "3", "{", R"({"id")", R"({"id":)", R"({"id":1)", R"({"id":1,)", R"({"id":"1})", R"({"a":[1,2})",
        R"({"a":{"b":1})", R"({"id":1}x)", R"({"id" 1})", R"({id:1})", R"({"a":"\"})"}) {
    CAPTURE(text);
    REQUIRE_FALSE(scan(text, Scan::full).ok);
  }
}

TEST_CASE("lsp envelope: an id is replaced in place, and nothing else") {
  const std::string text = R"({"id":12,"method":"m","params":{"id":12}})";
  std::string out;
  append_with_id(out, text, scan(text, Scan::route).id, R"("x")");
  REQUIRE(out == R"({"id":"x","method":"m","params":{"id":12}})");
  REQUIRE(own_id("12") == 12);
  REQUIRE(own_id("\"12\"") == -1);
  REQUIRE(own_id("1.5") == -1);
}

TEST_CASE("lsp envelope: a number is the same id however it is written, and no other number is") {
  for (const auto* one : {"1", "1.0", "1e0", "1.000E+0", "10e-1", "0.1e1", "100e-02"}) {
    CAPTURE(one);
    REQUIRE(own_id(one) == 1);
    REQUIRE(same_id(one, "1"));
    REQUIRE_FALSE(same_id(one, "10"));
    REQUIRE_FALSE(same_id(one, "-1"));
    REQUIRE_FALSE(same_id(one, R"("1")"));
  }
  REQUIRE(whole_number("9223372036854775807") == 9223372036854775807LL);
  REQUIRE(whole_number("-9.223372036854775808e18") == std::numeric_limits<long long>::min());
  REQUIRE(whole_number("-0.0") == 0);
  REQUIRE(whole_number("0e99999999999999999999999") == std::nullopt);
  for (const auto* none : {"1.5",
                           "9223372036854775808",
                           "1e19",
                           "1e400",
                           "1e99999999999999999999",
                           "1e-1",
                           "-",
                           "",
                           ".5",
                           "1.",
                           "1e",
                           "1e+",
                           "1e+-1",
                           "1ee1",
                           "0x1",
                           "true",
                           "null",
                           "\"1\"",
                           "[1]",
                           "1 "}) {
    CAPTURE(none);
    REQUIRE(whole_number(none) == std::nullopt);
    REQUIRE(own_id(none) == -1);
  }
  REQUIRE(own_id("-1") == -1);
  REQUIRE(same_id("1.5", "15e-1"));
  REQUIRE(same_id("18446744073709551617", "18446744073709551617.0"));
  REQUIRE_FALSE(same_id("18446744073709551617", "18446744073709551616"));
  REQUIRE(same_id("1e400", "10e399"));
  REQUIRE_FALSE(same_id("1e99999999999999999999", "1e99999999999999999998"));
  REQUIRE(same_id(R"("a\/b")", R"("a/b")"));
  REQUIRE_FALSE(same_id(R"("a\/b")", R"("a/c")"));
  REQUIRE_FALSE(same_id("", "1"));
}

TEST_CASE("lsp envelope: a member of an object is set to null, and nothing else") {
  REQUIRE(with_null(R"({"a":{"p":1}, "p" : 12 ,"b":"\"p\":1"})", "p") == R"({"a":{"p":1}, "p" : null ,"b":"\"p\":1"})");
  REQUIRE(with_null(R"({"p":{"x":[1,2]},"q":3,"\u0070":"again"})", "p") == R"({"p":null,"q":3,"\u0070":null})");
  REQUIRE(with_null(R"({"q":1})", "p") == R"({"q":1})");
  REQUIRE(with_null("{}", "p") == "{}");
}

TEST_CASE(
    "lsp uri: a file is the same with one slash or three, at localhost, encoded or not, and with a slash behind") {
  for (const auto* uri :
       {"file:///a/b:c", "file:/a/b:c", "FILE:/a/b:c", "file://localhost/a/b:c", "file://LocalHost/a/b:c",
        "file:///a/b%3Ac", "file:///a/b%3ac", "file:///%61/b:c", "file:///a/b:c/", "file:/a//b:c//",
        "file:///a/./x/../b:c", "file:////a/b:c", "/a/b:c", "/a/b:c/"}) {
    CAPTURE(uri);
    REQUIRE(*to_path(uri) == "/a/b:c");
  }
  REQUIRE(*to_path("file:///") == "/");
  REQUIRE(*to_path("file:/a b[1]/C#/what?/\xC3\xBC") == "/a b[1]/C#/what?/\xC3\xBC");
  REQUIRE(*to_path("/100%25") == "/100%25");  // a path is no URI
}

TEST_CASE("lsp uri: what is no file of this machine is refused with why") {
  const auto why = [](const char* uri) { return to_path(uri).error().message; };
  for (const auto* other : {"file://server/a", "file://localhost.example/a", "file://127.0.0.1/a", "file://a%2Fb/c"})
    REQUIRE(why(other).find("names the host \"") != std::string::npos);
  for (const auto* other : {"untitled:Untitled-1", "jar:file:///a.jar!/B.class", "deno:/https/x", "http://localhost/a",
                            "file:a", "file:", "file://", "file://localhost", "a/b", "", "fil", "file"})
    REQUIRE(why(other).find("is neither a file: URI of this machine nor an absolute path") != std::string::npos);
  REQUIRE(is_file_uri("file://server/a"));
  REQUIRE_FALSE(is_file_uri("jar:file:///a.jar!/B.class"));
}

TEST_CASE("lsp uri: each spelling of a file gives one path, and a path gives one URI") {
  REQUIRE(*to_path("file:///a/b%20c.cpp") == "/a/b c.cpp");
  REQUIRE(*to_path("file://localhost/a/./b/../c") == "/a/c");
  REQUIRE(*to_path("/a/b/") == "/a/b");
  REQUIRE(to_uri("/a/b c[1]%ü.cpp") == "file:///a/b%20c%5B1%5D%25%C3%BC.cpp");
  REQUIRE(*to_path(to_uri("/a/b c[1]%ü.cpp")) == "/a/b c[1]%ü.cpp");
  for (const auto* bad :
       {"", "a.cpp", "http://x/a", "file://host/a", "file:///a%2", "file:///a%zz", "file:///a%00b", "untitled:1"}) {
    CAPTURE(bad);
    REQUIRE(to_path(bad).error().kind == ErrorKind::invalid_params);
  }
}

TEST_CASE("lsp documents: a position is counted in the negotiated units and clamped to its line") {
  const std::string text = "aä😀b\nsecond\r\nthird\rlast";
  REQUIRE(offset_of(text, 0, 0, Encoding::utf16) == 0);
  REQUIRE(offset_of(text, 0, 2, Encoding::utf16) == 3);
  REQUIRE(offset_of(text, 0, 4, Encoding::utf16) == 7);
  REQUIRE(offset_of(text, 0, 3, Encoding::utf16) == 3);  // in the midst of a pair: before it
  REQUIRE(offset_of(text, 0, 3, Encoding::utf32) == 7);
  REQUIRE(offset_of(text, 0, 3, Encoding::utf8) == 3);
  REQUIRE(offset_of(text, 0, 99, Encoding::utf16) == 8);
  REQUIRE(offset_of(text, 1, 99, Encoding::utf16) == 15);
  REQUIRE(offset_of(text, 2, 0, Encoding::utf16) == 17);
  REQUIRE(offset_of(text, 3, 0, Encoding::utf16) == 23);
  REQUIRE(offset_of(text, 9, 0, Encoding::utf16) == text.size());
}

namespace {

json change(int line, int from, int to, const std::string& text) {
  return {{"range", {{"start", {{"line", line}, {"character", from}}}, {"end", {{"line", line}, {"character", to}}}}},
          {"text", text}};
}
json changed(int version, json changes) {
  return {{"textDocument", {{"uri", "file:///a"}, {"version", version}}}, {"contentChanges", std::move(changes)}};
}
json opened(const std::string& text) {
  return {{"textDocument", {{"uri", "file:///a"}, {"languageId", "cpp"}, {"version", 1}, {"text", text}}}};
}

}  // namespace

TEST_CASE("lsp documents: full and incremental changes are followed, and replayed as they stand") {
  TrackedDocuments documents;
  documents.follow("textDocument/didOpen", opened("one\ntwo 😀 x\n").dump());
  documents.follow("textDocument/didChange", changed(5, {change(1, 7, 8, "three"), change(0, 0, 3, "1")}).dump());
  std::vector<json> replayed;
  const auto keep = [&](std::string_view message) { replayed.push_back(json::parse(message)); };
  documents.replay(keep);
  REQUIRE(replayed.size() == 1);
  REQUIRE(replayed[0]["method"] == "textDocument/didOpen");
  REQUIRE(replayed[0]["params"]["textDocument"] ==
          json{{"uri", "file:///a"}, {"languageId", "cpp"}, {"version", 5}, {"text", "1\ntwo 😀 three\n"}});
  documents.follow("textDocument/didChange", changed(6, {{{"text", "all new"}}}).dump());
  replayed.clear();
  documents.replay(keep);
  REQUIRE(replayed[0]["params"]["textDocument"]["text"] == "all new");
  documents.follow("textDocument/didClose", R"({"textDocument":{"uri":"file:///a"}})");
  replayed.clear();
  documents.replay(keep);
  REQUIRE(replayed.empty());
}

TEST_CASE(
    "lsp documents: versions and positions that are written as 3.0 are whole numbers, and larger ones no others") {
  TrackedDocuments documents;
  const auto known = [&] {
    json document;
    documents.replay([&](std::string_view message) { document = json::parse(message)["params"]["textDocument"]; });
    return document;
  };
  documents.follow("textDocument/didOpen",
                   R"({"textDocument":{"uri":"file:///a","languageId":"cpp","version":3.0,"text":"one\ntwo\n"}})");
  REQUIRE(known()["version"].dump() == "3");
  const auto change_to = [&](const std::string& version) {
    documents.follow("textDocument/didChange",
                     R"({"textDocument":{"uri":"file:///a","version":)" + version +
                         R"(},"contentChanges":[{"range":{"start":{"line":1.0,"character":0e0},)"
                         R"("end":{"line":1e0,"character":3.0}},"text":"2"}]})");
    REQUIRE(documents.lost().empty());
    REQUIRE(known()["text"] == "one\n2\n");
    return known()["version"].dump();
  };
  REQUIRE(change_to("4e0") == "4");
  for (const char* const none : {"4.5", "1e300", "18446744073709551615", "-1e300"}) REQUIRE(change_to(none) == "4");
}

TEST_CASE("lsp documents: two spellings of one URI are one document, which is opened again under the first") {
  TrackedDocuments documents;
  documents.follow("textDocument/didOpen", opened("one").dump());
  auto other = changed(2, {{{"text", "two"}}});
  other["textDocument"]["uri"] = "file:/%61";
  documents.follow("textDocument/didChange", other.dump());
  documents.replay([&](std::string_view message) {
    const auto document = json::parse(message)["params"]["textDocument"];
    REQUIRE(document["uri"] == "file:///a");
    REQUIRE(document["text"] == "two");
  });
  documents.follow("textDocument/didClose", R"({"textDocument":{"uri":"file://localhost/a"}})");
  REQUIRE(documents.size() == 0);
}

TEST_CASE("lsp documents: a change that makes no sense ends the following, and says so") {
  TrackedDocuments documents;
  documents.follow("textDocument/didOpen", opened("text").dump());
  documents.follow("textDocument/didChange", changed(2, json::array({change(0, 3, 1, "x")})).dump());
  REQUIRE(documents.lost().find("ends before it starts") != std::string::npos);
  REQUIRE(documents.size() == 0);
}

TEST_CASE("lsp documents: more text than the bound is not kept") {
  TrackedDocuments documents;
  const std::string big(TrackedDocuments::kMaxBytes / 2 + 1, 'x');
  const auto open = [&](const std::string& uri) {
    documents.follow("textDocument/didOpen", R"({"textDocument":{"uri":")" + uri + R"(","text":")" + big + "\"}}");
  };
  open("file:///a");
  REQUIRE(documents.lost().empty());
  open("file:///b");
  REQUIRE(documents.lost().find("64 MiB") != std::string::npos);
}

TEST_CASE("lsp standing: files with diagnostics beyond the bound are not followed, and those within it are") {
  Standing standing;
  const auto follow = [&](std::size_t i, const char* diagnostics) {
    standing.follow("textDocument/publishDiagnostics",
                    R"({"uri":"file:///)" + std::to_string(i) + R"(","diagnostics":)" + diagnostics + "}");
  };
  for (std::size_t i = 0; i <= Standing::kMaxDiagnosed; ++i) follow(i, "[{}]");
  follow(0, "[]");
  follow(Standing::kMaxDiagnosed + 1, "[{}]");  // there is room again
  Standing next;
  next.restore(standing.suspend());
  const auto ended = next.end("1");
  REQUIRE(ended.size() == Standing::kMaxDiagnosed);
  std::set<std::string> uris;
  for (const auto& text : ended) uris.insert(json::parse(text)["params"]["uri"]);
  const auto withdrawn = [&](std::size_t i) { return uris.contains("file:///" + std::to_string(i)); };
  REQUIRE(withdrawn(1));
  REQUIRE(withdrawn(Standing::kMaxDiagnosed + 1));
  REQUIRE_FALSE(withdrawn(0));
  REQUIRE_FALSE(withdrawn(Standing::kMaxDiagnosed));
  REQUIRE(next.end("2").empty());
}

TEST_CASE("lsp config: known servers are used where they are found, and a table changes what it says") {
  lsp_test::TempDir dir;
  const std::string before = std::getenv("PATH");
  const auto settings_with = [&](const json& servers) {
    PluginConfig config;
    config.settings = {{"servers", servers}};
    ::setenv("PATH", (dir / "bin").c_str(), 1);
    auto settings = parse_settings(config);
    ::setenv("PATH", before.c_str(), 1);
    REQUIRE(settings);
    return std::move(*settings);
  };
  const auto names = [](const Settings& settings) {
    std::vector<std::string> out;
    for (const auto& server : settings.servers) out.push_back(server.name);
    return out;
  };
  for (const char* program : {"gopls", "pylsp", "pyright-langserver", "zls"})
    ::chmod(dir.write("bin/" + std::string(program), "").c_str(), 0755);
  dir.write("bin/rust-analyzer", "not executable");

  const auto found = settings_with(json::object());
  REQUIRE(names(found) == std::vector<std::string>{"clangd", "gopls", "pyright", "pylsp", "zls"});
  REQUIRE(found.for_language("python")->command == std::vector<std::string>{"pyright-langserver", "--stdio"});
  REQUIRE(found.for_language(found.language_of("/a/go.mod"))->name == "gopls");
  REQUIRE(found.named("zls")->runs_project_code);
  REQUIRE_FALSE(found.named("gopls")->runs_project_code);
  REQUIRE(found.for_language("rust") == nullptr);
  REQUIRE(no_server("rust").error().message.find("known are rust-analyzer") != std::string::npos);
  for (const auto& server : found.servers) {
    CAPTURE(server.name);
    REQUIRE(server.built_in);
    REQUIRE(server.root_markers.back() == ".jj");
    REQUIRE(server_from(to_json(server)) == server);
  }

  const auto changed = settings_with({{"pylsp", {{"settings", {{"a", 1}}}, {"priority", 5}}},
                                      {"gopls", {{"enabled", false}, {"command", 7}}},
                                      {"mine", {{"command", "mine"}, {"languages", {"zig"}}}}});
  REQUIRE(names(changed) == std::vector<std::string>{"mine", "pylsp", "clangd", "pyright", "zls"});
  REQUIRE(changed.for_language("python")->name == "pylsp");
  REQUIRE(changed.for_language("python")->command == std::vector<std::string>{"pylsp"});
  REQUIRE(changed.for_language("zig")->name == "mine");
  REQUIRE_FALSE(changed.named("pylsp")->built_in);
}

TEST_CASE("lsp config: without servers there is clangd, and a mistake names its key") {
  PluginConfig config;
  auto settings = parse_settings(config);
  REQUIRE(settings);
  REQUIRE(settings->servers[0].name == "clangd");
  REQUIRE(settings->for_language("cpp") == &settings->servers[0]);
  REQUIRE(settings->language_of("/a/b.hpp") == "cpp");
  REQUIRE(settings->max_requests == 8);
  const auto message = [&](const json& servers) {
    config.settings = {{"servers", servers}};
    return parse_settings(config).error().message;
  };
  REQUIRE(message({{"x", {{"languages", {"x"}}}}}).find("[lsp.servers.x] command is missing") == 0);
  REQUIRE(message({{"x", {{"command", "x"}}}}).find("languages is missing") != std::string::npos);
  REQUIRE(message({{"x", {{"comand", "x"}}}}).find("did you mean \"command\"") == std::string::npos);
  REQUIRE(
      message({{"x", {{"command", "x"}, {"languages", {"x"}}, {"comand", "x"}}}}).find("did you mean \"command\"") !=
      std::string::npos);
  REQUIRE(message({{"x", {{"command", 3}, {"languages", {"x"}}}}}).find("command must be") != std::string::npos);
  const auto with_time = [&](const json& seconds) {
    const json server{{"command", "x"}, {"languages", {"x"}}, {"initialize_timeout_seconds", seconds}};
    config.settings = {{"servers", {{"x", server}}}};
    return parse_settings(config);
  };
  REQUIRE(settings->servers[0].initialize_timeout == std::chrono::seconds(300));
  REQUIRE(with_time(0)->servers[0].initialize_timeout == std::chrono::seconds(0));
  REQUIRE(server_from(to_json(with_time(7)->servers[0])).initialize_timeout == std::chrono::seconds(7));
  for (const json& wrong : {json(-1), json(86'401), json("7")})
    REQUIRE(with_time(wrong).error().message.find("[lsp.servers.x] initialize_timeout_seconds") == 0);
  config = {};
  config.async = {{"max_concurrent_lsp_requests", 0}};
  REQUIRE(parse_settings(config).error().message.find("max_concurrent_lsp_requests") != std::string::npos);
}

TEST_CASE("lsp config: a workspace has servers of its own where its project has and those of the user around it") {
  PluginConfig config;
  config.workspaces = {"/src", "/src/inner", "/src2"};
  config.workspace_settings["/src"] = {{"servers", {{"mine", {{"command", "mine"}, {"languages", {"x"}}}}}}};
  config.workspace_settings["/src2"] = {{"servers", {{"wrong", {{"command", "x"}}}}}};
  const auto settings = parse_settings(config);
  REQUIRE(settings);
  REQUIRE(settings->at("/src/a.cpp").named("mine"));
  REQUIRE(settings->at("/src").for_language("x"));
  for (const char* path : {"/src/inner/a", "/src2/a", "/srcs/a", "/", ""}) {
    INFO(path);
    REQUIRE_FALSE(settings->at(path).named("mine"));
    REQUIRE(settings->at(path).named("clangd"));
  }
  REQUIRE(settings->refused.size() == 1);
  REQUIRE(settings->refused[0].find("/src2: [lsp.servers.wrong] languages is missing") == 0);
}

TEST_CASE("lsp config: a server that runs code of projects may only where the workspace is trusted") {
  PluginConfig config;
  config.workspaces = {"/mine", "/other"};
  config.trusted_workspaces = {"/mine"};
  config.settings["servers"] = {
      {"known", {{"command", "/opt/bin/rust-analyzer"}, {"languages", {"rust"}}}},
      {"cleared", {{"command", "rust-analyzer"}, {"languages", {"x"}}, {"runs_project_code", false}}},
      {"said", {{"command", "x"}, {"languages", {"y"}}, {"runs_project_code", true}}},
      {"plain", {{"command", "x"}, {"languages", {"z"}}}}};
  const auto settings = parse_settings(config);
  REQUIRE(settings);
  for (const char* name : {"known", "said"}) {
    INFO(name);
    REQUIRE(settings->may_run(*settings->named(name), "/mine/a"));
    for (const char* path : {"/other/a", "/elsewhere", "/mine2"})
      REQUIRE(settings->may_run(*settings->named(name), path).error().kind == ErrorKind::permission_denied);
  }
  for (const char* name : {"cleared", "plain"}) REQUIRE(settings->may_run(*settings->named(name), "/other/a"));
}

TEST_CASE("lsp config: clangd is clangd-19 where there is one, else clangd, else what an error should name") {
  lsp_test::TempDir dir;
  const std::string before = std::getenv("PATH");
  const auto command_with = [&](const std::vector<std::string>& programs) {
    const std::string folder = "bin" + std::to_string(programs.size()) + (programs.empty() ? "" : programs.front());
    std::filesystem::create_directories(dir / folder);
    for (const auto& program : programs) ::chmod(dir.write(folder + "/" + program, "").c_str(), 0755);
    ::setenv("PATH", (dir / folder).c_str(), 1);
    const auto settings = parse_settings({});
    ::setenv("PATH", before.c_str(), 1);
    return settings->servers[0].command;
  };
  REQUIRE(command_with({"clangd", "clangd-19"}) == std::vector<std::string>{"clangd-19"});
  REQUIRE(command_with({"clangd-19"}) == std::vector<std::string>{"clangd-19"});
  REQUIRE(command_with({"clangd"}) == std::vector<std::string>{"clangd"});
  REQUIRE(command_with({}) == std::vector<std::string>{"clangd-19"});
}

TEST_CASE("lsp files: the root is the nearest marked folder, else the workspace, else the folder itself") {
  lsp_test::TempDir dir;
  dir.write("outer/.mark", "");
  dir.write("outer/inner/deep/a.x", "");
  dir.write("other/b.x", "");
  REQUIRE(find_root(dir / "outer/inner/deep", {".mark"}, {}) == dir / "outer");
  dir.write("outer/inner/.mark", "");
  REQUIRE(find_root(dir / "outer/inner/deep", {".mark"}, {}) == dir / "outer/inner");
  REQUIRE(find_root(dir / "other", {".mark"}, {dir.path(), dir / "othe"}) == dir.path());
  REQUIRE(find_root(dir / "other", {".mark"}, {}) == dir / "other");
}

TEST_CASE("lsp files: a marker above the workspace does not make a root") {
  lsp_test::TempDir home;
  home.write(".mark", "");
  home.write("work/lib/deep/a.x", "");
  const std::vector<std::string> workspaces{home / "work"};
  REQUIRE(find_root(home / "work/lib/deep", {".mark"}, workspaces) == home / "work");
  REQUIRE(find_root(home / "work", {".mark"}, workspaces) == home / "work");
  home.write("work/lib/.mark", "");
  REQUIRE(find_root(home / "work/lib/deep", {".mark"}, workspaces) == home / "work/lib");
  home.write("work/.mark", "");
  REQUIRE(find_root(home / "work/other", {".mark"}, workspaces) == home / "work");
  // The innermost workspace counts, and what lies in none is looked for as before.
  REQUIRE(find_root(home / "work/lib/deep", {".mark"}, {home.path(), home / "work/lib/deep"}) ==
          home / "work/lib/deep");
  REQUIRE(find_root(home / "elsewhere", {".mark"}, workspaces) == home.path());
}

TEST_CASE("lsp parts: the depth of a message is that of its brackets outside of texts") {
  using gantry::lsp::is_deeper_than;
  REQUIRE(is_deeper_than(R"([{"a":[]}])", 2));
  REQUIRE_FALSE(is_deeper_than(R"([{"a":[]}])", 3));
  REQUIRE_FALSE(is_deeper_than(R"([[],[],[],{}])", 2));
  REQUIRE_FALSE(is_deeper_than(R"(["[[\"[[\\",[]])", 2));
  REQUIRE(is_deeper_than(R"(["\\",[[]]])", 2));
  REQUIRE_FALSE(is_deeper_than("]]]]", 0));
}
