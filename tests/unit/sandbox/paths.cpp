// SPDX-License-Identifier: Apache-2.0
//
// Which files a plugin in a process of its own may open.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "host/sandbox/confine.hpp"
#include "tests/folders.hpp"
#include "tests/unit/sandbox/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("sandbox: without grants a plugin writes in its own folder, reads what programs need, and that is all") {
  ConfinedDaemon t;
  t.needs("landlock");
  const std::filesystem::path own = (*t.call("prober.folder"))["path"].get<std::string>();
  REQUIRE(t.tried("prober.writes", at(own / "a")) == 0);
  REQUIRE(t.tried("prober.reads", at(own / "a")) == 0);
  REQUIRE(t.tried("prober.writes", at("b")) == 0);  // it works there
  REQUIRE(std::filesystem::exists(own / "b"));
  REQUIRE(t.tried("prober.reads", at(gantry::folders::build() + "/tests/plugins/prober.json")) == 0);
  REQUIRE(t.tried("prober.reads", at("/etc/passwd")) == 0);
  REQUIRE(t.tried("prober.writes", at("/dev/null")) == 0);
  REQUIRE(t.tried("prober.reads", at("/proc/self/maps")) == 0);

  put(t.dir() / "secret");
  REQUIRE(t.tried("prober.reads", at(t.dir() / "secret")) == EACCES);
  REQUIRE(t.tried("prober.writes", at(t.dir() / "secret")) == EACCES);
  REQUIRE(t.tried("prober.writes", at(t.dir() / "new")) == EACCES);
  REQUIRE(t.tried("prober.reads", at(t.dir() / "state" / "gantry.log")) == EACCES);
  REQUIRE(t.tried("prober.writes", at(gantry::folders::build() + "/tests/plugins/prober.json")) == EACCES);
  REQUIRE(t.tried("prober.writes", at("/etc/passwd")) == EACCES);
  REQUIRE(t.tried("prober.reads", at("/proc/" + std::to_string(::getpid()) + "/environ")) == EACCES);
}

TEST_CASE("sandbox: what a plugin could not open it cannot give another mode either") {
  ConfinedDaemon t;
  t.needs("seccomp");
  put(t.dir() / "secret");
  std::filesystem::permissions(t.dir() / "secret", std::filesystem::perms::owner_read);
  REQUIRE(t.tried("prober.changes_mode", at(t.dir() / "secret")) == EPERM);
}

TEST_CASE("sandbox: of a path that is asked for and one that is granted the inner one is open, as far as both say") {
  const TempDir dir;
  put(dir.path() / "open" / "a");
  put(dir.path() / "closed" / "a");
  ConfinedDaemon t(grants({"write:" + (dir.path() / "open").string(), "write:$STATE"}));
  t.needs("landlock");
  std::filesystem::create_directories(t.dir() / "state" / "shared");
  REQUIRE(t.tried("asker.reads", at(dir.path() / "open" / "a")) == 0);  // it asks to read everything, and not to write
  REQUIRE(t.tried("asker.writes", at(dir.path() / "open" / "a")) == EACCES);
  REQUIRE(t.tried("asker.reads", at(dir.path() / "closed" / "a")) == EACCES);
  REQUIRE(t.tried("asker.writes", at(t.dir() / "state" / "shared" / "a")) == 0);  // it asks for no more of $STATE
  REQUIRE(t.tried("asker.writes", at(t.dir() / "state" / "other")) == EACCES);
  REQUIRE(t.entry("asker")["grants"] ==
          json{"read:" + (dir.path() / "open").string(), "read:$STATE", "write:$STATE/shared"});
}

TEST_CASE("sandbox: a workspace is open by a grant of its own") {
  const TempDir workspace;
  put(workspace.path() / "main.cpp");
  const auto in = [&](std::vector<std::string> granted) {
    ConfinedDaemon t([&](Config& c) {
      c.host.workspaces = {workspace.path().string()};
      grants(std::move(granted))(c);
    });
    t.needs("landlock");
    return t.tried("asker.reads", at(workspace.path() / "main.cpp"));
  };
  REQUIRE(in({"network"}) == EACCES);
  REQUIRE(in({"read:workspace"}) == 0);
}

TEST_CASE("sandbox: a workspace that is opened later is open to those that run already, and their calls go on") {
  const TempDir workspace;
  put(workspace.path() / "main.cpp");
  ConfinedDaemon t(grants({"read:workspace"}));
  t.needs("landlock");
  REQUIRE(t.tried("asker.reads", at(workspace.path() / "main.cpp")) == EACCES);
  const int before = t.entry("prober")["pid"];
  REQUIRE(t.daemon().open_workspace(workspace.path().string()));
  eventually("the workspace", [&] { return t.tried("asker.reads", at(workspace.path() / "main.cpp")) == 0; });
  REQUIRE(t.entry("asker")["restarts"] == 0);
  REQUIRE(t.entry("prober")["pid"] == before);  // it was granted no workspace
}

