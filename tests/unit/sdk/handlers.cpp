// SPDX-License-Identifier: Apache-2.0
//
// Handlers of every shape (gantry/plugin/handler.hpp), on the pool and as coroutines, run without a host.
#include <catch2/catch.hpp>
#include <gantry/testing.hpp>

#include "tests/folders.hpp"

using namespace gantry;

namespace {

const std::string kTyped = gantry::folders::build() + "/tests/plugins/typed.so";
const std::string kResumed = gantry::folders::build() + "/tests/plugins/resumed.so";

const json& method(const json& manifest, const std::string& name) {
  for (const auto& entry : manifest["methods"]) {
    if (entry["name"] == name) return entry;
  }
  throw std::runtime_error("no method " + name);
}

}  // namespace

TEST_CASE("handler: a struct is what it takes, and a struct what it answers") {
  testing::TestHost host(kTyped);
  REQUIRE(*host.call("typed.say", {{"text", "a"}, {"times", 2}}) == json{{"said", "aa"}});
  REQUIRE(*host.call("typed.say", {{"text", "a"}, {"_meta", {{"timeout_ms", 5}}}}) == json{{"said", "a"}});
  REQUIRE(*host.call("typed.with_call", {{"text", "a"}}, Duration(-1), 7) == json{{"said", "a"}, {"origin", 7}});
  REQUIRE(*host.call("typed.later", {{"text", "a"}}) == json{{"said", "a"}});
  REQUIRE(*host.call("typed.shout", {{"text", "a"}}) == json{{"said", "a!"}});
  REQUIRE(*host.call("typed.lambda", {{"text", "a"}}) == json{{"said", "a"}});
  REQUIRE(*host.call("typed.nothing") == json::object());
  REQUIRE(*host.call("typed.maybe", {{"text", "a"}}) == json::object());
  host.stop();
}

TEST_CASE("handler: wrong params are refused before it is called, an error is answered as it is") {
  testing::TestHost host(kTyped);
  const auto wrong = host.call("typed.say", {{"text", "a"}, {"times", 11}});
  REQUIRE(wrong.error().kind == ErrorKind::invalid_params);
  REQUIRE(wrong.error().message == "/times must be an integer from 1 to 10, not 11");
  REQUIRE(json::parse(wrong.error().data) == json{{"path", "/times"}});
  REQUIRE(host.call("typed.later", {{"test", "a"}}).error().message ==
          R"(params has an unknown member "test"; did you mean "text"?)");
  REQUIRE(host.call("typed.nothing", {{"a", 1}}).error().kind == ErrorKind::invalid_params);
  REQUIRE(host.call("typed.say", {{"text", "nothing"}}).error() ==
          Error{ErrorKind::not_found, "there is nothing to say", {}});
  REQUIRE(host.call("typed.maybe", {{"text", "a"}, {"times", 2}}).error().kind == ErrorKind::conflict);
  host.stop();
}

TEST_CASE("handler: its types are the manifest's schemas") {
  testing::TestHost host(kTyped);
  const json manifest = host.manifest();
  const json& say = method(manifest, "typed.say");
  REQUIRE(say["idempotent"] == true);
  REQUIRE(say["errors"] == json{"not_found"});
  REQUIRE(say["params"]["required"] == json{"text"});
  REQUIRE(say["params"]["properties"]["times"] ==
          json{{"type", "integer"}, {"minimum", 1}, {"maximum", 10}, {"default", 1}, {"description", "how often"}});
  REQUIRE(say["result"]["required"] == json{"said"});
  REQUIRE_FALSE(say.contains("stream"));
  const json& count = method(manifest, "typed.pooled_count");
  REQUIRE(count["stream"] == true);
  REQUIRE(count["item"]["properties"].contains("n"));
  REQUIRE(method(manifest, "typed.nothing")["params"]["additionalProperties"] == false);
  host.stop();
}

TEST_CASE("handler: settings are a struct, at the start and when they change") {
  testing::TestHost host(kTyped, {{"settings", {{"ending", "?"}}}});
  REQUIRE(*host.call("typed.ending") == json{{"said", "?"}});
  host.reconfigure({{"settings", {{"ending", "!!"}}}});
  REQUIRE(*host.call("typed.ending") == json{{"said", "!!"}});
  host.reconfigure({{"settings", {{"ending", "much too long"}}}});
  REQUIRE(*host.call("typed.ending") == json{{"said", "!!"}});
  REQUIRE(host.log().find("/ending must be a string of at most 3 characters, not of 13") != std::string::npos);
  REQUIRE(host.manifest()["settings_schema"]["properties"]["ending"]["default"] == "!");
  host.stop();
  testing::TestHost wrong(kTyped, {{"settings", {{"endin", "?"}}}});
  REQUIRE(wrong.started() == static_cast<std::int32_t>(ErrorKind::invalid_params));
  REQUIRE(wrong.log().find(R"(settings has an unknown member "endin"; did you mean "ending"?)") != std::string::npos);
}

