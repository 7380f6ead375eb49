// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <gantry/plugin.hpp>
#include <gantry/testing.hpp>

#include "tests/folders.hpp"

using namespace gantry;

namespace {

class Undefined {
 public:
  explicit Undefined(Host) {}
  static void define(Definition<Undefined>& d) {
    d.id("undefined").version("1.0.0");
    throw std::runtime_error("it cannot say what it is");
  }
};

}  // namespace

TEST_CASE("plugin: a dozen lines answer a call") {
  testing::TestHost host(gantry::folders::build() + "/tests/plugins/echo.so");
  REQUIRE(host.started() == 0);
  const auto result = host.call("echo.say", {{"a", 1}});
  REQUIRE(result);
  REQUIRE(*result == json{{"a", 1}});
  REQUIRE(host.call("echo.nothing").error().kind == ErrorKind::method_not_found);
  host.stop();
}

TEST_CASE("plugin: a call that is answered while the host takes no posts leaves with the next message") {
  testing::TestHost host(gantry::folders::build() + "/tests/plugins/faulty.so");
  auto stream = host.open("faulty.flood", {{"items", 3}}, 1);
  REQUIRE(stream.next());
  host.fill(testing::Lane::posts);
  stream.credit(2);  // the answer leaves with the last item
  REQUIRE(stream.result());
  REQUIRE(*host.call("faulty.remembers_flood") == false);
  host.open(testing::Lane::posts);
  host.stop();
}

TEST_CASE("plugin: one whose definition throws describes nothing however often it is asked") {
  using Instance = detail::Instance<Undefined>;
  for (int i = 0; i < 2; ++i) {  // what the first one leaves behind the leak checker finds
    bool told = false;
    Instance::describe(&told, [](void* out, gantry_bytes text) { *static_cast<bool*>(out) = text.size == 0; });
    REQUIRE(told);
  }
}
