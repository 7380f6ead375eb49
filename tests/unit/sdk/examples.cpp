// SPDX-License-Identifier: Apache-2.0
//
// The examples do what they say.
#include <catch2/catch.hpp>
#include <gantry/testing.hpp>

#include "tests/folders.hpp"

using namespace gantry;
using testing::TestHost;

namespace {
std::string example(const char* name) {
  return std::string(gantry::folders::build() + "/tests/examples/") + name + ".so";
}
}  // namespace

TEST_CASE("examples: hello greets in C++ and in C") {
  TestHost cpp(example("hello"));
  REQUIRE(*cpp.call("hello.greet", {{"name", "Ada"}}) == json{{"text", "Hello, Ada!"}});
  REQUIRE(*cpp.call("hello.greet") == json{{"text", "Hello, world!"}});
  REQUIRE(cpp.call("hello.greet", {{"nome", "Ada"}}).error().kind == ErrorKind::invalid_params);
  cpp.stop();
  TestHost c(example("hello_c"));
  REQUIRE(c.started() == 0);
  REQUIRE(*c.call("hello_c.greet", {{"who", "Ada"}}) == json{{"hello", {{"who", "Ada"}}}});
  c.stop();
}

TEST_CASE("examples: the ticker waits for its caller and says how far it is") {
  TestHost host(example("ticker"));
  auto stream = host.open("ticker.count", {{"to", 1000}}, 10);
  for (int n = 1; n <= 10; ++n) {
    CAPTURE(n);
    REQUIRE(*stream.next() == json{{"n", n}});
  }
  REQUIRE_FALSE(stream.answered());
  stream.credit(2000);
  REQUIRE(*stream.result() == json{{"ticks", 1000}});
  REQUIRE(stream.waiting() == 990);
  REQUIRE(stream.progress().size() == 10);
  REQUIRE(stream.progress().back()["percentage"] == 100);
  REQUIRE(host.event("ticker.counted").payload == json{{"ticks", 1000}});
  auto cancelled = host.open("ticker.count", {{"to", 100'000}}, 1);
  REQUIRE(cancelled.next());
  cancelled.cancel();
  REQUIRE(cancelled.result().error().kind == ErrorKind::cancelled);
  host.stop();
}

TEST_CASE("examples: the greeter gathers what the plugin that it needs answers") {
  TestHost host(example("greeter"));
  REQUIRE(host.manifest()["needs"] == json{{{"id", "hello"}, {"version", "^1"}}});
  REQUIRE(host.manifest()["grants"] == json{"call:hello.*"});
  host.stall(testing::Lane::calls);
  auto welcome = host.begin("greeter.welcome", {{"names", {"Ada", "Alan"}}});
  auto ada = host.made("hello.greet");
  auto alan = host.made("hello.greet");
  alan.answer(json{{"text", "Hi, " + alan.params()["name"].get<std::string>()}});
  REQUIRE_FALSE(welcome.answered());
  ada.answer(json{{"text", "Hi, " + ada.params()["name"].get<std::string>()}});
  REQUIRE(*welcome.result() == json{{"texts", {"Hi, Ada", "Hi, Alan"}}});
  auto refused = host.begin("greeter.welcome", {{"names", {"Ada"}}});
  host.made("hello.greet").answer(fail(ErrorKind::unavailable, "hello is out of order"));
  REQUIRE(refused.result().error().message == "hello is out of order");
  host.stop();
}
