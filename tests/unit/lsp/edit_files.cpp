// SPDX-License-Identifier: Apache-2.0
//
// Edits of files: what they make of the disk, all of it or nothing.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <set>

#include "plugins/lsp/edits/plan.hpp"
#include "plugins/lsp/edits/proposals.hpp"
#include "plugins/lsp/edits/write_plan.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using namespace gantry::lsp;

namespace fs = std::filesystem;

namespace {

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Every file and folder, with the files' contents.
std::map<std::string, std::string> all_of(const TempDir& dir) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(dir.path())) {
    const bool file = entry.is_regular_file() && !entry.is_symlink();
    out[fs::relative(entry.path(), dir.path()).string()] = file ? content(entry.path().string()) : "";
  }
  return out;
}

std::string uri(const std::string& path) { return "file://" + path; }
json replace(int line, int from, int to, const std::string& text) {
  return {{"range", {{"start", {{"line", line}, {"character", from}}}, {"end", {{"line", line}, {"character", to}}}}},
          {"newText", text}};
}
json document(const std::string& path, const std::vector<json>& edits, const json& version = nullptr) {
  return {{"textDocument", {{"uri", uri(path)}, {"version", version}}}, {"edits", edits}};
}
json operations(const std::vector<json>& list) { return {{"documentChanges", list}}; }

gantry::Result<Plan> planned(const json& edit, const PlanRules& rules = {}) {
  const auto parsed = workspace_edit_of(edit);
  if (!parsed) return std::unexpected(parsed.error());
  return plan_of(*parsed, rules);
}
Plan plan(const json& edit) {
  auto out = planned(edit);
  if (!out) FAIL(out.error().message);
  return std::move(*out);
}
void write(const TempDir& dir, const json& edit) {
  const auto done = write_plan(plan(edit), dir.path());
  if (!done) FAIL(done.error().message);
}
void refused(const json& edit, ErrorKind kind, const std::string& words) {
  INFO(edit.dump());
  const auto out = planned(edit);
  REQUIRE_FALSE(out);
  INFO(out.error().message);
  REQUIRE(out.error().kind == kind);
  REQUIRE(out.error().message.find(words) != std::string::npos);
}

}  // namespace

TEST_CASE("edits: files are created, renamed, deleted and edited in the order of the operations") {
  TempDir dir;
  const auto a = dir.write("a", "one\n"), b = dir.write("b", "two\n");
  write(dir, operations({document(a, {replace(0, 0, 3, "ONE")}),
                         {{"kind", "rename"}, {"oldUri", uri(a)}, {"newUri", uri(dir / "sub/c")}},
                         document(dir / "sub/c", {replace(0, 3, 3, "!")}),
                         {{"kind", "create"}, {"uri", uri(a)}},
                         document(a, {replace(0, 0, 0, "fresh\n")}),
                         {{"kind", "delete"}, {"uri", uri(b)}}}));
  REQUIRE(all_of(dir) == std::map<std::string, std::string>{{"a", "fresh\n"}, {"sub", ""}, {"sub/c", "ONE!\n"}});
}

TEST_CASE("edits: options of file operations say what holds when a file is there or is not") {
  TempDir dir;
  const auto a = dir.write("a", "one\n"), b = dir.write("b", "two\n");
  const auto with = [](json operation, const json& options) {
    operation["options"] = options;
    return operations({operation});
  };
  const json create{{"kind", "create"}, {"uri", uri(a)}};
  const json rename{{"kind", "rename"}, {"oldUri", uri(a)}, {"newUri", uri(b)}};
  const json remove{{"kind", "delete"}, {"uri", uri(dir / "none")}};
  refused(operations({create}), ErrorKind::conflict, "exists");
  refused(operations({rename}), ErrorKind::conflict, "exists");
  refused(operations({remove}), ErrorKind::conflict, "does not exist");
  refused(operations({json{{"kind", "rename"}, {"oldUri", uri(dir / "none")}, {"newUri", uri(dir / "x")}}}),
          ErrorKind::conflict, "does not exist");
  REQUIRE(plan(with(create, {{"ignoreIfExists", true}})).files.empty());
  REQUIRE(plan(with(rename, {{"ignoreIfExists", true}})).files.empty());
  REQUIRE(plan(with(remove, {{"ignoreIfNotExists", true}})).files.empty());
  const json both{{"overwrite", true}, {"ignoreIfExists", true}};  // overwrite wins
  write(dir, with(rename, both));
  REQUIRE(all_of(dir) == std::map<std::string, std::string>{{"b", "one\n"}});
  write(dir, with({{"kind", "create"}, {"uri", uri(b)}}, both));
  REQUIRE(all_of(dir) == std::map<std::string, std::string>{{"b", ""}});
}

