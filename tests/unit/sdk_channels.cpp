// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <gantry/channel/mpsc.hpp>
#include <gantry/channel/oneshot.hpp>

using namespace gantry;

TEST_CASE("mpsc: a full channel refuses try_send and leaves the value alone") {
  auto [tx, rx] = mpsc::channel<std::string>(1);
  REQUIRE(tx.try_send("one"));
  std::string two = "two";
  const auto refused = tx.try_send(std::move(two));
  REQUIRE(!refused);
  REQUIRE(refused.error().kind == ErrorKind::overloaded);
  REQUIRE(two == "two");
  REQUIRE(rx.try_recv() == "one");
}
