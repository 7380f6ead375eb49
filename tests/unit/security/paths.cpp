// SPDX-License-Identifier: Apache-2.0
//
// What a grant leads to is what it led to first.
#include <sys/resource.h>

#include "host/sandbox/pinned_paths.hpp"
#include "tests/process_stat.hpp"
#include "tests/unit/processes/launcher_support.hpp"
#include "tests/unit/sandbox/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace fs = std::filesystem;

namespace {

/// Two folders, each with a file `a`; what is secret takes the place of the other.
struct Swapped {
  TempDir dir;
  fs::path open = dir.path() / "open";
  fs::path secret = dir.path() / "secret";
  Swapped() {
    put(open / "a");
    put(secret / "a");
  }
  void swap() const {
    fs::rename(open, dir.path() / "away");
    fs::create_directory_symlink(secret, open);
  }
};

}  // namespace

TEST_CASE("security: a path is resolved once, and is another one's from then on only when the user says so") {
  const Swapped s;
  PinnedPaths pins;
  fs::create_directory_symlink(s.open, s.dir.path() / "link");
  const auto first = pins.resolve(s.dir.path() / "link");
  REQUIRE(first);
  REQUIRE(first->path == s.open);
  fs::remove(s.dir.path() / "link");
  fs::create_directory_symlink(s.secret, s.dir.path() / "link");
  REQUIRE(pins.resolve(s.dir.path() / "link")->path == s.open);
  REQUIRE(pins.resolve(s.open)->id == first->id);
  s.swap();
  REQUIRE(pins.resolve(s.open)->id == first->id);
  REQUIRE_FALSE(pins.renew(s.open));  // it is a link now
  fs::remove(s.open);
  fs::create_directory(s.open);
  REQUIRE(pins.renew(s.open));
  REQUIRE_FALSE(pins.renew(s.open));
  REQUIRE(pins.resolve(s.open)->id != first->id);
}

TEST_CASE("security: a path that comes later is taken where it was to be, not by a link") {
  const Swapped s;
  PinnedPaths pins;
  const auto early = s.dir.path() / "x" / "y";
  REQUIRE(pins.resolve(early).error().kind == ErrorKind::not_found);
  fs::create_directory_symlink(s.secret, s.dir.path() / "x");
  put(s.secret / "y" / "a");
  REQUIRE(pins.resolve(early).error().kind == ErrorKind::permission_denied);
  fs::remove(s.dir.path() / "x");
  put(early / "a");
  REQUIRE(pins.resolve(early)->path == early);
}

TEST_CASE("security: a path of a workspace does not lead out of it") {
  const Swapped s;
  PinnedPaths pins;
  fs::create_directory_symlink(s.secret, s.open / "out");
  fs::create_directory(s.open / "in");
  fs::create_directory_symlink(s.open / "in", s.open / "link");
  REQUIRE(pins.resolve(s.open / "out", s.open).error().kind == ErrorKind::permission_denied);
  REQUIRE(pins.resolve(s.open / "link", s.open)->path == s.open / "in");
  REQUIRE(pins.resolve(s.open / "out")->path == s.secret);  // whoever grants that by name means it
  // What is made anew in a workspace is open when that is named anew, and no link is then either.
  const auto before = pins.resolve(s.open / "in", s.open)->id;
  fs::rename(s.open / "in", s.open / "old");
  fs::create_directory(s.open / "in");
  REQUIRE(pins.resolve(s.open / "in", s.open)->id == before);
  REQUIRE(pins.renew(s.open));
  REQUIRE(pins.resolve(s.open / "in", s.open)->id != before);
  REQUIRE(pins.resolve(s.open / "out", s.open).error().kind == ErrorKind::permission_denied);
}

TEST_CASE("security: a path that is granted within a workspace opens nothing outside of it to a plugin") {
  const TempDir dir;
  const auto workspace = dir.path() / "workspace";
  put(workspace / "in" / "a");
  put(dir.path() / "secret" / "a");
  fs::create_directory_symlink(dir.path() / "secret", workspace / "out");
  ConfinedDaemon t([&](Config& c) {
    c.host.workspaces = {workspace.string()};
    grants({"read:$WORKSPACE/in", "read:$WORKSPACE/out"})(c);
  });
  t.needs("landlock");
  REQUIRE(t.tried("asker.reads", at(workspace / "in" / "a")) == 0);
  REQUIRE(t.tried("asker.reads", at(workspace / "out" / "a")) == EACCES);
  REQUIRE(t.tried("asker.reads", at(dir.path() / "secret" / "a")) == EACCES);
}

