// SPDX-License-Identifier: Apache-2.0
//
// `gantry state` as people type it.
#include <filesystem>
#include <fstream>

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
