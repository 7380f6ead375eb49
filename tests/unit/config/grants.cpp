// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <host/config/grants.hpp>

#include "tests/unit/config/support.hpp"

using namespace gantry;
using namespace gantry::host;
using config_test::diagnostics;

namespace {

[[nodiscard]] std::vector<Grant> parsed(const std::vector<std::string>& texts) {
  std::vector<Grant> out;
  for (const auto& text : texts) {
    auto grant = parse_grant(text);
    INFO(text);
    REQUIRE(grant);
    out.push_back(std::move(*grant));
  }
  return out;
}
[[nodiscard]] std::vector<std::string> both(const std::vector<std::string>& asked,
                                            const std::vector<std::string>& granted) {
  std::vector<std::string> out;
  for (const auto& grant : effective_grants(parsed(asked), parsed(granted), "/home/u")) out.push_back(to_string(grant));
  return out;
}
[[nodiscard]] std::string refusal(const std::string& text) {
  const auto grant = parse_grant(text);
  return grant ? "" : grant.error().message;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("config: every kind of grant is read, and written as it is read") {
  for (const std::string text :
       {"network", "processes", "client", "read:/", "read:/a/b", "write:~", "write:~/.cache/x", "read:workspace",
        "write:$WORKSPACE/build", "read:$STATE/lsp", "call:state.**", "publish:notes.*", "subscribe:**"}) {
    CAPTURE(text);
    REQUIRE(to_string(parsed({text}).front()) == text);
  }
  REQUIRE(to_string(parsed({"read:/a//./b/"}).front()) == "read:/a/b");
  REQUIRE(to_string(parsed({"read:$WORKSPACE"}).front()) == "read:workspace");
}

TEST_CASE("config: an unknown grant is an error at its place, with the nearest one there is") {
  const auto text = diagnostics("[plugins.notes]\ngrants = [\"network\",\n  \"proceses\"]\n");
  REQUIRE_THAT(text, Catch::StartsWith("g.toml:3:3: error: `plugins.notes.grants`: ") &&
                         Catch::Contains("did you mean \"processes\"?"));
  REQUIRE_THAT(refusal("xyzzyxyzzyxyzzy"), Catch::Contains("there are network, processes, client, read:PATH"));
}

TEST_CASE("config: a grant of a path or a pattern that cannot be one is refused with what it has to be") {
  for (const char* text : {"read", "read:", "read:a/b", "write:/a/../b", "read:~user/x", "read:$HOME", "write:.."}) {
    CAPTURE(text);
    REQUIRE_THAT(refusal(text), Catch::Contains("absolute"));
  }
  for (const char* text : {"call", "call:", "publish:a..b", "subscribe:a b", "call:a.***"}) {
    CAPTURE(text);
    REQUIRE_THAT(refusal(text), Catch::Contains("dotted name"));
  }
  REQUIRE_THAT(refusal("network:8080"), Catch::Contains("write \"network\""));
}

TEST_CASE("config: what is asked for and granted is in force, and of two that overlap the inner one") {
  REQUIRE(both({"network", "processes"}, {"network", "client"}) == Texts{"network"});
  REQUIRE(both({"read:/a"}, {"read:/a/b", "read:/c"}) == Texts{"read:/a/b"});
  REQUIRE(both({"read:/a/b", "read:/ab"}, {"read:/a"}) == Texts{"read:/a/b"});
  REQUIRE(both({"write:/a"}, {"read:/"}) == Texts{"read:/a"});
  REQUIRE(both({"read:/a"}, {"write:/a"}) == Texts{"read:/a"});
  REQUIRE(both({"read:~/x"}, {"read:/home/u"}) == Texts{"read:/home/u/x"});
  REQUIRE(both({"read:workspace"}, {"read:/"}) == Texts{"read:workspace"});
  REQUIRE(both({"read:workspace"}, {"write:$WORKSPACE/build"}) == Texts{"read:$WORKSPACE/build"});
  REQUIRE(both({"call:state.**"}, {"call:state.session.*", "call:ai.*"}) == Texts{"call:state.session.*"});
  REQUIRE(both({"call:state.session.get"}, {"call:**"}) == Texts{"call:state.session.get"});
  REQUIRE(both({"publish:a.**"}, {"subscribe:a.**"}).empty());
  REQUIRE(both({"publish:a.**.b"}, {"publish:a.*.b"}) == Texts{"publish:a.*.b"});
  REQUIRE(both({"publish:a.*"}, {"publish:*.b"}).empty());
}

TEST_CASE("config: a pattern of a grant is compared in linear time, however many `**` are in it") {
  std::string deep;
  std::string other;
  for (int i = 0; i < 15; ++i) {
    deep += "**.";
    other += "a.";
  }
  REQUIRE(both({"call:" + other + "a"}, {"call:" + deep + "never"}).empty());
  REQUIRE(both({"call:" + deep + "never"}, {"call:**"}) == Texts{"call:" + deep + "never"});
  REQUIRE(both({"call:a.**.b.*.c"}, {"call:**.b.**.c"}) == Texts{"call:a.**.b.*.c"});
}

TEST_CASE("config: the places of a grant become the folders that they are") {
  const auto grants =
      parsed({"read:/a", "read:~/x", "read:$STATE/y", "read:workspace", "write:$WORKSPACE/z", "write:/b", "network"});
  const GrantPlaces places{"/home/u", "/state", {"/w1", "/w2"}};
  using Paths = std::vector<GrantedPath>;
  REQUIRE(granted_paths(grants, GrantKind::read, places) ==
          Paths{{"/a", ""}, {"/home/u/x", ""}, {"/state/y", "/state"}, {"/w1", ""}, {"/w2", ""}});
  REQUIRE(granted_paths(grants, GrantKind::write, places) == Paths{{"/w1/z", "/w1"}, {"/w2/z", "/w2"}, {"/b", ""}});
  REQUIRE(granted_paths(grants, GrantKind::read, {}) == Paths{{"/a", ""}});
  REQUIRE(has_grant(grants, GrantKind::network));
  REQUIRE_FALSE(has_grant(grants, GrantKind::processes));
}
