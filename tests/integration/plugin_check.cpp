// SPDX-License-Identifier: Apache-2.0
//
// `gantry plugin check` as people and builds run it: what is right passes, what is wrong is said, without a host.
#include "tests/integration/plugin_check.hpp"
#include "tests/folders.hpp"

#include <deque>
#include <regex>

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void pass(const std::vector<fs::path>& libraries) {
  std::deque<Sandbox> boxes;
  std::vector<Checking> running;
  for (const auto& library : libraries) running.emplace_back(boxes.emplace_back(), library);
  for (std::size_t i = 0; i < libraries.size(); ++i) {
    CAPTURE(libraries[i]);
    const auto checked = running[i].wait();
    INFO(checked.document.dump(1));
    REQUIRE(checked.failed().empty());
    REQUIRE(checked.code == 0);
    REQUIRE(checked.document["ok"] == true);
    REQUIRE(checked.document["cases"].size() == 27);
    REQUIRE_FALSE(boxes[i].host_pid());
  }
}

}  // namespace

TEST_CASE("check: plugins of a dozen lines, with handlers of every shape, in plain C and of old pass every case") {
  pass({kTestPlugins / "echo.so", kTestPlugins / "typed.so", kTestPlugins / "plain.so", kTestPlugins / "v1.so",
        kTestPlugins / "bad" / "check_bad.so"});  // which has no fault under this name
}
TEST_CASE("check: the bundled plugins pass every case") {
  const fs::path plugins = gantry::folders::build() + "/plugins";
  pass({plugins / "ai.so", plugins / "lsp.so", plugins / "project_state.so"});
}

TEST_CASE("check: for people there is a line a case, and the counts at the end") {
  Sandbox box;
  const auto ran = box.run({"plugin", "check", (kTestPlugins / "echo.so").string(), "--only", "exports", "--only",
                            "other_threads", "--seed", "5"});
  INFO(ran.out);
  REQUIRE(ran.code == 0);
  REQUIRE(has(ran.out, "echo.so, seed 5\n"));
  REQUIRE(std::regex_search(ran.out, std::regex("\npassed    exports  .* s  gantry_entry alone\n")));
  REQUIRE(std::regex_search(ran.out, std::regex("\n2 cases: 1 passed, 1 skipped, in [0-9.]+ s\n$")));
  require_civil(ran);
}

TEST_CASE("check: a failure says what was expected, what happened and what to do") {
  Sandbox box;
  const auto ran = box.run({"plugin", "check", (kTestPlugins / "bad" / "other_magic.so").string(), "--only", "loads"});
  INFO(ran.out);
  REQUIRE(ran.code == 1);
  REQUIRE(has(ran.out, "failed    loads"));
  for (const char* what : {"\n            expected  it loads", "\n            happened  its gantry_entry",
                           "\n            to do     link what it needs"}) {
    CAPTURE(what);
    REQUIRE(has(ran.out, what));
  }
  REQUIRE(has(ran.out, "\n1 case: 1 failed, in "));
}

TEST_CASE("check: no file, no such file and no such case are wrong usage") {
  Sandbox box;
  const auto none = box.run({"plugin", "check"});
  REQUIRE(none.code == 2);
  REQUIRE(has(none.err, "name the plugin's library"));
  const auto missing = box.run({"plugin", "check", "nowhere.so"});
  REQUIRE(missing.code == 2);
  REQUIRE(has(missing.err, "there is no file nowhere.so"));
  const auto unknown = box.run({"plugin", "check", (kTestPlugins / "echo.so").string(), "--only", "fuz"});
  REQUIRE(unknown.code == 2);
  REQUIRE(has(unknown.err, "no case is named fuz; did you mean fuzz?"));
  const auto both =
      box.run({"plugin", "check", (kTestPlugins / "echo.so").string(), "--seed", "1", "--reproduce", "1"});
  REQUIRE(both.code == 2);
}

TEST_CASE("check: --list names the cases that docs/plugin-check.md has") {
  Sandbox box;
  const auto ran = box.run({"plugin", "check", "--list"});
  REQUIRE(ran.code == 0);
  std::ifstream in(gantry::folders::source() + "/docs/plugin-check.md");
  const std::string document((std::istreambuf_iterator<char>(in)), {});
  std::istringstream lines(ran.out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto name = line.substr(0, line.find(' '));
    INFO(name);
    REQUIRE(has(document, "`" + name + "`"));
  }
  REQUIRE(count == 27);
}

TEST_CASE("check: what a plugin crashes on, logs and leaves running is shown, and ended") {
  Sandbox box;
  const auto ran = check(box, kTestPlugins / "bad" / "bad.so", {"answers_once"});
  const auto one = ran.of("answers_once");
  INFO(one.dump(1));
  REQUIRE(ran.code == 1);
  REQUIRE(one["status"] == "crashed");
  REQUIRE(has(one["happened"], "the plugin's process has ended: "));
  const auto evidence = one["evidence"].dump();
  REQUIRE(has(evidence, "message: call 1 bad.aborts {}"));
}

TEST_CASE("check: processes that a plugin starts end with their case") {
  Sandbox box;
  for (const char* ending : {".so", ".json"})
    fs::copy_file(kTestPlugins / "bad" / (std::string("check_bad") + ending),
                  box.work() / (std::string("leaves_process") + ending));
  REQUIRE(check(box, box.work() / "leaves_process.so", {"answers_once"}).code == 0);
  const std::string pid = box.read("work/leaves_process.pid");
  REQUIRE_FALSE(pid.empty());
  // Killed, but perhaps nobody has waited for it.
  eventually("its end", [&] { return !lives(std::stoi(pid)); });
}

TEST_CASE("check: the folders of the cases are gone afterwards") {
  Sandbox box;
  fs::create_directory(box.dir() / "tmp");
  box.environment.push_back("TMPDIR=" + (box.dir() / "tmp").string());
  const auto checked = check(box, gantry::folders::build() + "/plugins/project_state.so", {"start", "double_create"});
  REQUIRE(checked.code == 0);
  REQUIRE(fs::is_empty(box.dir() / "tmp"));
}
