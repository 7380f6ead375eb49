// SPDX-License-Identifier: Apache-2.0
//
// Files that change behind the editors' backs: which of them the server of the editors hears of, and once.
#include <fcntl.h>
#include <unistd.h>

#include "plugins/lsp/file_watch.hpp"
#include "plugins/lsp/watched_globs.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using gantry::lsp::FileChange;
using gantry::lsp::FileWatch;
using gantry::lsp::WatchedGlobs;

namespace {

enum Kind { created = 1, changed = 2, deleted = 3 };
using Told = std::vector<std::pair<std::string, int>>;

[[nodiscard]] json registration_of(const json& watchers) {
  return {{"id", "w"}, {"method", "workspace/didChangeWatchedFiles"}, {"registerOptions", {{"watchers", watchers}}}};
}

[[nodiscard]] WatchedGlobs globs(const json& watchers, const std::vector<std::string>& folders = {"/w"}) {
  return {{json::array({registration_of(watchers)})}, folders};
}

[[nodiscard]] bool matches(const std::string& pattern, const std::string& path) {
  return globs({{{"globPattern", pattern}}}).wants(path);
}

/// All files of which the server was told, in order.
[[nodiscard]] Told told_in(const TempDir& dir) {
  Told out;
  for (const auto& message : sent_to(dir, "workspace/didChangeWatchedFiles")) {
    for (const auto& each : message["params"]["changes"])
      out.emplace_back(each["uri"].get<std::string>().substr(std::string("file://" + dir.path() + "/").size()),
                       each["type"]);
  }
  return out;
}

/// Lets the time pass that changes are gathered.
void wait_until_told(TestHost& host, const TempDir& dir, const std::pair<std::string, int>& last) {
  host.wait("the server to be told", [&] {
    host.advance(FileWatch::kQuiet);
    const auto told = told_in(dir);
    return std::ranges::find(told, last) != told.end();
  });
}

/// An editor without any capability, and a server that has registered.
struct Watched {
  TempDir dir;
  TestHost host;
  EditorClient editor;

  explicit Watched(const json& watchers, const json& capabilities = json::object())
      : host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir)), editor(host, {{"server", "fake"}}) {
    editor.initialize(dir.path(), capabilities);
    registers(watchers);
  }
  void registers(const json& watchers) {
    const json params{{"registrations", {registration_of(watchers)}}};
    const int asked = editor.send("test/ask", {{"method", "client/registerCapability"}, {"params", params}});
    const auto next = editor.take([&](const json& m) {
      return m.value("method", "") == "client/registerCapability" || m.value("id", json()) == asked;
    });
    if (!next.contains("method")) return;
    editor.raw({{"id", next["id"]}, {"result", nullptr}});
    (void)editor.answer(asked);
  }
  void until_told(const std::string& file, int kind) { wait_until_told(host, dir, {file, kind}); }
  [[nodiscard]] Told told() const { return told_in(dir); }
  void report(const std::string& file, int kind) {
    editor.notify("workspace/didChangeWatchedFiles",
                  {{"changes", {{{"uri", "file://" + (dir / file)}, {"type", kind}}}}});
    (void)editor.ask("test/echo");
  }
};

const json kGo{{{"globPattern", "**/*.{go,mod}"}}};

}  // namespace

