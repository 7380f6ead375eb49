// SPDX-License-Identifier: Apache-2.0
//
// Panes and layouts, which belong to a session.
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

struct Panes {
  TempDir dir;
  TestHost host{kPlugin, config(dir.path())};
  const std::string session = make_session();

  std::string make_session() { return good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"]; }
  json create(const json& more = json::object()) {
    json params{{"session_id", session}, {"kind", "editor"}};
    params.update(more);
    return good(host.call("state.pane.create", params))["pane"];
  }
  gantry::Result<json> layout(const json& patch, const json& rev = nullptr) {
    return host.call("state.layout.update", {{"session_id", session}, {"rev", rev}, {"patch", patch}});
  }
  std::vector<std::string> topics() {
    settle(host);
    std::vector<std::string> out;
    for (const auto& event : host.events()) out.push_back(event.topic);
    return out;
  }
};

json node(const char* kind, double order, const json& more = json::object()) {
  json out{{"kind", kind}, {"order", order}};
  out.update(more);
  return out;
}

}  // namespace

TEST_CASE_METHOD(Panes, "state.pane: what was created is got and listed, and its events carry only what changed") {
  const json made = create({{"title", "x.cpp"}, {"path", "/src/x.cpp"}, {"attributes", {{"line", 7}}}});
  REQUIRE(made["rev"] == 1);
  REQUIRE(made["session_id"] == session);
  REQUIRE(made["kind"] == "editor");
  const std::string id = made["id"];
  REQUIRE(good(host.call("state.pane.get", {{"id", id}}))["pane"] == made);
  const json changed = good(host.call(
      "state.pane.update", {{"id", id}, {"rev", 1}, {"patch", {{"title", nullptr}, {"attributes", {{"column", 2}}}}}}));
  REQUIRE(changed["pane"]["rev"] == 2);
  REQUIRE_FALSE(changed["pane"].contains("title"));
  REQUIRE(changed["pane"]["attributes"] == json{{"line", 7}, {"column", 2}});
  REQUIRE(good(host.call("state.pane.delete", {{"id", id}, {"rev", 2}}))["pane"]["rev"] == 3);
  REQUIRE(bad(host.call("state.pane.get", {{"id", id}})).kind == ErrorKind::not_found);

  REQUIRE(host.event("state.pane.created").payload == json{{"pane_id", id}, {"session_id", session}, {"pane", made}});
  REQUIRE(host.event("state.pane.updated").payload ==
          json{{"pane_id", id},
               {"session_id", session},
               {"changes", {{"title", nullptr}, {"attributes", {{"column", 2}}}}},
               {"from_rev", 1},
               {"rev", 2}});
  REQUIRE(host.event("state.pane.deleted").payload == json{{"pane_id", id}, {"session_id", session}, {"rev", 3}});
}

TEST_CASE_METHOD(Panes, "state.pane: a list is in the order of creation, by session and kind") {
  const std::string first = create()["id"];
  const std::string second = create({{"kind", "terminal"}})["id"];
  const json other = good(host.call("state.pane.create", {{"session_id", make_session()}, {"kind", "editor"}}))["pane"];
  const auto ids = [&](const json& filter) {
    std::vector<std::string> out;
    json params{{"limit", 1}, {"filter", filter}};
    while (true) {
      const json page = good(host.call("state.pane.list", params));
      for (const auto& item : page["items"]) out.push_back(item["id"]);
      if (!page.contains("next_cursor")) return out;
      params["cursor"] = page["next_cursor"];
    }
  };
  REQUIRE(ids(json::object()) == std::vector<std::string>{first, second, other["id"]});
  REQUIRE(ids({{"session_id", session}}) == std::vector<std::string>{first, second});
  REQUIRE(ids({{"session_id", session}, {"kind", "terminal"}}) == std::vector<std::string>{second});
  REQUIRE(ids({{"session_id", ""}}).empty());
}

