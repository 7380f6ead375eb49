// SPDX-License-Identifier: Apache-2.0
//
// `gantry state` as people type it.
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <set>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string set(Sandbox& box, const std::string& key, int value) {
  const auto done = box.run({"call", "state.settings.set", "key=" + key, "value:=" + std::to_string(value)});
  INFO(done.err);
  REQUIRE(done.code == 0);
  return json::parse(done.out)["epoch"];
}

}  // namespace

TEST_CASE("state commands: a backup is made, listed, and put in the place of the store, which is kept aside") {
  Sandbox box;
  const std::string epoch = set(box, "a", 1);
  const auto made = box.run({"state", "backup"});
  INFO(made.out << made.err);
  REQUIRE(made.code == 0);
  REQUIRE(has(made.out, "  seq 1, "));
  const std::string file = made.out.substr(0, made.out.find(' '));
  REQUIRE(box.run({"state", "backups"}).out == made.out);
  (void)set(box, "a", 2);
  const auto info = box.run({"state", "info"});
  REQUIRE(has(info.out, epoch + ", seq 2"));
  REQUIRE(has(info.out, "1 settings"));
  REQUIRE(box.run({"state", "migrate"}).out == info.out);
  REQUIRE(box.run({"state", "check"}).out == "sound, as of seq 2\n");
  const auto restored = box.run({"state", "restore-backup", file});
  INFO(restored.out << restored.err);
  REQUIRE(restored.code == 0);
  REQUIRE_FALSE(has(restored.out, epoch));
  REQUIRE(json::parse(box.run({"call", "state.settings.get", "key=a"}).out)["value"] == 1);
  const auto unknown = box.run({"state", "restore-backup", "none.db"});
  REQUIRE(unknown.code == 1);
  REQUIRE(has(unknown.err, "there is no backup"));
}

TEST_CASE("state commands: a damaged store is said to be damaged, and the host goes on with what a backup has") {
  Sandbox box;
  const bool child = GENERATE(false, true);
  CAPTURE(child);
  if (child) box.write("config/gantry/gantry.toml", "[plugins.project_state]\nisolation = \"child\"\n");
  (void)set(box, "a", 1);
  REQUIRE(box.run({"state", "backup"}).code == 0);
  (void)set(box, "b", 2);
  const std::string folder = json::parse(box.run({"state", "info", "--json"}).out)["folder"];
  REQUIRE(box.run({"stop"}).code == 0);
  std::filesystem::resize_file(folder + "/state.db", 0);
  REQUIRE(json::parse(box.run({"call", "state.settings.get", "key=a"}).out)["value"] == 1);
  REQUIRE(json::parse(box.run({"call", "state.settings.get", "key=b"}).out)["value"].is_null());
  const auto logs = box.run({"logs"});
  REQUIRE(has(logs.out, "project state was recovered"));
  REQUIRE(has(logs.out, "the file is empty"));
}

TEST_CASE("state commands: what would be deleted is shown before it is, and a wrong command line says so") {
  Sandbox box;
  REQUIRE(box.run({"call", "state.session.create", "name=today's"}).code == 0);
  const auto dry = box.run({"state", "gc", "--stale-days", "1", "--dry-run"});
  REQUIRE(dry.code == 0);
  REQUIRE(dry.out == "0 stale sessions would be deleted\n");
  REQUIRE(box.run({"state", "gc", "--stale-days", "1"}).out == "0 stale sessions deleted\n");
  REQUIRE(box.run({"state", "gc"}).code == 2);
  REQUIRE(box.run({"state"}).code == 2);
  REQUIRE(box.run({"state", "restore-backup"}).code == 2);
}