TEST_CASE("watched globs: patterns match as the protocol says") {
  REQUIRE(matches("**/*.go", "/w/a.go"));
  REQUIRE(matches("**/*.go", "/w/a/b/c.go"));
  REQUIRE_FALSE(matches("**/*.go", "/w/a.go.txt"));
  REQUIRE_FALSE(matches("**/*.go", "/elsewhere/a.go"));
  REQUIRE(matches("*.go", "/w/a.go"));
  REQUIRE_FALSE(matches("*.go", "/w/a/b.go"));
  REQUIRE(matches("**/*.{go,mod,{x,y}z}", "/w/a.yz"));
  REQUIRE(matches("{a,b/c}/**", "/w/b/c/d"));
  REQUIRE_FALSE(matches("{a,b/c}/**", "/w/b/d"));
  REQUIRE(matches("**/{package,tsconfig}.json", "/w/x/tsconfig.json"));
  REQUIRE(matches("a/**/b/**/c", "/w/a/b/x/b/y/c"));
  REQUIRE_FALSE(matches("a/**/b/**/c", "/w/a/x/y/c"));
  REQUIRE(matches("file.[0-9]", "/w/file.1"));
  REQUIRE(matches("file.[!0-9]", "/w/file.a"));
  REQUIRE_FALSE(matches("file.[!0-9]", "/w/file.1"));
  REQUIRE(matches("?.go", "/w/a.go"));
  REQUIRE_FALSE(matches("?.go", "/w/ab.go"));
  REQUIRE(matches("**", "/w/.hidden/a"));
  REQUIRE(matches("/abs/**/*.c", "/abs/x/a.c"));
  REQUIRE(matches("**/{.c", "/w/{.c"));  // a brace that nothing closes is a character
  REQUIRE(matches("**/*", "/w/a b/ü"));
  std::string many = "**/";
  for (std::size_t i = 0; i <= WatchedGlobs::kMaxAlternatives; ++i) many += (i == 0 ? "{f" : ",f") + std::to_string(i);
  REQUIRE(matches(many + "}", "/w/anything"));  // with too many alternatives all files match
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{a}";
  REQUIRE(matches(deep, "/w/anything"));
}

TEST_CASE("watched globs: a relative pattern has its base, and each kind of change is asked for alone") {
  const json base{{"baseUri", "file:///w/a%20b"}, {"pattern", "*.txt"}};
  const json folder{{"baseUri", {{"uri", "file:///v"}, {"name", "v"}}}, {"pattern", "**/*.txt"}};
  const auto all = globs({{{"globPattern", base}, {"kind", 5}}, {{"globPattern", folder}, {"kind", 2}}});
  REQUIRE(all.wants("/w/a b/x.txt", FileChange::created));
  REQUIRE_FALSE(all.wants("/w/a b/x.txt", FileChange::changed));
  REQUIRE(all.wants("/w/a b/x.txt", FileChange::deleted));
  REQUIRE_FALSE(all.wants("/w/x.txt"));
  REQUIRE(all.wants("/v/d/x.txt", FileChange::changed));
  REQUIRE_FALSE(all.wants("/v/d/x.txt", FileChange::created));
  REQUIRE(globs({1, {{"globPattern", 1}}, {{"globPattern", "x"}, {"kind", -1}}, {{"globPattern", "x"}, {"kind", 99}}})
              .empty());
  REQUIRE(WatchedGlobs({json::array({{{"method", "x"}}, 1, json()})}, {"/w"}).empty());
}

TEST_CASE("changed files: a server hears of those that it has registered for, though no editor watches any") {
  const json pattern{{"baseUri", json()}, {"pattern", "only/*.txt"}};
  Watched t(kGo);
  json only{{"globPattern", pattern}, {"kind", created}};
  only["globPattern"]["baseUri"] = "file://" + t.dir.path();
  t.registers(json::array({only}));
  t.dir.write("first.go", "");
  t.until_told("first.go", created);
  t.dir.write("only/x.txt", "");
  t.dir.write("sub/other.txt", "");
  t.dir.write("sub/deep/a.go", "");
  t.until_told("sub/deep/a.go", created);
  t.dir.write("sub/deep/a.go", "2");
  t.dir.write("only/x.txt", "changes are not asked for");
  t.until_told("sub/deep/a.go", changed);
  t.dir.write("came and went.go", "");
  std::filesystem::remove(t.dir / "came and went.go");
  t.dir.write("a.go.tmp", "3");
  std::filesystem::rename(t.dir / "a.go.tmp", t.dir / "first.go");
  t.until_told("first.go", changed);
  std::filesystem::rename(t.dir / "sub", t.dir / "node_modules");
  t.until_told("sub/deep/a.go", deleted);
  t.dir.write("last.mod", "");
  t.until_told("last.mod", created);
  Told told = t.told();
  const auto of_txt = std::ranges::remove(told, std::pair<std::string, int>("only/x.txt", created));
  REQUIRE(of_txt.size() == 1);
  told.erase(of_txt.begin(), of_txt.end());
  REQUIRE(told == Told{{"first.go", created},
                       {"sub/deep/a.go", created},
                       {"sub/deep/a.go", changed},
                       {"first.go", changed},
                       {"sub/deep/a.go", deleted},
                       {"last.mod", created}});
  t.host.stop();
}

