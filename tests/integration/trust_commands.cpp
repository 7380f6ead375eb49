// SPDX-License-Identifier: Apache-2.0
//
// `gantry trust` as people type it.
#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void with_wanting(Sandbox& box, int build) {
  const std::string library = gantry::folders::build() + "/tests/plugins/more/wanting_" + std::to_string(build) + ".so";
  box.write("config/gantry/gantry.toml", "[plugins.wanting]\npath = \"" + library + "\"\n");
}

}  // namespace

TEST_CASE("trust commands: what a plugin asks for is shown and without a terminal only --yes agrees to it") {
  Sandbox box;
  with_wanting(box, 3);
  const auto asked = box.run({"trust", "--plugin", "wanting"});  // starts a host
  INFO(asked.out << asked.err);
  REQUIRE(asked.code == 1);
  REQUIRE(has(asked.out, "  call:**  (new)\n  network  (new)\n"));
  REQUIRE(has(asked.err, "there is no terminal to ask on"));
  const auto refused = box.run({"call", "wanting.build"});
  REQUIRE(refused.code == 1);
  REQUIRE(json::parse(refused.err)["data"]["kind"] == "permission_denied");
  REQUIRE(has(box.run({"plugin", "list"}).out, "disabled     inline  it asks for call:**, network"));
  const auto agreed = box.run({"trust", "--plugin", "wanting", "--yes"});
  REQUIRE(agreed.code == 0);
  REQUIRE(has(agreed.out, "\ntrusted\n"));
  REQUIRE(box.run({"call", "wanting.build"}).code == 0);
  REQUIRE(has(box.run({"trust", "--plugin", "wanting"}).out, "nothing waits for trust"));
}

TEST_CASE("trust commands: what was trusted is listed and lasts over a restart until it is revoked") {
  Sandbox box;
  with_wanting(box, 2);
  REQUIRE(box.run({"trust", "--plugin", "wanting", "--yes"}).code == 0);
  REQUIRE(box.run({"stop"}).code == 0);
  REQUIRE(box.run({"call", "wanting.build"}).code == 0);
  const auto list = box.run({"trust", "--list"});
  REQUIRE(has(list.out, "plugin  wanting  "));
  REQUIRE(has(list.out, "        call:echo.*\n"));
  REQUIRE(box.run({"trust", "--plugin", "wanting", "--revoke"}).code == 0);
  REQUIRE(box.run({"call", "wanting.build"}).code == 1);
  REQUIRE(box.run({"trust", "--list"}).out.empty());
  const auto twice = box.run({"trust", "--plugin", "wanting", "--revoke"});
  REQUIRE(twice.code == 1);
  REQUIRE(has(twice.err, "plugin wanting was not trusted"));
}

TEST_CASE("trust commands: a plugin that is not there is said to be so") {
  Sandbox box;
  const auto unknown = box.run({"trust", "--plugin", "wanting", "--yes"});
  REQUIRE(unknown.code == 1);
  REQUIRE(has(unknown.err, "no plugin is named wanting"));
}

TEST_CASE("trust commands: a project's file is shown and trusted as it is and not any more when it changes") {
  Sandbox box;
  box.write("work/.gantry.toml", "[lsp.servers.mine]\ncommand = [\"./mine\"]\nlanguages = [\"mine\"]\n");
  (void)box.serve({"--workspace", box.work().string()});
  const auto status = box.run({"status"});
  REQUIRE(has(status.out, "/work/.gantry.toml: waiting\n"));
  REQUIRE(has(status.out, "waits for `gantry trust`: lsp.servers.mine.command\n"));
  const auto asked = box.run({"trust", box.work().string()});
  REQUIRE(asked.code == 1);
  const std::string mine = (fs::canonical(box.work()) / "mine").string();  // as it would be started
  REQUIRE(has(asked.out, "  lsp.servers.mine.command = [\"" + mine + "\"]  (needs trust)\n"));
  REQUIRE(has(asked.err, "there is no terminal to ask on"));
  const auto agreed = box.run({"trust", box.work().string(), "--yes"});
  INFO(agreed.out << agreed.err);
  REQUIRE(agreed.code == 0);
  REQUIRE(has(box.run({"status"}).out, "/work/.gantry.toml: in_force\n"));
  REQUIRE(has(box.run({"trust", "--list"}).out, "folder  " + fs::canonical(box.work()).string() + "\n"));
  REQUIRE(has(box.run({"trust", box.work().string()}).out, "it is trusted as it is\n"));
  box.write("work/.gantry.toml", "[lsp.servers.mine]\ncommand = [\"./other\"]\nlanguages = [\"mine\"]\n");
  auto client = box.connect();
  REQUIRE(client.call("host.hello", {{"client", "test"}, {"workspace", box.work().string()}}));
  REQUIRE(has(box.run({"status"}).out, "/work/.gantry.toml: waiting\n"));
  REQUIRE(box.run({"trust", box.work().string(), "--revoke"}).code == 0);
  REQUIRE(box.run({"trust", "--list"}).out.empty());
}

TEST_CASE("trust commands: a project's file with an error is said to have it and nothing is trusted") {
  Sandbox box;
  box.write("work/.gantry.toml", "[host]\nworkers = 1\n");
  (void)box.serve({"--workspace", box.work().string()});
  const auto wrong = box.run({"trust", box.work().string(), "--yes"});
  REQUIRE(wrong.code == 1);
  REQUIRE(has(wrong.out, ".gantry.toml:2:11: error: `host.workers` is not for a project to set"));
  REQUIRE(has(wrong.err, "it has errors"));
  REQUIRE(has(box.run({"status"}).out, ".gantry.toml: wrong\n"));
  REQUIRE(box.run({"trust", "--list"}).out.empty());
}