TEST_CASE("handler: a stream's items are structs") {
  testing::TestHost host(kTyped);
  auto stream = host.open("typed.count", {{"to", 2}}, 8);
  REQUIRE(*stream.next() == json{{"n", 0}});
  REQUIRE(*stream.next() == json{{"n", 1}});
  REQUIRE_FALSE(stream.next());
  REQUIRE(*stream.result() == json{{"said", "done"}});
  REQUIRE(host.call("typed.count", {{"to", 2}}).error().kind == ErrorKind::invalid_request);
  host.stop();
}

TEST_CASE("handler: on the plugin's own thread it hears at once that it is cancelled") {
  testing::TestHost host(kTyped);
  auto spins = host.begin("typed.spins", {{"text", "x"}});
  host.wait("it to run", [&] { return host.log().find("spins") != std::string::npos; });
  spins.cancel();
  REQUIRE(*spins.result() == json{{"said", "heard"}});
  host.stop();
}

TEST_CASE("pool: a handler waits for credit there, and nowhere else") {
  testing::TestHost host(kTyped);
  auto stream = host.open("typed.pooled_count", {{"to", 1000}}, 1);
  REQUIRE(*host.call("typed.say", {{"text", "meanwhile"}}) == json{{"said", "meanwhile"}});
  for (std::uint32_t i = 0; i < 1000; ++i) {
    REQUIRE(*stream.next() == json{{"n", i}});
    stream.credit(1);
  }
  REQUIRE(*stream.result() == json{{"said", "done"}});
  auto serial = host.open("typed.sends_serially", {{"to", 1000}}, 1);
  REQUIRE(serial.result().error().kind == ErrorKind::internal);
  host.stop();
}

TEST_CASE("pool: what waits for credit ends when its call is cancelled") {
  testing::TestHost host(kTyped);
  auto stream = host.open("typed.pooled_count", {{"to", 1000}}, 1);
  REQUIRE(stream.next());
  stream.cancel();
  REQUIRE(stream.result().error().kind == ErrorKind::cancelled);
  host.stop();
}

TEST_CASE("pool: handlers run beside the plugin's thread and hear of their cancelling") {
  testing::TestHost host(kTyped);
  REQUIRE(*host.call("typed.pooled_say", {{"text", "a"}}) == json{{"said", "a"}});
  auto waits = host.begin("typed.pooled_wait");
  host.wait("it to run", [&] { return !waits.progress().empty(); });
  REQUIRE(host.call("typed.say", {{"text", "meanwhile"}}));
  waits.cancel();
  REQUIRE(*waits.result() == json{{"said", "cancelled"}});
  REQUIRE(host.call("typed.pooled_throw").error() ==
          Error{ErrorKind::internal, "typed.pooled_throw failed: thrown on the pool", {}});
  host.stop();
}

TEST_CASE("pool: more calls than wait for it are refused") {
  testing::TestHost host(kTyped);
  std::vector<testing::TestStream> running;
  for (int i = 0; i < 4; ++i) {
    running.push_back(host.begin("typed.pooled_wait"));
    host.wait("it to run", [&] { return !running.back().progress().empty(); });
  }
  std::vector<testing::TestStream> waiting;
  for (int i = 0; i < 256; ++i) waiting.push_back(host.begin("typed.pooled_wait"));
  REQUIRE(host.call("typed.pooled_wait").error().kind == ErrorKind::overloaded);
  waiting.front().cancel();
  for (auto& call : running) call.cancel();
  for (auto& call : waiting) call.cancel();
  REQUIRE(waiting.front().result().error() == Error{ErrorKind::cancelled, "cancelled before its turn", {}});
  host.stop();
}

TEST_CASE("pool: stop cancels what runs there and waits for it") {
  testing::TestHost host(kTyped);
  auto waits = host.begin("typed.pooled_wait");
  host.wait("it to run", [&] { return !waits.progress().empty(); });
  host.stop();
  REQUIRE(host.log().find("the wait has ended") != std::string::npos);
  REQUIRE(*waits.result() == json{{"said", "cancelled"}});
}

