// SPDX-License-Identifier: Apache-2.0
//
// Documents that are open in a shared server and change on the disk while another file is asked
// about.
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

namespace {

// a: in a folder that is not watched, so that no event tells of it.
struct TwoFiles {
  TempDir dir;
  std::string a = write_a("first"), b = dir.write("b.fake", "b");
  TestHost host{kPlugin, config_of({{"fake", fake_server(dir)}}, dir)};
  TwoFiles() {
    REQUIRE(hover(a)["contents"] == "first");
    REQUIRE(hover(b)["contents"] == "b");
  }
  ~TwoFiles() { host.stop(); }
  TwoFiles(const TwoFiles&) = delete;
  TwoFiles& operator=(const TwoFiles&) = delete;

  [[nodiscard]] std::string write_a(const std::string& text) const { return dir.write("node_modules/a.fake", text); }
  json hover(const std::string& file) {
    return value_of(host.call("lsp.request", {{"uri", file}, {"method", "textDocument/hover"}}));
  }
  /// The methods that were sent after the second hover.
  [[nodiscard]] std::vector<std::string> since() const {
    std::vector<std::string> out;
    int hovers = 0;
    for (const auto& message : sent_to(dir)) {
      const std::string method = message.value("method", "");
      if (hovers >= 2) out.push_back(method);
      hovers += method == "textDocument/hover" ? 1 : 0;
    }
    return out;
  }
};

using Methods = std::vector<std::string>;

}  // namespace

TEST_CASE("lsp.request: an open document that has changed on the disk is told before a request about another file") {
  TwoFiles t;
  (void)t.write_a("second");
  (void)t.hover(t.b);
  // b may depend on a, so it is told again.
  REQUIRE(t.since() == Methods{"textDocument/didChange", "textDocument/didChange", "textDocument/hover"});
  const auto told = sent_to(t.dir, "textDocument/didChange").front()["params"];
  REQUIRE(told["textDocument"]["uri"] == "file://" + t.a);
  REQUIRE(told["textDocument"]["version"] > 2);
  REQUIRE(told["contentChanges"] == json{{{"text", "second"}}});
  (void)t.hover(t.b);
  REQUIRE(sent_to(t.dir, "textDocument/didChange").size() == 2);  // nothing has changed since
}

TEST_CASE("lsp.request: an open document that is gone from the disk is closed, and opened again when it is back") {
  TwoFiles t;
  std::filesystem::remove(t.a);
  (void)t.hover(t.b);
  REQUIRE(sent_to(t.dir, "textDocument/didClose").at(0)["params"]["textDocument"]["uri"] == "file://" + t.a);
  REQUIRE(t.since() == Methods{"textDocument/didClose", "textDocument/didChange", "textDocument/hover"});
  (void)t.write_a("back");
  REQUIRE(t.hover(t.a)["contents"] == "back");
  REQUIRE(sent_to(t.dir, "textDocument/didOpen").size() == 3);
}

TEST_CASE("lsp.request: an open document of the same stamp and another text is told, one that was touched is not") {
  TwoFiles t;
  struct stat before{};
  REQUIRE(::stat(t.a.c_str(), &before) == 0);
  (void)t.write_a("fir5t");  // the same size
  timespec times[2] = {before.st_mtim, before.st_mtim};
  REQUIRE(::utimensat(AT_FDCWD, t.a.c_str(), times, 0) == 0);
  (void)t.hover(t.b);
  REQUIRE(sent_to(t.dir, "textDocument/didChange").at(0)["params"]["contentChanges"][0]["text"] == "fir5t");
  const auto told = sent_to(t.dir, "textDocument/didChange").size();
  times[0].tv_sec = times[1].tv_sec -= 100;
  REQUIRE(::utimensat(AT_FDCWD, t.a.c_str(), times, 0) == 0);
  (void)t.hover(t.b);
  REQUIRE(sent_to(t.dir, "textDocument/didChange").size() == told);
}

TEST_CASE("lsp.request: of open documents that have changed 16 MiB are told at once, and the rest is closed") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--large"})}}, dir));
  const auto ask = [&](const std::string& file) {
    REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}}));
  };
  const std::size_t large = std::size_t{9} << 20;
  for (const auto* name : {"a.fake", "b.fake", "c.fake"}) ask(dir.write(name, ""));
  for (const auto* name : {"a.fake", "b.fake"}) dir.write(name, std::string(large, 'x'));
  ask(dir / "c.fake");
  std::set<std::string> told;
  for (const auto& message : sent_to(dir, "textDocument/didChange")) {
    if (message["params"]["contentChanges"][0]["text"] == std::to_string(large))
      told.insert(message["params"]["textDocument"]["uri"]);
  }
  const auto closed = sent_to(dir, "textDocument/didClose");
  REQUIRE(closed.size() == 1);
  told.insert(closed[0]["params"]["textDocument"]["uri"]);
  REQUIRE(told == std::set<std::string>{"file://" + (dir / "a.fake"), "file://" + (dir / "b.fake")});
  host.stop();
}

TEST_CASE("lsp.diagnostics: who waits for those of a file that goes is told so at the next request") {
  TwoFiles t;
  auto waits = t.host.begin("lsp.diagnostics", {{"uri", t.a}, {"wait_ms", 600'000}});
  t.host.wait("the wait", [&] { return server_entry(t.host, "shared")["clients"] == 1; });
  std::filesystem::remove(t.a);
  (void)t.hover(t.b);
  REQUIRE(waits.result().error().kind == ErrorKind::not_found);
}

TEST_CASE("lsp.request: what is told of a file that is gone comes after its document was closed") {
  TwoFiles t;
  std::filesystem::remove(t.a);
  const json files{{"files", {{{"uri", "file://" + t.a}}}}};
  REQUIRE(t.host.call("lsp.request", {{"uri", t.a}, {"method", "workspace/didDeleteFiles"}, {"params", files}}));
  (void)t.hover(t.b);
  const auto since = t.since();
  REQUIRE(since.at(0) == "textDocument/didClose");
  REQUIRE(since.at(1) == "workspace/didDeleteFiles");
}