TEST_CASE("edits: folders are renamed and deleted with what is in them, a full one only when that is asked for") {
  TempDir dir;
  dir.write("pkg/a", "a\n");
  dir.write("pkg/in/b", "b\n");
  const json remove{{"kind", "delete"}, {"uri", uri(dir / "pkg")}};
  refused(operations({remove}), ErrorKind::conflict, "not empty");
  write(dir, operations({document(dir / "pkg/in/b", {replace(0, 0, 1, "B")}),
                         {{"kind", "rename"}, {"oldUri", uri(dir / "pkg")}, {"newUri", uri(dir / "lib")}}}));
  REQUIRE(all_of(dir) ==
          std::map<std::string, std::string>{{"lib", ""}, {"lib/a", "a\n"}, {"lib/in", ""}, {"lib/in/b", "B\n"}});
  refused(operations({json{{"kind", "rename"}, {"oldUri", uri(dir / "lib")}, {"newUri", uri(dir / "lib/in/x")}}}),
          ErrorKind::conflict, "part of itself");
  write(dir, operations({json{{"kind", "delete"}, {"uri", uri(dir / "lib")}, {"options", {{"recursive", true}}}}}));
  REQUIRE(all_of(dir).empty());
  fs::create_directory(dir / "empty");
  write(dir, operations({json{{"kind", "delete"}, {"uri", uri(dir / "empty")}}}));
  REQUIRE(all_of(dir).empty());
}

TEST_CASE("edits: several lists of edits of one file are for the same text") {
  TempDir dir;
  const auto a = dir.write("a", "one two\n");
  write(dir, operations({document(a, {replace(0, 0, 3, "first")}), document(a, {replace(0, 4, 7, "second")})}));
  REQUIRE(content(a) == "first second\n");
  refused(operations({document(a, {replace(0, 0, 5, "x")}), document(a, {replace(0, 2, 7, "y")})}),
          ErrorKind::upstream_failed, "overlap");
}

TEST_CASE("edits: a file that is no text, is not there, is a folder, or is for another version is refused") {
  TempDir dir;
  const auto latin = dir.write("latin", "caf\xE9\n"), good = dir.write("good", "x\n");
  const std::vector<json> one{replace(0, 0, 0, "x")};
  refused(operations({document(good, one), document(latin, one)}), ErrorKind::invalid_params, "latin: the file is not");
  refused(operations({document(dir / "none", one)}), ErrorKind::conflict, "does not exist");
  refused(operations({document(dir.path(), one)}), ErrorKind::conflict, "is a folder");
  const auto parsed = workspace_edit_of(operations({document(good, one, 4)}));
  PlanRules rules;
  rules.is_current = [](const std::string&, long long version) { return version == 5; };
  REQUIRE(plan_of(*parsed, rules).error().kind == ErrorKind::conflict);
  REQUIRE(plan_of(*workspace_edit_of(operations({document(good, one, 5)})), rules));
  REQUIRE(plan_of(*workspace_edit_of(operations({document(good, one, 0)})), rules));  // a server that does not know
  rules = {.asked_at_ns = 1, .is_current = {}};
  REQUIRE(plan_of(*parsed, rules).error().message.find("was changed while") != std::string::npos);
  rules.asked_at_ns = file_clock_ns();
  REQUIRE(plan_of(*parsed, rules));
}

TEST_CASE("edits: two names of one file are one file, and a link stays a link") {
  TempDir dir;
  const auto real = dir.write("real/a", "one two\n");
  fs::create_directory_symlink(dir / "real", dir / "alias");
  fs::create_symlink(real, dir / "link");
  ::chmod(real.c_str(), 0640);
  write(dir, operations({document(dir / "alias/a", {replace(0, 0, 3, "1")}),
                         document(dir / "link", {replace(0, 4, 7, "2")})}));
  REQUIRE(content(real) == "1 2\n");
  REQUIRE(fs::is_symlink(dir / "link"));
  struct stat info{};
  REQUIRE(::stat(real.c_str(), &info) == 0);
  REQUIRE((info.st_mode & 07777) == 0640);
  refused(operations({json{{"kind", "delete"}, {"uri", uri(dir / "link")}}}), ErrorKind::conflict, "symbolic link");
  refused(operations({json{{"kind", "rename"}, {"oldUri", uri(dir / "link")}, {"newUri", uri(dir / "x")}}}),
          ErrorKind::conflict, "symbolic link");
}

