// SPDX-License-Identifier: Apache-2.0
//
// What plugins' helper processes may, and who may have any.
#include "tests/other_user.hpp"
#include "tests/unit/processes/launcher_support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

[[nodiscard]] std::function<void(Config&)> granted(std::vector<std::string> grants) {
  return [grants = std::move(grants)](Config& c) { c.plugins["keeper"].grants = grants; };
}
void put(const std::filesystem::path& file) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << "text\n";
}
[[nodiscard]] json only(const std::filesystem::path& path) { return json{path.string()}; }
/// The test ends as skipped where this kernel has none of it.
void needs(KeeperDaemon& t, const std::string& what) {
  (void)t.spawn("level", {"true"});
  const std::string lacks = "this kernel has no " + what;
  if (t.log_text().find(lacks) != std::string::npos) gantry::test::skip(lacks.c_str());
}

}  // namespace

TEST_CASE("launcher: only a plugin with the grant has helpers, and a refusal names the grant") {
  KeeperDaemon t(granted({"network"}));
  const json cat{{"name", "a"}, {"argv", {"cat"}}};
  for (const char* method : {"process.spawn", "process.kill", "process.wait", "process.list"}) {
    CAPTURE(method);
    const auto client = t.call(method, cat);
    REQUIRE(client.error().kind == ErrorKind::permission_denied);
    REQUIRE(client.error().message.find("\"processes\"") != std::string::npos);
  }
  const auto loafer = t.call("loafer.spawn", cat);
  REQUIRE(loafer.error().kind == ErrorKind::permission_denied);
  REQUIRE(loafer.error().message.find("plugin loafer lacks the grant \"processes\"") != std::string::npos);
  REQUIRE(t.try_spawn("a", {"cat"}).error().kind == ErrorKind::permission_denied);  // its manifest asks in vain
}

TEST_CASE("launcher: a helper reads and writes what it asks for, of what its plugin was granted, wherever links lead") {
  const TempDir dir;
  put(dir.path() / "open" / "file");
  put(dir.path() / "closed" / "file");
  std::filesystem::create_symlink(dir.path() / "closed", dir.path() / "open" / "link");
  KeeperDaemon t(granted({"processes", "read:" + (dir.path() / "open").string(), "write:$STATE"}));
  needs(t, "Landlock");
  const auto reads = [&](const std::filesystem::path& file, const json& asked) {
    return t.says({"sh", "-c", "cat \"$0\" 2>&1", file.string()}, {{"read", asked}});
  };
  const auto open = dir.path() / "open";
  const auto closed = dir.path() / "closed";
  REQUIRE(reads(open / "file", only(open)) == "text");
  REQUIRE(reads(open / "file", json::array()).ends_with("Permission denied"));
  REQUIRE(reads(closed / "file", only(closed)).ends_with("Permission denied"));
  REQUIRE(reads(open / "link" / "file", only(open / "link")).ends_with("Permission denied"));
  REQUIRE(reads(open / "link" / "file", only("/")).ends_with("Permission denied"));
  REQUIRE(reads("/etc/hostname", json::array()).find("denied") == std::string::npos);

  const auto shared = t.dir() / "state" / "shared";
  std::filesystem::create_directories(shared);
  const auto writes = [&](const std::filesystem::path& file) {
    return t.says({"sh", "-c", "(echo text > \"$0\") 2>&1 && echo written", file.string()}, {{"write", only("/")}});
  };
  REQUIRE(writes(shared / "file") == "written");
  REQUIRE(writes(t.dir() / "state" / "keeper" / "file") == "written");  // the plugin's own folder
  REQUIRE(writes(t.dir() / "state" / "file").find("Permission denied") != std::string::npos);
  REQUIRE(writes(open / "file").find("Permission denied") != std::string::npos);
}

TEST_CASE("launcher: a program is executed where the helper may read, and nowhere else") {
  const TempDir dir;
  std::filesystem::copy("/bin/true", dir.path() / "program");
  KeeperDaemon t;
  needs(t, "Landlock");
  const json program{(dir.path() / "program").string()};
  const auto refused = t.try_spawn("a", program);
  REQUIRE(refused.error().kind == ErrorKind::permission_denied);
  REQUIRE(refused.error().message.find("read:PATH") != std::string::npos);
  REQUIRE(t.try_spawn("a", program, {{"read", only(dir.path())}}));
}

TEST_CASE("launcher: a helper has the network when it asks for it and its plugin was granted it") {
  const json connects{"bash", "-c", "(exec 3<>/dev/udp/127.0.0.1/9) 2>/dev/null && echo open || echo closed"};
  {
    KeeperDaemon t;
    needs(t, "seccomp filters");
    REQUIRE(t.says(connects) == "closed");
    REQUIRE(t.says(connects, {{"network", true}}) == "open");
  }
  KeeperDaemon t(granted({"processes"}));
  REQUIRE(t.says(connects, {{"network", true}}) == "closed");
}

TEST_CASE("launcher: a helper has a scrubbed environment, three descriptors, default signals and no privileges") {
  ::setenv("GANTRY_TEST_SECRET", "a key", 1);
  KeeperDaemon t(as_child);
  REQUIRE(t.says({"sh", "-c", "echo $GANTRY_TEST_SECRET,$MINE,$TMPDIR"}, {{"env", {{"MINE", "a b"}}}}) ==
          ",a b," + (t.dir() / "state" / "keeper").string());
  ::unsetenv("GANTRY_TEST_SECRET");
  REQUIRE(t.says({"sh", "-c", "pwd"}) == (t.dir() / "state" / "keeper").string());
  REQUIRE(t.says({"sh", "-c", "pwd"}, {{"cwd", "/usr"}}) == "/usr");
  REQUIRE(t.says({"sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"}) == "0 1 2 3 ");  // 3: what ls lists
  const auto status = [&](const std::string& field) {
    return t.says({"sh", "-c", "grep " + field + ": /proc/self/status | cut -f 2"});
  };
  REQUIRE(status("NoNewPrivs") == "1");
  REQUIRE(status("CapEff") == "0000000000000000");
  REQUIRE(status("SigBlk") == "0000000000000000");
  REQUIRE((std::stoull(status("SigIgn"), nullptr, 16) & 0x7FFFFFFFU) == 0);  // 32 and 33 are the C library's own
  if (!kSanitized) REQUIRE(t.says({"sh", "-c", "ulimit -v"}, {{"max_memory_mib", 512}}) == std::to_string(512 * 1024));
}

TEST_CASE("launcher: a helper cannot signal what is outside of it") {
  KeeperDaemon t;
  needs(t, "seccomp filters");
  if (t.says({"sh", "-c", "kill -0 $PPID 2>/dev/null && echo may || echo may not"}) == "may")
    gantry::test::skip("this kernel's Landlock is older than version 6");
  REQUIRE(t.says({"sh", "-c", "kill -0 " + std::to_string(::getpid()) + " 2>&1"}).find("not permitted") !=
          std::string::npos);
}