TEST_CASE_METHOD(Panes, "state.pane: bad members, other sessions and stale revs are refused, and nothing is stored") {
  const std::string id = create()["id"];
  const auto refused = [&](const json& more) {
    json params{{"session_id", session}, {"kind", "editor"}};
    params.update(more);
    CAPTURE(params.dump());
    return bad(host.call("state.pane.create", params)).kind;
  };
  REQUIRE(refused({{"kind", "browser"}}) == ErrorKind::invalid_params);
  REQUIRE(refused({{"kind", 1}}) == ErrorKind::invalid_params);
  REQUIRE(refused({{"session_id", "none"}}) == ErrorKind::not_found);
  REQUIRE(refused({{"session_id", id}}) == ErrorKind::not_found);  // an id of another type
  REQUIRE(refused({{"title", 1}}) == ErrorKind::invalid_params);
  REQUIRE(refused({{"path", ""}}) == ErrorKind::invalid_params);
  REQUIRE(refused({{"path", std::string(5000, 'p')}}) == ErrorKind::too_large);
  REQUIRE(refused({{"attributes", json::array()}}) == ErrorKind::invalid_params);
  REQUIRE(refused({{"size", 3}}) == ErrorKind::invalid_params);
  const auto update = [&](const json& rev, const json& patch) {
    return bad(host.call("state.pane.update", {{"id", id}, {"rev", rev}, {"patch", patch}})).kind;
  };
  REQUIRE(update(2, {{"title", "t"}}) == ErrorKind::conflict);
  REQUIRE(update(1, {{"kind", "terminal"}}) == ErrorKind::invalid_params);
  REQUIRE(update(1, {{"session_id", "x"}}) == ErrorKind::invalid_params);
  REQUIRE(bad(host.call("state.session.get", {{"id", id}})).kind == ErrorKind::not_found);
  REQUIRE(good(host.call("state.flush"))["seq"] == 2);
}

TEST_CASE_METHOD(Panes, "state.layout: it is empty at rev 0 and without an event before its first update, then whole") {
  const auto get = [&] { return good(host.call("state.layout.get", {{"session_id", session}}))["layout"]; };
  const json empty{{"session_id", session}, {"rev", 0}, {"root", nullptr}, {"nodes", json::object()}};
  REQUIRE(get() == empty);
  REQUIRE(topics().size() == 1);
  const std::string pane = create()["id"];
  const json nodes{{"r", node("row", 0)},
                   {"a", node("pane", 0.5, {{"parent", "r"}, {"size", 0.3}, {"pane_id", pane}})}};
  const json made = good(layout({{"root", "r"}, {"nodes", nodes}}, 0))["layout"];
  REQUIRE(made == json{{"session_id", session}, {"rev", 1}, {"root", "r"}, {"nodes", nodes}});
  REQUIRE(get() == made);
  REQUIRE(host.event("state.layout.changed").payload == json{{"session_id", session}, {"layout", made}});
  const json moved = good(layout({{"nodes", {{"a", {{"size", nullptr}, {"order", 3}}}}}}, 1))["layout"];
  REQUIRE(moved["nodes"]["a"] == json{{"kind", "pane"}, {"order", 3}, {"parent", "r"}, {"pane_id", pane}});
  REQUIRE(bad(layout({{"root", nullptr}}, 1)).kind == ErrorKind::conflict);
  REQUIRE(bad(layout({{"root", nullptr}}, 0)).kind == ErrorKind::conflict);
  host.stop();
  check_store(dir.path());
}