TEST_CASE("security: a workspace within another that becomes a link opens nothing, to a plugin or a helper") {
  const TempDir dir;
  const auto outer = dir.path() / "outer";
  const auto inner = outer / "inner";
  const auto secret = dir.path() / "secret";
  put(inner / "a");
  put(secret / "a");
  ConfinedDaemon t([&](Config& c) {
    c.host.workspaces = {outer.string(), inner.string()};
    grants({"read:workspace"})(c);
    c.plugins["plain"].enabled = false;
  });
  t.needs("landlock");
  REQUIRE(t.tried("asker.reads", at(inner / "a")) == 0);
  fs::rename(inner, outer / "away");
  fs::create_directory_symlink(secret, inner);
  REQUIRE(t.call("plugin.restart", {{"name", "asker"}}));
  REQUIRE(t.tried("asker.reads", at(secret / "a")) == EACCES);
  REQUIRE(t.tried("asker.reads", at(inner / "a")) == EACCES);
  REQUIRE(t.tried("asker.reads", at(outer / "away" / "a")) == 0);  // it lies in the outer one
  REQUIRE(t.log_text().find(inner.string() + " is granted and is not the file or folder that the host found there") !=
          std::string::npos);
  // The same folder is named again, and is one.
  fs::remove(inner);
  put(inner / "b");
  REQUIRE(t.daemon().open_workspace(inner.string()));
  eventually("the new folder", [&] { return t.tried("asker.reads", at(inner / "b")) == 0; });
}

TEST_CASE("security: a helper is given no workspace that has become a link") {
  const TempDir dir;
  const auto workspace = dir.path() / "workspace";
  const auto secret = dir.path() / "secret";
  put(workspace / "a");
  put(secret / "a");
  KeeperDaemon t([&](Config& c) { c.plugins["keeper"].grants = {"processes", "read:" + workspace.string()}; });
  const auto reads = [&] {
    return t.says({"sh", "-c", "cat \"$0\" 2>&1", (workspace / "a").string()}, {{"read", {workspace.string()}}});
  };
  REQUIRE(reads() == "text");
  fs::rename(workspace, dir.path() / "away");
  fs::create_directory_symlink(secret, workspace);
  REQUIRE(reads().ends_with("Permission denied"));
}

TEST_CASE("security: a plugin's own folder is no link, though another plugin may write where it is") {
  const TempDir dir;
  put(dir.path() / "a");
  ConfinedDaemon t(grants({}));
  t.needs("landlock");
  const auto own = t.dir() / "state" / "prober";
  fs::rename(own, t.dir() / "state" / "away");
  fs::create_directory_symlink(dir.path(), own);
  REQUIRE(t.call("plugin.restart", {{"name", "prober"}}));
  // Nor is that of a plugin which has never been started.
  fs::create_directory_symlink(dir.path(), t.dir() / "state" / "asker");
  for (const std::string plugin : {"prober", "asker"}) {
    CAPTURE(plugin);
    REQUIRE(t.tried(plugin + ".reads", at(dir.path() / "a")) == EACCES);
    REQUIRE(t.tried(plugin + ".writes", at(dir.path() / "new")) == EACCES);
  }
}

TEST_CASE("security: the guard of a helper needs nothing more of the system to end all of it") {
  KeeperDaemon t;
  (void)t.spawn("a", kWithDaemon);
  const int daemon = t.number("a");
  const int main = t.number("a");
  const pid_t guard = parent_of(main);
  const rlimit none{0, 0};
  REQUIRE(::prlimit(guard, RLIMIT_NOFILE, &none, nullptr) == 0);
  REQUIRE(t.ask("process.kill", {{"name", "a"}}));
  REQUIRE(*t.wait("a") == json{{"signal", SIGKILL}});
  REQUIRE_FALSE(lives(daemon));
}
