// SPDX-License-Identifier: Apache-2.0
//
// What an instance of the lsp plugin makes of the servers that one which has died has left, as the host lists them.
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using gantry::CallAnswer;
using gantry::testing::Lane;
using gantry::testing::Reply;

namespace {

[[nodiscard]] json echo(const std::string& file, const json& params = json::object()) {
  return {{"uri", file}, {"method", "test/echo"}, {"params", params}};
}

/// The last note of each server, in place of the host's. To be read after settle().
using Notes = std::map<std::string, std::string>;
TestHost::Prepare keep_in(Notes& notes) {
  return [&notes](gantry::testing::TestHost& host) {
    host.on_call("process.note", [&notes](const json& params, const Reply& reply) {
      notes[params.at("name")] = params.at("note");
      reply(CallAnswer{});
    });
  };
}

/// What a host says of a server which no instance has asked for.
[[nodiscard]] CallAnswer left_behind(const std::string& note) {
  return {{{"helpers", {{{"name", "left"}, {"pid", 1}, {"claimed", false}, {"note", note}}}}}, {}};
}

}  // namespace

TEST_CASE("lsp recovery: a call that comes before the list of servers waits for it") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir),
                [](gantry::testing::TestHost& to) { to.stall(Lane::calls); });
  auto early = host.begin("lsp.request", echo(file, {{"x", 1}}));
  auto listed = host.made("process.list");
  host.settle();
  REQUIRE(host.waiting(Lane::calls) == 1);  // no server is started in place of one that may be there
  host.open(Lane::calls);
  listed.answer(json{{"helpers", json::array()}});
  REQUIRE(early.result()->at("x") == 1);
  host.stop();
}

TEST_CASE("lsp recovery: calls that wait for the list of servers are told that the plugin stops") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir),
                [](gantry::testing::TestHost& to) { to.stall(Lane::calls); });
  auto early = host.begin("lsp.request", echo(file));
  host.settle();
  host.stop();
  REQUIRE(early.result().error().kind == ErrorKind::unavailable);
}

TEST_CASE("lsp recovery: a server is asked whether it is in order unless its ids would grow too large for some") {
  TempDir dir;
  const auto file = dir.write("a.fake", "");
  const auto config = config_of({{"fake", fake_server(dir)}}, dir);
  json note;
  {
    Notes notes;
    TestHost before(kPlugin, config, keep_in(notes));
    REQUIRE(before.call("lsp.request", echo(file)));
    before.stop();
    note = json::parse(notes.begin()->second);
  }
  for (const auto& [last_id, kept] : {std::pair(2'000'000'000LL, true), std::pair(2'000'000'001LL, false)}) {
    note["last_id"] = last_id;
    TestHost host(kPlugin, config, [](gantry::testing::TestHost& to) { to.stall(Lane::calls); });
    host.made("process.list").answer(left_behind(note.dump()));
    auto asked = host.made(kept ? "process.spawn" : "process.kill");
    REQUIRE(asked.params()["name"] == "left");
    if (!kept) REQUIRE(asked.params()["signal"] == SIGKILL);
    asked.answer(gantry::fail(ErrorKind::not_found, "it has just ended"));
    host.open(Lane::calls);
    host.stop();
  }
}

TEST_CASE("lsp recovery: a server with more documents than a note holds is not one to be taken over") {
  TempDir dir;
  Notes notes;
  TestHost host(kPlugin, config_of({{"fake", fake_server(dir)}}, dir), keep_in(notes));
  std::string folder;
  for (int i = 0; i < 14; ++i) folder += std::string(250, 'x') + "/";
  constexpr std::size_t kMost = std::size_t{64} << 10;
  std::size_t before = 0;
  for (int i = 0; i < 30; ++i) {
    REQUIRE(host.call("lsp.request", echo(dir.write(folder + std::to_string(i) + ".fake", ""))));
    host.settle();
    const auto& note = notes.at(notes.begin()->first);
    if (note.empty()) break;
    REQUIRE(note.size() > before);
    REQUIRE(note.size() <= kMost);
    before = note.size();
  }
  REQUIRE(notes.begin()->second.empty());
  REQUIRE(before > kMost - 2 * folder.size());  // not sooner than it must
  host.stop();

  TestHost next(kPlugin, config_of({{"fake", fake_server(dir)}}, dir),
                [](gantry::testing::TestHost& to) { to.stall(Lane::calls); });
  next.made("process.list").answer(left_behind(""));
  REQUIRE(next.made("process.kill").params()["name"] == "left");
  next.open(Lane::calls);
  next.stop();
}