TEST_CASE_METHOD(Panes, "state.layout: one that names what is not there, or leads in a circle, is refused") {
  const std::string pane = create()["id"];
  const std::string elsewhere =
      good(host.call("state.pane.create", {{"session_id", make_session()}, {"kind", "editor"}}))["pane"]["id"];
  const auto refused = [&](const json& nodes, const json& root = nullptr) {
    CAPTURE(nodes.dump());
    const auto error = bad(layout({{"root", root}, {"nodes", nodes}}));
    REQUIRE(error.kind == ErrorKind::invalid_params);
    return error.message;
  };
  REQUIRE(refused({{"a", node("pane", 0, {{"parent", "b"}})}}).find("nodes.a.parent") == 0);
  REQUIRE(refused({{"a", node("r", 0, {{"parent", "b"}})}, {"b", node("r", 0, {{"parent", "a"}})}}).find("circle") !=
          std::string::npos);
  REQUIRE(refused({{"a", node("r", 0, {{"parent", "a"}})}}).find("circle") != std::string::npos);
  REQUIRE(refused({{"a", node("pane", 0, {{"pane_id", "none"}})}}).find("pane_id") != std::string::npos);
  REQUIRE(refused({{"a", node("pane", 0, {{"pane_id", elsewhere}})}}).find("pane_id") != std::string::npos);
  REQUIRE(
      refused({{"a", node("p", 0, {{"pane_id", pane}})}, {"b", node("p", 1, {{"pane_id", pane}})}}).find("another") !=
      std::string::npos);
  REQUIRE(refused({{"a", node("r", 0)}}, "b").find("root") == 0);
  REQUIRE(refused({{"a", {{"kind", "r"}}}}).find("order") != std::string::npos);
  REQUIRE(refused({{"a", node("r", 0, {{"colour", 1}})}}).find("colour") != std::string::npos);
  REQUIRE(refused({{"a", {{"kind", "r"}, {"order", "first"}}}}).find("order") != std::string::npos);
  REQUIRE(bad(layout({{"nodes", json::array()}})).kind == ErrorKind::invalid_params);
  REQUIRE(bad(layout({{"panes", json::object()}})).kind == ErrorKind::invalid_params);
  REQUIRE(good(host.call("state.layout.get", {{"session_id", session}}))["layout"]["rev"] == 0);
}

TEST_CASE_METHOD(Panes, "state.layout: a pane that is deleted leaves the layout first, and what lay in it moves up") {
  const std::string pane = create()["id"];
  REQUIRE(layout({{"root", "r"},
                  {"nodes",
                   {{"r", node("row", 0)},
                    {"a", node("tabs", 1, {{"parent", "r"}, {"pane_id", pane}})},
                    {"b", node("pane", 2, {{"parent", "a"}})}}}}));
  REQUIRE(host.call("state.pane.delete", {{"id", pane}}));
  const json left = good(host.call("state.layout.get", {{"session_id", session}}))["layout"];
  REQUIRE(left["rev"] == 2);
  REQUIRE(left["nodes"] == json{{"r", node("row", 0)}, {"b", node("pane", 2, {{"parent", "r"}})}});
  REQUIRE(topics() == std::vector<std::string>{"state.session.created", "state.pane.created", "state.layout.changed",
                                               "state.layout.changed", "state.pane.deleted"});
}

TEST_CASE_METHOD(Panes, "state.session: what belongs to a session is deleted with it, one event each") {
  const std::string pane = create()["id"];
  (void)create();
  const std::string other = make_session();
  const json kept = good(host.call("state.pane.create", {{"session_id", other}, {"kind", "terminal"}}))["pane"];
  REQUIRE(layout({{"nodes", {{"a", node("pane", 0, {{"pane_id", pane}})}}}}));
  REQUIRE(host.call("state.session.delete", {{"id", session}, {"rev", 1}}));
  const auto all = topics();
  REQUIRE(std::vector(all.end() - 4, all.end()) == std::vector<std::string>{"state.pane.deleted", "state.pane.deleted",
                                                                            "state.layout.deleted",
                                                                            "state.session.deleted"});
  REQUIRE(bad(host.call("state.layout.get", {{"session_id", session}})).kind == ErrorKind::not_found);
  REQUIRE(good(host.call("state.pane.list"))["items"] == json::array({kept}));
  host.stop();
  check_store(dir.path());
}
