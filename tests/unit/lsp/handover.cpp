// SPDX-License-Identifier: Apache-2.0
//
// What one instance of the lsp plugin leaves for the next at a reload. tests/integration/lsp_reload.cpp has the rest.
#include <future>

#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;

TEST_CASE("lsp reload: what makes no sense is told and left, and its streams say that one attaches anew") {
  TempDir dir;
  const auto file = dir.write("a.fake", "text");
  const auto cbor = [](const json& value) {
    const auto bytes = json::to_cbor(value);
    return std::string(bytes.begin(), bytes.end());
  };
  const std::string whole = cbor({{"format", 5}, {"editors", json::array()}, {"shared", json::array()}});
  for (const auto& [state, logged] :
       {std::pair(std::string("\xff nonsense"), true), std::pair(cbor({{"format", 5}, {"editors", {1, 2}}}), true),
        std::pair(whole.substr(0, whole.size() - 3), true), std::pair(cbor({{"format", 4}}), false),
        std::pair(std::string(), false)}) {
    TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir), state);
    REQUIRE((host.log().find("makes no sense") != std::string::npos) == logged);
    gantry::testing::CallWith with;
    with.credit = 10;
    with.resumes = 7;
    auto stream = host.begin("lsp.attach", {{"server", "fake"}}, std::move(with));
    const auto error = stream.result().error();
    REQUIRE(error.kind == ErrorKind::unavailable);
    REQUIRE(error.message.find("attach anew") != std::string::npos);
    REQUIRE(host.call("lsp.request", {{"uri", file}, {"method", "test/echo"}}));
    host.stop();
  }
}

TEST_CASE("lsp reload: texts beyond the plugin's own bound are not handed over, and missed when the server is gone") {
  TempDir dir;
  const auto config = config_of({{"fake", fake_server(dir)}}, dir);
  std::string given;
  gantry::testing::CallWith with{.credit = 10};
  {
    TestHost host(kPlugin, config);
    EditorClient editor(host, {{"server", "fake"}});
    editor.initialize(dir.path());
    for (const char* name : {"d", "c", "b"}) {  // as text: large documents take their time to be written
      editor.stream().send_text(
          R"({"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///)" +
          std::string(name) + R"(.fake","languageId":"fake","version":1,"text":")" +
          std::string(std::size_t{11} << 20, 'x') + "\"}}}");
    }
    editor.open("file:///a.fake", "small");
    (void)editor.ask("textDocument/hover", {{"textDocument", {{"uri", "file:///a.fake"}}}});
    static_cast<gantry::testing::TestHost&>(host).stop();  // and the next instance comes
    given = host.given().value();
    with.resumes = host.given_streams().at(0);
  }
  REQUIRE(given.size() < std::size_t{1} << 20);
  TestHost next(kPlugin, config, given);
  const auto error = next.begin("lsp.attach", {{"server", "fake"}}, std::move(with)).result().error();
  REQUIRE(error.message.find("too large to be handed over") != std::string::npos);
  next.stop();
}

namespace {

/// Two instances of the plugin in turn, and the processes that the second one takes over.
class Reload {
 public:
  [[nodiscard]] std::function<void(gantry::testing::TestHost&)> serve() const {
    return
        [alone = alone_](gantry::testing::TestHost& host) { gantry::host::test::serve_processes(host, "lsp", alone); };
  }
  /// The first instance has one editor, which `use` speaks for.
  template <class Use>
  void first(const json& config, const std::string& root, Use use) {
    TestHost host(kPlugin, config, serve());
    EditorClient editor(host, {{"server", "fake"}});
    editor.initialize(root);
    use(editor);
    static_cast<gantry::testing::TestHost&>(host).stop();
    given_ = host.given().value();
    stream_ = host.given_streams().at(0);
    alone_->leave();
  }
  [[nodiscard]] const std::string& given() const { return given_; }
  [[nodiscard]] EditorClient resumed(TestHost& next) const {
    return EditorClient::resumed(next, {{"server", "fake"}}, stream_);
  }
  /// From now on the test host that is served alone holds the launcher: its end is that of the host's calls.
  gantry::host::test::LauncherAlone& release() { return *std::exchange(alone_, nullptr); }

 private:
  std::shared_ptr<gantry::host::test::LauncherAlone> alone_ = std::make_shared<gantry::host::test::LauncherAlone>();
  std::string given_;
  std::uint64_t stream_ = 0;
};

}  // namespace

TEST_CASE("lsp reload: what an editor says before its server's process is found again reaches the server") {
  TempDir dir;
  Reload reload;
  const auto config = config_of({{"fake", fake_server(dir)}}, dir);
  int hangs = 0, asks = 0;
  json question;
  reload.first(config, dir.path(), [&](EditorClient& editor) {
    hangs = editor.send("test/hang");
    asks = editor.send("test/ask", {{"method", "test/question"}});
    question = editor.said("test/question")["id"];
  });
  struct HeldUp {
    json params;
    gantry::testing::Reply reply;
  };
  std::promise<HeldUp> held_up;
  TestHost next(kPlugin, config, reload.given(), [&](gantry::testing::TestHost& host) {
    reload.serve()(host);
    host.on_call("process.spawn", [&](const json& params, gantry::testing::Reply reply) {
      held_up.set_value({params, std::move(reply)});
    });
  });
  auto& launcher = reload.release();
  auto editor = reload.resumed(next);
  auto spawn = held_up.get_future().get();
  editor.raw({{"jsonrpc", "2.0"}, {"id", question}, {"result", "answered"}});
  editor.cancel(hangs);
  const auto waits = editor.send("test/echo");
  REQUIRE(server_entry(next, "attached")["state"] == "starting");  // and all of this is taken
  launcher.call("process.spawn", spawn.params, std::move(spawn.reply));
  REQUIRE(editor.answer(asks)["result"]["result"] == "answered");
  REQUIRE(editor.answer(hangs)["error"]["code"] == -32800);
  REQUIRE(editor.answer(waits).contains("result"));
  REQUIRE(sent_to(dir, "initialize").size() == 1);
  next.stop();
}

TEST_CASE("lsp reload: a server is told of settings that the configuration has since") {
  TempDir dir;
  Reload reload;
  const auto with = [&](const json& settings) {
    json server = fake_server(dir);
    server["settings"] = settings;
    return config_of({{"fake", server}}, dir);
  };
  reload.first(with({{"x", 1}}), dir.path(), [](EditorClient& editor) { (void)editor.ask("test/echo"); });
  REQUIRE(sent_to(dir, "workspace/didChangeConfiguration").size() == 1);
  TestHost next(kPlugin, with({{"x", 2}}), reload.given(), reload.serve());
  (void)reload.release();
  auto editor = reload.resumed(next);
  (void)editor.ask("test/echo");
  const auto told = sent_to(dir, "workspace/didChangeConfiguration");
  REQUIRE(told.size() == 2);
  REQUIRE(told.back()["params"]["settings"] == json{{"x", 2}});
  next.stop();
}
