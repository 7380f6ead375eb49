// SPDX-License-Identifier: Apache-2.0
#include "integration/editor.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

void configure_fake_server(Sandbox& box) {
  box.write("config/gantry/gantry.toml",
            "[lsp.servers.fake]\ncommand = [\"" GANTRY_BUILD_DIR "/tests/lsp_fake_server\"]\nlanguages = [\"fake\"]\n");
}

}  // namespace

TEST_CASE("gantry lsp: a host that stands still for a while loses nothing, however much goes both ways") {
  Sandbox box;
  configure_fake_server(box);
  const pid_t host = box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  REQUIRE(editor.initialize(0)["result"].contains("capabilities"));
  constexpr int kRequests = 64;            // so many may wait
  const std::string filler(100'000, 'x');  // more than sockets and pipes hold, in both directions
  ::kill(host, SIGSTOP);
  std::thread writer([&] {
    for (int i = 1; i <= kRequests; ++i) {
      if (!editor.request(i, "test/echo", {{"n", i}, {"filler", filler}})) return;
      if (i == 2) ::kill(host, SIGCONT);
    }
  });
  int answered = 0;
  for (int i = 1; i <= kRequests; ++i) {
    const auto answer = editor.answer_to(i);
    if (answer.contains("result") && answer["result"]["n"] == i && answer["result"]["filler"] == filler) ++answered;
  }
  writer.join();
  REQUIRE(answered == kRequests);
}

TEST_CASE("gantry lsp: an editor whose host is killed is told so and ends with 1") {
  Sandbox box;
  configure_fake_server(box);
  const pid_t host = box.serve();
  StdioEditor editor(box, {"lsp", "--server", "fake"});
  (void)editor.initialize(0);
  ::kill(host, SIGKILL);
  REQUIRE(editor.wait() == 1);
  REQUIRE(box.read("lsp.err") == "gantry lsp: the host is gone\n");
}

TEST_CASE("gantry lsp: what cannot be attached is said on stderr, with 1") {
  Sandbox box;
  configure_fake_server(box);
  const auto ran = box.run({"lsp", "--server", "fakee"});
  REQUIRE(ran.code == 1);
  REQUIRE(ran.err.find("did you mean \"fake\"?") != std::string::npos);
  require_civil(ran);
  REQUIRE(box.run({"stop"}).code == 0);
}
