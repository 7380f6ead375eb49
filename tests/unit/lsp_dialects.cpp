// SPDX-License-Identifier: Apache-2.0
//
// Servers whose libraries write JSON-RPC in a way of their own.
#include "lsp_support.hpp"

using namespace lsp_test;

TEST_CASE("lsp dialects: a server that writes a null error beside each result is answered by its result") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir, {"--error-null"})}}, dir));
  EditorClient editor(host, {{"server", "fake"}});
  REQUIRE(editor.initialize(dir.path())["result"].contains("capabilities"));
  REQUIRE(editor.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  const json call{{"uri", file}, {"method", "test/echo"}, {"params", {{"x", 2}}}};
  REQUIRE(value_of(host.call("lsp.request", call))["x"] == 2);
  host.stop();
}
