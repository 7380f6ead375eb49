// SPDX-License-Identifier: Apache-2.0
//
// Every message type of the npm package vscode-languageserver-protocol through `gantry lsp`: tests/npm/round_trip_*.js
// generate the messages from the package, drive them and compare the bytes.
#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

TEST_CASE("lsp round trip: each type of the protocol passes in its directions with its bytes as they were") {
  for (const auto& [isolation, share] : {std::pair("inline", "none"), std::pair("child", "same")}) {
    CAPTURE(isolation, share);
    Sandbox box;
    const std::string npm = gantry::folders::source() + "/tests/npm/";
    const std::string modules = gantry::folders::build() + "/npm";
    fs::create_directories(box.work() / ".cache");  // where a server may write
    const auto work = fs::canonical(box.work());
    const auto log = (work / ".cache" / "said").string();
    const json server{"node", npm + "round_trip_server.js", modules, work.string(), log};
    box.write("config/gantry/gantry.toml", "[log]\nstderr = false\n[plugins.lsp]\nisolation = \"" +
                                               std::string(isolation) + "\"\n[lsp.servers.recorder]\ncommand = " +
                                               server.dump() + "\nlanguages = [\"x\"]\nshare = \"" + share + "\"\n");
    (void)box.serve({"--workspace", work.string()});
    const std::vector<std::string> editor{box.program, "--socket", box.socket().string(),
                                          "lsp",       "--server", "recorder"};
    box.program = "/usr/bin/env";
    box.names_socket = false;
    std::vector<std::string> words{"node",  npm + "round_trip_client.js",
                                   modules, work.string(),
                                   log,     gantry::folders::source() + "/docs/editors.md",
                                   share};
    words.insert(words.end(), editor.begin(), editor.end());
    const auto ran = box.run(words);
    INFO(ran.out << ran.err);
    REQUIRE(ran.code == 0);
    const auto counts = json::parse(ran.out);
    REQUIRE(counts["types"] > 90);
    REQUIRE(counts["messages"] > 3 * 90);
  }
}
