// SPDX-License-Identifier: Apache-2.0
//
// Questions of a shared server to an editor that does not answer: docs/bounds.md, plugins/lsp/attach.hpp.
#include "tests/unit/lsp/sharing.hpp"

using namespace lsp_test;

namespace {

constexpr std::chrono::seconds kAskTime{30};

/// The answers that the fake server got to its questions.
[[nodiscard]] std::vector<json> answers_to(const TempDir& dir) {
  auto out = sent_to(dir);
  std::erase_if(out, [](const json& message) { return message.contains("method"); });
  return out;
}

}  // namespace

TEST_CASE(
    "sharing bounds: a question to an editor that reads nothing is answered for it and a late answer is dropped") {
  DeafAndOther t;
  const auto [method, wanted] = GENERATE(std::pair<std::string, json>("workspace/applyEdit", false),
                                         std::pair<std::string, json>("window/showMessageRequest", json()));
  t.ask(method);
  t.host.advance(kAskTime);
  t.host.wait("the answer", [&] { return answers_to(t.dir).size() == 1; });
  const auto result = answers_to(t.dir).front()["result"];
  REQUIRE((method == "workspace/applyEdit" ? result["applied"] : result) == wanted);
  t.deaf.stream().credit(100'000);
  const auto question = t.deaf.said(method);
  t.deaf.raw({{"id", question["id"]}, {"result", {{"applied", true}}}});
  REQUIRE(t.deaf.ask("test/echo", {{"x", 1}})["result"]["x"] == 1);
  REQUIRE(answers_to(t.dir).size() == 1);
  t.host.stop();
}

TEST_CASE("sharing bounds: an editor that reads slowly answers its own questions") {
  DeafAndOther t;
  t.ask("workspace/applyEdit");
  (void)t.other.ask("test/flood", {{"count", 10}, {"size", 1}});
  for (int i = 0; i < 3; ++i) {
    t.deaf.stream().credit(1);
    t.host.settle();
    t.host.advance(kAskTime);
    (void)t.other.ask("test/echo");
    REQUIRE(answers_to(t.dir).empty());
  }
  t.deaf.stream().credit(100'000);
  t.deaf.raw({{"id", t.deaf.said("workspace/applyEdit")["id"]}, {"result", {{"applied", true}}}});
  t.host.wait("the answer", [&] { return answers_to(t.dir).size() == 1; });
  REQUIRE(answers_to(t.dir).front()["result"]["applied"] == true);
  t.host.stop();
}

TEST_CASE("sharing bounds: a question is answered for an editor that stops reading long after it was asked") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient deaf(host, {{"server", "fake"}}, 2, 1);
  deaf.initialize(dir.path());
  const bool alone = GENERATE(false, true);  // when the server asks
  std::optional<EditorClient> other;
  const auto join = [&] {
    other.emplace(host, json{{"server", "fake"}}, 100'000, 2);
    other->initialize(dir.path());
    (void)other->ask("test/echo");
  };
  if (!alone) join();
  deaf.send("test/ask", {{"method", "workspace/applyEdit"}, {"params", json::object()}});
  (void)deaf.said("workspace/applyEdit");
  if (alone) join();
  host.advance(kAskTime);
  REQUIRE(answers_to(dir).empty());  // its user may think about it
  (void)other->ask("test/flood", {{"count", 10}, {"size", 1}});
  host.advance(kAskTime);
  host.advance(kAskTime);
  host.wait("the answer", [&] { return answers_to(dir).size() == 1; });
  REQUIRE(answers_to(dir).front()["result"]["applied"] == false);
  host.stop();
}

TEST_CASE("sharing bounds: who comes late and answers no workspace/configuration gets a server of its own") {
  TempDir dir;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir));
  EditorClient a(host, {{"server", "fake"}});
  a.initialize(dir.path());
  const int asked = a.send("test/ask", {{"method", "workspace/configuration"}, {"params", {{"items", json::array()}}}});
  a.raw({{"id", a.said("workspace/configuration")["id"]}, {"result", {1}}});
  (void)a.answer(asked);
  EditorClient late(host, {{"server", "fake"}}, 100'000, 2);
  late.initialize(dir.path());
  const int waits = late.send("test/echo", {{"x", 1}});
  (void)late.said("workspace/configuration");
  REQUIRE(attached(host) == 1);
  host.advance(kAskTime);
  REQUIRE(late.answer(waits)["result"]["x"] == 1);
  REQUIRE(attached(host) == 2);
  REQUIRE(a.ask("test/echo", {{"x", 2}})["result"]["x"] == 2);
  host.stop();
}