TEST_CASE("state commands: an archive brings the state of one host to another, also as it was before") {
  Sandbox box;
  (void)set(box, "a", 1);
  (void)set(box, "a", 2);
  REQUIRE(box.run({"call", "state.session.create", "name=one"}).code == 0);
  const std::string file = box.dir() / "state.jsonl";
  const auto out = box.run({"state", "export", file});
  INFO(out.out << out.err);
  REQUIRE(out.code == 0);
  REQUIRE(out.out == "2 objects in " + file + "\n");
  REQUIRE((std::filesystem::status(file).permissions() & std::filesystem::perms::mask) ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  const std::string before = box.dir() / "before.jsonl";
  REQUIRE(box.run({"state", "export", before, "--seq", "1"}).out == "1 objects in " + before + "\n");

  Sandbox other;
  REQUIRE(other.run({"state", "import", file, "--dry-run"}).out ==
          "would be: 2 created, 0 replaced, 0 kept, 0 unchanged\n");
  const auto in = other.run({"state", "import", file});
  INFO(in.out << in.err);
  REQUIRE(in.code == 0);
  REQUIRE(in.out == "2 created, 0 replaced, 0 kept, 0 unchanged\n");
  REQUIRE(json::parse(other.run({"call", "state.settings.get", "key=a"}).out)["value"] == 2);
  const auto clash = other.run({"state", "import", before});
  REQUIRE(clash.code == 1);
  REQUIRE(has(clash.err, "there is another one here"));
  REQUIRE(other.run({"state", "import", before, "--on-conflict", "replace"}).code == 0);
  REQUIRE(json::parse(other.run({"call", "state.settings.get", "key=a"}).out)["value"] == 1);

  // A pipe is written to, and of a link what it leads to is replaced.
  const std::string pipe = other.dir() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const pid_t into = other.start({"state", "export", pipe}, "piped");
  std::ifstream from_pipe(pipe);
  const std::string piped{std::istreambuf_iterator<char>(from_pipe), {}};
  REQUIRE(other.wait(into) == 0);
  REQUIRE(has(piped, "{\"end\":2}\n"));
  REQUIRE(std::filesystem::is_fifo(pipe));
  REQUIRE(other.run({"state", "export", "/dev/null"}).code == 0);
  REQUIRE(std::filesystem::is_character_file("/dev/null"));
  const std::string link = other.dir() / "link";
  other.write("target", "before");
  std::filesystem::create_symlink(other.dir() / "target", link);
  REQUIRE(other.run({"state", "export", link}).code == 0);
  REQUIRE(std::filesystem::is_symlink(link));
  REQUIRE(has(other.read("target"), "{\"end\":2}\n"));

  // To standard output, and a second time over the file.
  const auto text = other.run({"state", "export", "-"});
  REQUIRE(has(text.out, "{\"end\":2}\n"));
  REQUIRE(has(text.err, "2 objects"));
  REQUIRE(other.run({"state", "export", before}).code == 0);
  REQUIRE(other.run({"state", "export", other.dir() / "none" / "x"}).code == 1);
  REQUIRE(other.run({"state", "export", before, "--seq", "99"}).code == 1);
  for (const auto& entry : std::filesystem::directory_iterator(box.dir()))
    REQUIRE_FALSE(has(entry.path().string(), ".part-"));
}

TEST_CASE("state commands: a file that is no whole archive changes nothing, and the place is named") {
  Sandbox box;
  const auto refused = [&](const std::string& text, const std::string& why) {
    box.write("archive", text);
    const auto done = box.run({"state", "import", box.dir() / "archive"});
    CAPTURE(text, done.err);
    REQUIRE(done.code == 1);
    REQUIRE(has(done.err, why));
    REQUIRE(has(box.run({"state", "info"}).out, ", seq 0"));
  };
  const std::string header = "{\"gantry_archive\":1,\"epoch\":\"e\",\"seq\":1,\"at_ms\":1}\n";
  const std::string setting =
      "{\"type\":\"setting\",\"object\":{\"key\":\"k\",\"value\":1,\"scope\":\"user\",\"rev\":1}}\n";
  refused("", "line 1: this is no archive");
  refused("{}\n", "line 1: this is no archive");
  refused("{\"gantry_archive\":2}\n", "line 1: an archive of version 2");
  refused(header, "line 2: the archive ends here");
  refused(header + setting, "line 3: the archive ends here");
  refused(header + setting + "{\"end\":2}\n", "line 3: the archive does not end with {\"end\": 1}");
  refused(header + setting + "{\"end\":1}\n" + setting, "line 4: there is more behind the end");
  refused(header + std::string(100'000, '[') + "\n", "line 2: malformed JSON");
  const std::string deep = std::string(5000, '[') + std::string(5000, ']');
  refused(header + "{\"type\":\"setting\",\"object\":{\"key\":\"k\",\"scope\":\"user\",\"value\":" + deep +
              "}}\n{\"end\":1}\n",
          "line 2: objects[0]: an object may be nested 64 levels deep");
  refused(header + setting + "nonsense\n", "line 3: malformed JSON");
  refused(header + "[]\n{\"end\":0}\n", "line 2: a line must be");
  refused(header + std::string(5 << 20, ' ') + "\n", "line 2: longer than 4 MiB");
  refused(header + "{\"type\":\"room\",\"object\":{}}\n{\"end\":1}\n", "type must be");
  REQUIRE(box.run({"state", "import", box.dir() / "none"}).code == 1);
  REQUIRE(has(box.run({"state", "import", box.dir()}).err, "no regular file"));
  REQUIRE(has(box.run({"state", "import", "-"}).err, "name a file instead of -"));
  // The newline of the last line may be missing.
  box.write("archive", header + setting + "{\"end\":1}");
  REQUIRE(box.run({"state", "import", box.dir() / "archive"}).code == 0);
}

TEST_CASE("state commands: a part whose event would be too large goes in by halves") {
  Sandbox box;
  std::string text = "{\"gantry_archive\":1,\"epoch\":\"e\",\"seq\":1,\"at_ms\":1}\n";
  const std::string folder = "/" + std::string(1000, 'w');
  for (int i = 0; i < 1500; ++i) {
    const json setting{{"key", "k" + std::to_string(i)}, {"value", i}, {"scope", "workspace"}, {"workspace", folder}};
    text += dump_json({{"type", "setting"}, {"object", setting}}) + "\n";
  }
  box.write("archive", text + "{\"end\":1500}\n");
  const auto done = box.run({"state", "--json", "import", box.dir() / "archive"});
  INFO(done.err);
  REQUIRE(json::parse(done.out) ==
          json({{"created", 1500}, {"replaced", 0}, {"kept", 0}, {"unchanged", 0}, {"parts", 2}}));
}

// elastic/kibana#81560
TEST_CASE("state commands: what a host exports it takes in, whatever its limits are") {
  Sandbox box;
  box.write("config/gantry/gantry.toml", "[host]\nmax_message_bytes = 1048576\n");
  const std::string deep = std::string(62, '[') + std::string(62, ']');
  const auto deepest = box.run({"call", "state.settings.set", "key=deep", "value:=" + deep});
  INFO(deepest.err);
  REQUIRE(deepest.code == 0);
  const std::string large(50'000, '"');  // twice as much as text
  for (int i = 0; i < 12; ++i) {
    const json attributes{{"text", large + std::to_string(i)}};
    const auto made =
        box.run({"call", "state.session.create", "name=n" + std::to_string(i), "attributes:=" + attributes.dump()});
    INFO(made.err);
    REQUIRE(made.code == 0);
  }
  const std::string file = box.dir() / "archive";
  const auto out = box.run({"state", "export", file});
  INFO(out.err);
  REQUIRE(out.out == "13 objects in " + file + "\n");
  Sandbox other;
  other.write("config/gantry/gantry.toml", "[host]\nmax_message_bytes = 1048576\n");
  const auto in = other.run({"state", "import", file});
  INFO(in.err);
  REQUIRE(in.out == "13 created, 0 replaced, 0 kept, 0 unchanged\n");
  REQUIRE(json::parse(other.run({"call", "state.settings.get", "key=deep"}).out)["value"].dump() == deep);
}

TEST_CASE(
    "state commands: an archive that is larger than a transaction goes in part by part, and goes on when repeated") {
  Sandbox box;
  std::string text = "{\"gantry_archive\":1,\"epoch\":\"e\",\"seq\":1,\"at_ms\":1}\n";
  constexpr int kObjects = 5003;
  for (int i = 0; i < kObjects; ++i) {
    const json setting{{"key", "k" + std::to_string(i)}, {"value", i}, {"scope", "user"}};
    text += dump_json({{"type", "setting"}, {"object", setting}}) + "\n";
  }
  box.write("archive", text + "{\"end\":5003}\n");
  (void)set(box, "k5000", 1);
  const auto tried = box.run({"state", "import", box.dir() / "archive", "--dry-run"});
  REQUIRE(has(tried.err, "is imported in 2 parts"));
  const auto half = box.run({"state", "import", box.dir() / "archive"});
  REQUIRE(half.code == 1);
  REQUIRE(has(half.err, "line 5002: objects[0] (k5000): there is another one here"));
  REQUIRE(has(half.err, "the 1 parts before are imported"));
  (void)set(box, "k5000", 5000);
  const auto done = box.run({"state", "--json", "import", box.dir() / "archive"});
  INFO(done.out << done.err);
  const json counts = json::parse(done.out);
  REQUIRE(counts["created"] > 0);
  REQUIRE(counts["created"].get<int>() + counts["unchanged"].get<int>() == kObjects);
  REQUIRE(json::parse(box.run({"state", "--json", "import", box.dir() / "archive"}).out) ==
          json({{"created", 0}, {"replaced", 0}, {"kept", 0}, {"unchanged", kObjects}, {"parts", 2}}));
}

TEST_CASE("state commands: a profile is a trace in Chrome's format, to standard output or to a file") {
  Sandbox box;
  (void)set(box, "a", 1);
  const auto out = box.run({"state", "profile", "1"});
  INFO(out.err);
  REQUIRE(out.code == 0);
  REQUIRE(json::parse(out.out)["traceEvents"].size() == 4);
  REQUIRE(has(out.err, "4 entries; open them"));
  const std::string file = box.dir() / "trace.json";
  REQUIRE(box.run({"state", "profile", "1", "--output", file}).out.empty());
  REQUIRE(json::parse(box.read("trace.json"))["displayTimeUnit"] == "ms");
  REQUIRE(box.run({"state", "profile", "1", "--output", box.dir() / "none" / "x"}).code == 1);
  REQUIRE(box.run({"state", "profile", "0"}).code == 2);
}

// GANTRY_CRASH_LOOPS: more of them.
TEST_CASE("state commands: of two hosts that start at once on a state folder one has it, and the other says who") {
  Sandbox box;
  const char* const wanted = std::getenv("GANTRY_CRASH_LOOPS");
  const int rounds = wanted == nullptr ? 5 : std::clamp(std::atoi(wanted), 5, 100);
  for (int round = 1; round <= rounds; ++round) {
    CAPTURE(round);
    const std::array pids{box.start({"serve"}, "a"), box.start({"serve"}, "b")};
    std::array<std::optional<int>, 2> codes;
    eventually("one of them ends", [&] {
      for (std::size_t i = 0; i < 2; ++i) {
        int status = 0;
        if (!codes[i] && ::waitpid(pids[i], &status, WNOHANG) == pids[i]) codes[i] = WEXITSTATUS(status);
      }
      return codes[0] || codes[1];
    });
    const std::size_t loser = codes[0] ? 0 : 1;
    const std::string said = box.read(std::string(loser == 0 ? "a" : "b") + ".err");
    CAPTURE(said);
    REQUIRE(codes[loser] == 1);
    REQUIRE_FALSE(codes[1 - loser]);
    REQUIRE(has(said, "another gantry serves"));
    // What each winner is given is there for the next, which comes after a crash.
    (void)set(box, "k" + std::to_string(round), round);
    REQUIRE(box.host_pid() == pids[1 - loser]);
    const auto list = json::parse(box.run({"call", "state.settings.list"}).out)["items"];
    REQUIRE(list.size() == static_cast<std::size_t>(round));
    ::kill(pids[1 - loser], SIGKILL);
    ::waitpid(pids[1 - loser], nullptr, 0);
  }
  WARN(rounds << " rounds, " << rounds << " acknowledged, 0 lost");
}

TEST_CASE(
    "state commands: what was answered is on the disk when the host has ended, also from memory, also in a hurry") {
  const int signals = GENERATE(1, 2);
  CAPTURE(signals);
  Sandbox box;
  constexpr int kCalls = 200;
  const pid_t pid = box.serve();
  int acknowledged = 0;
  {
    auto client = Client::connect(box.socket());
    REQUIRE(client);
    for (int i = 0; i < kCalls; ++i) {
      const std::string key = "k" + std::to_string(i);
      const char* const durability = i % 2 == 0 ? "D0" : "D2";
      REQUIRE(client->call("state.settings.set", {{"key", key}, {"value", i}, {"durability", durability}}));
      REQUIRE(client->call("state.metrics.record", {{"name", "m"}, {"value", 1}}));
      ++acknowledged;
    }
    for (int i = 0; i < signals; ++i) ::kill(pid, SIGTERM);
  }
  // Who asks twice before the host has ended gets an end at once, which D0 and metrics are not promised to outlive.
  const int code = box.wait(pid);
  const bool in_order = code == 0;
  CAPTURE(code);
  REQUIRE((in_order || (signals == 2 && code == 1)));
  (void)box.serve();
  auto client = Client::connect(box.socket());
  REQUIRE(client);
  const auto settings = client->call("state.settings.list", {{"limit", 1000}});
  REQUIRE(settings);
  std::set<std::string> there;
  for (const auto& item : (*settings)["items"]) there.insert(item["key"].get<std::string>());
  for (int i = 0; i < kCalls; ++i) REQUIRE((there.contains("k" + std::to_string(i)) || (i % 2 == 0 && !in_order)));
  if (!in_order) return;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const auto points = client->call("state.metrics.query",
                                   {{"name", "m"}, {"from", ms - 600'000}, {"to", ms + 60'000}, {"step", 60'000}});
  REQUIRE(points);
  INFO(points->dump());
  int counted = 0;
  for (const auto& point : (*points)["points"]) counted += point["count"].get<int>();
  REQUIRE(counted == acknowledged);
}

// `./dev crash` halts the host for a minute.
TEST_CASE("state commands: a host that stands still for a time goes on, and its clients have missed nothing") {
  const char* const seconds = std::getenv("GANTRY_HALT_SECONDS");
  const bool child = GENERATE(false, true);
  CAPTURE(child);
  Sandbox box;
  if (child) box.write("config/gantry/gantry.toml", "[plugins.project_state]\nisolation = \"child\"\n");
  const pid_t pid = box.serve();
  const std::string epoch = set(box, "before", 1);
  (void)box.start({"state", "watch", "--since", epoch + ":0"}, "watch");
  box.wait_for_text("watch.out", "\"before\"");
  auto client = Client::connect(box.socket());
  REQUIRE(client);
  ::kill(pid, SIGSTOP);
  auto call = std::async(std::launch::async,
                         [&] { return client->call("state.settings.set", {{"key", "during"}, {"value", 2}}); });
  const pid_t status = box.start({"status"}, "status");
  REQUIRE(box.wait(status) != 0);  // the host does not answer
  if (seconds != nullptr) (void)::poll(nullptr, 0, std::atoi(seconds) * 1000);
  ::kill(pid, SIGCONT);
  REQUIRE(call.get());
  (void)set(box, "after", 3);
  box.wait_for_text("watch.out", "\"after\"");
  const std::string seen = box.read("watch.out");
  REQUIRE(seen.find("\"before\"") < seen.find("\"during\""));
  REQUIRE(seen.find("\"during\"") < seen.find("\"after\""));
  REQUIRE(box.host_pid() == pid);
  const auto plugins = json::parse(box.run({"call", "host.plugins"}).out);
  const auto state = std::ranges::find(plugins, "project_state", [](const json& plugin) { return plugin["name"]; });
  CAPTURE(state->dump());
  REQUIRE((*state)["restarts"] == 0);  // a child that the host did not hear was not taken for one that hangs
}