TEST_CASE("changed files: a server that has registered for none, or no longer, is told of none") {
  Watched t(kGo);
  t.dir.write("a.go", "");
  t.until_told("a.go", created);
  const json params{{"unregisterations", {{{"id", "w"}, {"method", "workspace/didChangeWatchedFiles"}}}}};
  (void)t.editor.ask("test/ask", {{"method", "client/unregisterCapability"}, {"params", params}});
  t.dir.write("b.go", "");
  t.registers({{{"globPattern", "*.mod"}}});
  t.dir.write("c.mod", "");
  t.until_told("c.mod", created);
  REQUIRE(t.told() == Told{{"a.go", created}, {"c.mod", created}});
  t.host.stop();
}

TEST_CASE("changed files: what changes between a registration and the next is told, and nothing else again") {
  Watched t(kGo);
  t.dir.write("kept.go", "");
  t.dir.write("goes.go", "");
  t.until_told("goes.go", created);
  t.until_told("kept.go", created);
  const json params{{"unregisterations", {{{"id", "w"}, {"method", "workspace/didChangeWatchedFiles"}}}}};
  (void)t.editor.ask("test/ask", {{"method", "client/unregisterCapability"}, {"params", params}});
  const auto first = t.told().size();
  std::filesystem::remove(t.dir / "goes.go");
  t.dir.write("comes.go", "");
  TempDir elsewhere;
  elsewhere.write("old/moved.go", "");
  std::filesystem::rename(elsewhere / "old", t.dir / "old");
  t.registers({{{"globPattern", "**/*.go"}}});
  for (const auto& [file, kind] : Told{{"goes.go", deleted}, {"comes.go", created}, {"old/moved.go", created}})
    t.until_told(file, kind);
  const Told told = t.told();
  // What the server was told within the last second may be told again.
  for (std::size_t i = first; i < told.size(); ++i) REQUIRE((told[i].first != "kept.go" || told[i].second == changed));
  t.host.stop();
}

TEST_CASE("changed files: a workspace folder that goes and comes again is watched again") {
  Watched t(kGo);
  t.dir.write("a.go", "");
  t.until_told("a.go", created);
  std::filesystem::remove_all(t.dir.path());
  t.until_told("a.go", deleted);
  t.dir.write("b.go", "");
  t.until_told("b.go", created);  // each wait moves the time, until the folder is looked for
  t.dir.write("c.go", "");
  t.until_told("c.go", created);
  t.host.stop();
}

TEST_CASE("changed files: a report of before hides no later change of another kind") {
  Watched t(kGo, all_capabilities());
  t.dir.write("a.go", "");
  t.until_told("a.go", created);
  t.host.advance(2 * FileWatch::kEcho);
  t.report("a.go", changed);
  std::filesystem::remove(t.dir / "a.go");
  t.until_told("a.go", deleted);
  t.host.stop();
}

TEST_CASE("changed files: patterns with a base outside of the workspace folders are watched, too") {
  TempDir elsewhere;
  std::filesystem::create_directory(elsewhere / "deep");
  Watched t(json::array({{{"globPattern", {{"baseUri", "file://" + (elsewhere / "deep")}, {"pattern", "**/*.py"}}}},
                         {{"globPattern", "**/*.py"}}}));
  t.dir.write("a.py", "");
  t.until_told("a.py", created);
  elsewhere.write("deep/b.py", "");
  t.host.wait("the server to be told", [&] {
    t.host.advance(FileWatch::kQuiet);
    const auto all = sent_to(t.dir, "workspace/didChangeWatchedFiles");
    return all.back()["params"]["changes"][0]["uri"] == "file://" + (elsewhere / "deep/b.py");
  });
  t.host.stop();
}