TEST_CASE("sandbox: the plugin that is given the table of models alone reads the keys that it names") {
  const TempDir keys;
  put(keys.path() / "key");
  put(keys.path() / "other");
  ::setenv("GANTRY_TEST_KEY", "a key", 1);
  const auto has_variable = [](TestDaemon& t, const std::string& plugin) {
    const auto environment = t.call(plugin + ".environment").value();
    return std::any_of(environment.begin(), environment.end(),
                       [](const json& entry) { return entry.get<std::string>().starts_with("GANTRY_TEST_KEY="); });
  };
  ConfinedDaemon t([&](Config& c) {
    c.plugins["keyed"].isolation = Isolation::child;
    c.ai.providers["by_variable"].api_key_env = "GANTRY_TEST_KEY";
    c.ai.providers["by_file"].api_key_file = (keys.path() / "key").string();
  });
  t.needs("landlock");
  REQUIRE(t.tried("keyed.reads", at(keys.path() / "key")) == 0);
  REQUIRE(t.tried("keyed.reads", at(keys.path() / "other")) == EACCES);
  REQUIRE(t.tried("prober.reads", at(keys.path() / "key")) == EACCES);
  REQUIRE(has_variable(t, "keyed"));
  REQUIRE_FALSE(has_variable(t, "prober"));
  ::unsetenv("GANTRY_TEST_KEY");
}

TEST_CASE("sandbox: what is granted and not asked for stays closed") {
  const TempDir dir;
  put(dir.path() / "a");
  ConfinedDaemon t(
      [&](Config& c) { c.plugins["prober"].grants = {"read:" + dir.path().string(), "network", "processes"}; });
  t.needs("landlock");
  REQUIRE(t.tried("prober.reads", at(dir.path() / "a")) == EACCES);
  REQUIRE(t.tried("prober.socket", {{"family", AF_INET}}) == EACCES);
  REQUIRE(t.tried("prober.forks") == EPERM);
  REQUIRE_FALSE(t.entry("prober").contains("grants"));
}

TEST_CASE("sandbox: a plugin that came with the host has what it asks for, any other one what is granted to it") {
  const TempDir elsewhere;
  for (const char* file : {"asker.so", "asker.json"})
    std::filesystem::copy(std::string(gantry::folders::build() + "/tests/plugins/") + file, elsewhere.path() / file);
  const auto in = [](const std::function<void(Config&)>& change) {
    ConfinedDaemon t(change);
    t.needs("seccomp");
    return t.tried("asker.socket", {{"family", AF_INET}});
  };
  const auto from_elsewhere = [&](Config& c) { c.plugins["asker"].path = (elsewhere.path() / "asker.so").string(); };
  REQUIRE(in({}) == 0);
  REQUIRE(in(grants({})) == EACCES);
  REQUIRE(in([&](Config& c) {
            from_elsewhere(c);
            grants({})(c);
          }) == EACCES);
  REQUIRE(in([&](Config& c) {
            from_elsewhere(c);
            grants({"network"})(c);
          }) == 0);
}

TEST_CASE("sandbox: with the network what resolver settings lead to, and what names certificates, can be read") {
  const TempDir dir;
  put(dir.path() / "resolv.conf");
  put(dir.path() / "ca.pem");
  const auto can_read = [&](bool network, const std::filesystem::path& file) {
    const pid_t child = ::fork();
    if (child == 0) {
      constexpr int kSkipped = 2;
      if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          ::mount("none", "/etc", "tmpfs", 0, nullptr) != 0 ||
          ::symlink((dir.path() / "resolv.conf").c_str(), "/etc/resolv.conf") != 0)
        ::_exit(kSkipped);
      (void)::setenv("SSL_CERT_FILE", (dir.path() / "ca.pem").c_str(), 1);
      Confinement confinement;
      confinement.network = network;
      std::vector<std::string> notes;
      const auto level =
          ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? restrict_paths(confinement, notes) : Result<int>(0);
      if (!level || *level == 0) ::_exit(kSkipped);
      ::_exit(::open(file.c_str(), O_RDONLY | O_CLOEXEC) >= 0 ? 0 : 1);
    }
    const int code = gantry::test::exit_code(child);
    if (code == 2) gantry::test::skip("no mount namespace, or no Landlock");
    return code == 0;
  };
  for (const auto& file : {std::filesystem::path("/etc/resolv.conf"), dir.path() / "ca.pem"}) {
    INFO(file);
    REQUIRE(can_read(true, file));
    REQUIRE_FALSE(can_read(false, file));
  }
}

TEST_CASE("sandbox: with the network the variables that name proxies and certificates are passed on, and not without") {
  const char* const kVariable = "https_proxy";
  const std::string old = std::getenv(kVariable) == nullptr ? "" : std::getenv(kVariable);
  (void)::setenv(kVariable, "http://proxy.example:3128", 1);
  Confinement confinement;
  const auto passed = [&] {
    const auto all = scrubbed_environment(confinement);
    return std::ranges::find(all, "https_proxy=http://proxy.example:3128") != all.end();
  };
  const bool without = passed();
  confinement.network = true;
  const bool with = passed();
  old.empty() ? ::unsetenv(kVariable) : ::setenv(kVariable, old.c_str(), 1);
  REQUIRE(with);
  REQUIRE_FALSE(without);
}