TEST_CASE("edits: nothing is written when one of the files has changed") {
  TempDir dir;
  const auto a = dir.write("a", "one\n"), b = dir.write("b", "two\n");
  const Plan both = plan(operations({document(a, {replace(0, 0, 3, "1")}), document(b, {replace(0, 0, 3, "2")})}));
  const Plan created =
      plan(operations({document(a, {replace(0, 0, 3, "1")}), {{"kind", "create"}, {"uri", uri(dir / "c")}}}));
  const auto fails = [&](const Plan& edit) {
    const auto before = all_of(dir);
    const auto out = write_plan(edit, dir.path());
    REQUIRE_FALSE(out);
    INFO(out.error().message);
    REQUIRE(out.error().kind == ErrorKind::conflict);
    REQUIRE(out.error().message.find("nothing was changed") != std::string::npos);
    REQUIRE(all_of(dir) == before);
  };
  dir.write("b", "TWO\n");  // of the same size
  fails(both);
  fs::remove(b);
  fails(both);
  fs::create_directory(b);
  fails(both);
  fs::remove(b);
  dir.write("c", "");
  fails(created);
  fs::remove(dir / "c");
  fs::create_symlink("/etc/passwd", dir / "c");
  fails(created);
}

TEST_CASE("edits: nothing outside of the workspace is written, by whatever name") {
  TempDir dir, other;
  const auto outside = other.write("a", "one\n");
  fs::create_directory(dir / "ws");
  const auto inside = dir.write("ws/a", "one\n");
  fs::create_directory_symlink(other.path(), dir / "ws/out");
  fs::create_symlink(outside, dir / "ws/link");
  fs::create_directory(dir / "ws2");
  const auto denied = [&](const json& edit, const std::string& workspace) {
    const auto before = all_of(dir);
    const auto out = write_plan(plan(edit), workspace);
    REQUIRE_FALSE(out);
    INFO(out.error().message);
    REQUIRE(out.error().kind == ErrorKind::permission_denied);
    REQUIRE(all_of(dir) == before);
    REQUIRE(content(outside) == "one\n");
  };
  const std::vector<json> one{replace(0, 0, 3, "1")};
  for (const auto& path : {outside, dir / "ws/out/a", dir / "ws/link"})
    denied(operations({document(inside, one), document(path, one)}), dir / "ws");
  denied(operations({json{{"kind", "create"}, {"uri", uri(dir / "ws/out/new")}}}), dir / "ws");
  denied(operations({json{{"kind", "create"}, {"uri", uri(dir / "ws2/new")}}}), dir / "ws");
  denied(operations({json{{"kind", "rename"}, {"oldUri", uri(inside)}, {"newUri", uri(dir / "ws/out/b")}}}),
         dir / "ws");
  denied(operations({json{{"kind", "create"}, {"uri", uri(dir / "new")}}}), "/");  // no workspace
  REQUIRE(all_of(other) == std::map<std::string, std::string>{{"a", "one\n"}});
  // A folder that becomes a link after the proposal.
  dir.write("ws/sub/a", "one\n");
  const Plan late = plan(operations({document(dir / "ws/sub/a", one)}));
  fs::remove_all(dir / "ws/sub");
  fs::create_directory_symlink(other.path(), dir / "ws/sub");
  const auto out = write_plan(late, dir / "ws");
  REQUIRE(out.error().kind == ErrorKind::conflict);
  REQUIRE(content(outside) == "one\n");
}

TEST_CASE("edits: when a step fails half way all files are put back") {
  TempDir dir;
  const auto a = dir.write("a", "one\n"), b = dir.write("b", "two\n"), d = dir.write("sub/d", "four\n");
  const Plan edit = plan(operations({document(a, {replace(0, 0, 3, "1")}),
                                     {{"kind", "delete"}, {"uri", uri(b)}},
                                     {{"kind", "create"}, {"uri", uri(dir / "made/c")}},
                                     document(d, {replace(0, 0, 4, "4")})}));
  const auto fails = [&](const std::function<void()>& disturb, const std::map<std::string, std::string>& expected) {
    int replaced = 0;
    const auto out = write_plan(edit, dir.path(), [&](const std::string& path) {
      ++replaced;
      if (path == d) disturb();
    });
    REQUIRE(replaced == 4);  // the others had happened
    REQUIRE_FALSE(out);
    INFO(out.error().message);
    REQUIRE(out.error().message.find("nothing was changed") != std::string::npos);
    REQUIRE(all_of(dir) == expected);
  };
  std::map<std::string, std::string> before = all_of(dir);
  before["sub/d"] = "an editor's\n";
  fails([&] { dir.write("sub/d", "an editor's\n"); }, before);
  dir.write("sub/d", "four\n");
  before.erase("sub/d");
  fails([&] { fs::remove(d); }, before);
  dir.write("sub/d", "four\n");
  before["sub/d"] = "";
  fails(
      [&] {
        fs::remove(d);
        fs::create_directory(d);
      },
      before);
  fs::remove(d);
  dir.write("sub/d", "four\n");
  before.erase("sub/d");
  before.erase("sub");
  fails([&] { fs::remove_all(dir / "sub"); }, before);
  dir.write("sub/d", "four\n");
  REQUIRE(write_plan(edit, dir.path()));
  REQUIRE(all_of(dir) == std::map<std::string, std::string>{
                             {"a", "1\n"}, {"made", ""}, {"made/c", ""}, {"sub", ""}, {"sub/d", "4\n"}});
}