TEST_CASE("changed files: what editors and callers report is merged with what the host sees") {
  Watched t(kGo, all_capabilities());
  t.dir.write("a.go", "");
  t.until_told("a.go", created);
  t.report("a.go", created);  // the editor has seen it, too
  REQUIRE(t.told() == Told{{"a.go", created}});
  t.dir.write("a.go", "2");
  t.until_told("a.go", changed);
  REQUIRE(t.told().size() == 2);
  t.host.advance(2 * FileWatch::kEcho);
  t.report("a.go", changed);               // after this time nobody knows what it means
  t.report("node_modules/b.go", changed);  // where the host does not look
  REQUIRE(t.told() == Told{{"a.go", created}, {"a.go", changed}, {"a.go", changed}, {"node_modules/b.go", changed}});
  // An editor that is faster. The file's time is of the kernel's last tick.
  t.dir.write("c.go", "");
  const auto written = std::chrono::system_clock::now();
  t.host.wait("ticks", [&] { return std::chrono::system_clock::now() - written > std::chrono::milliseconds(100); });
  t.report("c.go", created);
  t.dir.write("d.go", "");
  t.until_told("d.go", created);
  REQUIRE(t.told().size() == 6);
  t.dir.write("c.go", "2");
  t.until_told("c.go", changed);
  const json changes{{"changes", {{{"uri", "file://" + (t.dir / "d.go")}, {"type", changed}}}}};
  const json request{{"uri", t.dir.write("a.fake", "")}, {"method", "workspace/didChangeWatchedFiles"}};
  json params = request;
  params["params"] = changes;
  (void)value_of(t.host.call("lsp.request", params));  // a caller's, who goes on at once
  (void)t.editor.ask("test/echo");
  REQUIRE(t.told().back() == std::pair<std::string, int>("d.go", changed));
  REQUIRE(t.told().size() == 8);
  t.host.stop();
}

TEST_CASE("changed files: 100,000 that come are told, and 100,000 that go") {
  constexpr int kFolders = 100, kFiles = 1000;
  Watched t(kGo);
  t.dir.write("a.go", "");
  t.until_told("a.go", created);
  for (int folder = 0; folder < kFolders; ++folder) {
    const auto path = t.dir / ("all/" + std::to_string(folder));
    std::filesystem::create_directories(path);
    for (int file = 0; file < kFiles; ++file) {
      const int fd = ::open((path + "/" + std::to_string(file) + ".go").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
      REQUIRE(fd >= 0);
      ::close(fd);
    }
  }
  const auto count = [&](int kind) {
    t.host.advance(FileWatch::kQuiet);
    std::set<std::string> files;
    for (const auto& [file, is] : t.told()) {
      if (is == kind) files.insert(file);
    }
    return files.size();
  };
  t.host.wait("all to be told", [&] { return count(created) == kFolders * kFiles + 1; });
  std::filesystem::remove_all(t.dir / "all/7");
  std::filesystem::rename(t.dir / "all", t.dir / ".cache");
  t.host.wait("all to be told", [&] { return count(deleted) == kFolders * kFiles; });
  for (const auto& message : sent_to(t.dir, "workspace/didChangeWatchedFiles"))
    REQUIRE(message["params"]["changes"].size() <= FileWatch::kMaxInMessage);
  t.host.stop();
}

TEST_CASE("changed files: the process that follows a crash is told of what it registers for") {
  Watched t(kGo);
  t.dir.write("a.go", "");
  t.until_told("a.go", created);
  REQUIRE(t.editor.ask("test/crash").contains("error"));
  t.registers(kGo);
  t.dir.write("a.go", "2");
  t.until_told("a.go", changed);
  t.dir.write("b.go", "");
  t.until_told("b.go", created);
  REQUIRE(t.told() == Told{{"a.go", created}, {"a.go", changed}, {"b.go", created}});
  t.host.stop();
}