TEST_CASE("pool: stop is not answered while a handler runs there, and no other begins") {
  testing::TestHost host(kTyped);
  auto holds = host.begin("typed.pooled_hold", {{"text", "stubborn"}});
  host.wait("it to run", [&] { return !holds.progress().empty(); });
  auto stopping = host.begin_stop();
  REQUIRE_FALSE(stopping.answered());
  REQUIRE(host.call("typed.pooled_say", {{"text", "a"}}).error().kind == ErrorKind::unavailable);
  REQUIRE(host.call("typed.release"));
  REQUIRE(*holds.result() == json{{"said", "released"}});
  REQUIRE(stopping.result());
  host.destroy();
}

TEST_CASE("pool: destroying a plugin that was not told to stop ends what runs there") {
  testing::TestHost host(kTyped);
  auto waits = host.begin("typed.pooled_wait");
  host.wait("it to run", [&] { return !waits.progress().empty(); });
  host.destroy();
  REQUIRE(waits.result());
}

TEST_CASE("thread: a plugin's own has a name, hears of the end and is joined") {
  testing::TestHost host(kTyped);
  REQUIRE(*host.call("typed.thread_name") == json{{"said", "typed-own-threa"}});
  host.stop();
  REQUIRE(host.log().find("the thread has ended") != std::string::npos);
}

TEST_CASE("coroutine: what it returns answers") {
  testing::TestHost host(kResumed);
  REQUIRE(*host.call("resumed.twice", {{"n", 21}}) == json{{"n", 42}});
  REQUIRE(*host.call("resumed.nothing") == json::object());
  REQUIRE(host.call("resumed.twice", {{"m", 21}}).error().kind == ErrorKind::invalid_params);
  REQUIRE(host.call("resumed.throws").error() ==
          Error{ErrorKind::internal, "resumed.throws failed: thrown after a wait", {}});
  const json manifest = host.manifest();
  REQUIRE(method(manifest, "resumed.twice")["result"]["required"] == json{"n"});
  host.stop();
}

TEST_CASE("coroutine: many wait at once, and each goes on when its time has come") {
  testing::TestHost host(kResumed);
  auto late = host.begin("resumed.sleeps", {{"n", 2000}});
  auto soon = host.begin("resumed.sleeps", {{"n", 1000}});
  REQUIRE(*host.call("resumed.under_way") == json{{"n", 2}});
  host.advance(std::chrono::milliseconds(1000));
  REQUIRE(*soon.result() == json{{"n", 1000}});
  REQUIRE(*host.call("resumed.under_way") == json{{"n", 1}});
  host.advance(std::chrono::milliseconds(1000));
  REQUIRE(*late.result() == json{{"n", 2000}});
  host.stop();
}

TEST_CASE("coroutine: goes on on the plugin's thread, whoever wakes it") {
  testing::TestHost host(kResumed);
  std::vector<testing::TestStream> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(host.begin("resumed.hops", {{"n", 20}}));
  for (auto& call : calls) {
    CAPTURE(&call - calls.data());
    REQUIRE(*call.result() == json{{"n", 20}});
  }
  host.stop();
}

TEST_CASE("coroutine: waits for credit") {
  testing::TestHost host(kResumed);
  auto stream = host.open("resumed.counts", {{"n", 600}}, 1);
  for (int i = 0; i < 600; ++i) {
    REQUIRE(*stream.next() == json{{"n", i}});
    stream.credit(1);
  }
  REQUIRE(*stream.result() == json{{"n", 600}});
  auto cancelled = host.open("resumed.counts", {{"n", 600}}, 1);
  REQUIRE(cancelled.next());
  cancelled.cancel();
  REQUIRE(cancelled.result().error().kind == ErrorKind::cancelled);
  host.stop();
}

TEST_CASE("coroutine: is cancelled by its caller, by stop and by the end") {
  testing::TestHost host(kResumed);
  auto called = host.begin("resumed.sleeps", {{"n", 1000}});
  REQUIRE(*host.call("resumed.under_way") == json{{"n", 1}});
  called.cancel();
  REQUIRE(called.result().error().kind == ErrorKind::cancelled);
  REQUIRE(host.pending_timers() == 0);
  auto stopped = host.begin("resumed.sleeps", {{"n", 1000}});
  REQUIRE(*host.call("resumed.under_way") == json{{"n", 1}});
  host.stop();
  REQUIRE(stopped.result().error().kind == ErrorKind::cancelled);

  testing::TestHost other(kResumed);
  auto destroyed = other.begin("resumed.sleeps", {{"n", 1000}});
  REQUIRE(*other.call("resumed.under_way") == json{{"n", 1}});
  other.destroy();
  REQUIRE(destroyed.result().error().kind == ErrorKind::cancelled);
}