TEST_CASE("edits: what somebody writes while files are put back is kept and named") {
  TempDir dir;
  const auto a = dir.write("a", "one\n"), b = dir.write("b", "two\n");
  const Plan edit = plan(operations({document(a, {replace(0, 0, 3, "1")}), document(b, {replace(0, 0, 3, "2")})}));
  const auto out = write_plan(edit, dir.path(), [&](const std::string& path) {
    if (path != b) return;
    dir.write("a", "an editor's\n");  // after its exchange
    fs::remove(b);
  });
  REQUIRE_FALSE(out);
  INFO(out.error().message);
  REQUIRE(out.error().kind == ErrorKind::storage_failed);
  REQUIRE(content(a) == "one\n");
  const auto where = out.error().message.find(" (in ");
  REQUIRE(where != std::string::npos);
  const auto end = out.error().message.find(')', where);
  REQUIRE(content(out.error().message.substr(where + 5, end - where - 5)) == "an editor's\n");
}

TEST_CASE("edits: a full disk or a file that is too large changes nothing") {
  TempDir dir;
  const auto a = dir.write("a", "one\n"), b = dir.write("b", "two\n");
  const Plan edit = plan(
      operations({document(a, {replace(0, 0, 3, "1")}), document(b, {replace(0, 0, 3, std::string(100'000, 'x'))})}));
  const auto before = all_of(dir);
  ::signal(SIGXFSZ, SIG_IGN);  // as the host does
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  rlimit small = limit;
  small.rlim_cur = 50'000;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto out = write_plan(edit, dir.path());
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  REQUIRE_FALSE(out);
  REQUIRE(out.error().kind == ErrorKind::storage_failed);
  REQUIRE(out.error().message.find("nothing was changed") != std::string::npos);
  REQUIRE(all_of(dir) == before);
}

TEST_CASE("edits: a proposal is found by its workspace alone, and for an hour, within bounds") {
  using std::chrono::minutes;
  TempDir dir;
  const auto a = dir.write("a", "one\n");
  const auto make = [&](std::size_t bytes) {
    return plan(operations({document(a, {replace(0, 0, 3, std::string(bytes, 'x'))})}));
  };
  const gantry::TimePoint start{};
  Proposals proposals(7);
  const auto id = proposals.add("/one", make(1), start);
  REQUIRE(proposals.find(id, "/one", start + minutes(60)));
  REQUIRE(proposals.find(id, "/two", start).error().kind == ErrorKind::not_found);
  REQUIRE(proposals.find("edit-0-1", "/one", start).error().message.find("ask for the edit anew") != std::string::npos);
  REQUIRE(proposals.find(id, "/one", start + minutes(61)).error().kind == ErrorKind::not_found);
  REQUIRE(Proposals(8).add("/one", make(1), start) != proposals.add("/one", make(1), start));
  // Another workspace's do not push these out; their own do.
  const auto mine = proposals.add("/mine", make(1), start);
  std::set<std::string> ids;
  for (std::size_t i = 0; i < 3 * Proposals::kMaxCount; ++i) ids.insert(proposals.add("/busy", make(1), start));
  REQUIRE(ids.size() == 3 * Proposals::kMaxCount);
  REQUIRE(proposals.find(mine, "/mine", start));
  const auto left =
      std::ranges::count_if(ids, [&](const auto& each) { return proposals.find(each, "/busy", start).has_value(); });
  REQUIRE(left == static_cast<std::ptrdiff_t>(Proposals::kMaxCount));
  proposals.remove(mine);
  REQUIRE_FALSE(proposals.find(mine, "/mine", start));
  const auto large = proposals.add("/large", make(std::size_t{15} << 20), start);
  for (int i = 0; i < 4; ++i) (void)proposals.add("/large", make(std::size_t{15} << 20), start);
  REQUIRE_FALSE(proposals.find(large, "/large", start));
}
