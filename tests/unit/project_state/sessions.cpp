// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

struct Sessions {
  TempDir dir;
  TestHost host{kPlugin, config(dir.path())};

  json create(const json& params) { return good(host.call("state.session.create", params))["session"]; }
  json get(const std::string& id) { return good(host.call("state.session.get", {{"id", id}}))["session"]; }
};

}  // namespace

TEST_CASE_METHOD(Sessions, "state.session: what was created is got, with every member") {
  const json made = good(host.call("state.session.create", {{"name", "fix parser"},
                                                            {"roots", {"/src/a", "/src/b"}},
                                                            {"branch", "main"},
                                                            {"open_files", {"a.cpp"}},
                                                            {"attributes", {{"theme", {{"dark", true}}}}}}));
  REQUIRE(made["durability"] == "D2");
  REQUIRE(made["seq"] == 1);
  REQUIRE(made["epoch"].get<std::string>().size() == 32);
  const json& session = made["session"];
  REQUIRE(session["rev"] == 1);
  REQUIRE(session["roots"] == json{"/src/a", "/src/b"});
  REQUIRE(session["attributes"]["theme"]["dark"] == true);

  const json got = good(host.call("state.session.get", {{"id", session["id"]}}));
  REQUIRE(got["session"] == session);
  REQUIRE(got["epoch"] == made["epoch"]);
  REQUIRE(got["durability"] == "D2");

  const json bare = create({{"name", "bare"}});
  REQUIRE(bare["roots"] == json::array());
  REQUIRE(bare["open_files"] == json::array());
  REQUIRE(bare["attributes"] == json::object());
  REQUIRE(!bare.contains("branch"));
  REQUIRE(bare["id"] != session["id"]);
}

TEST_CASE_METHOD(Sessions, "state.session: a merge patch changes what it names, and the event carries only that") {
  const json made =
      create({{"name", "n"}, {"branch", "main"}, {"attributes", {{"a", 1}, {"b", {{"c", 2}, {"d", 3}}}}}});
  const json changed = good(host.call(
      "state.session.update",
      {{"id", made["id"]},
       {"rev", 1},
       {"patch", {{"name", "n"}, {"branch", nullptr}, {"attributes", {{"b", {{"c", nullptr}}}, {"e", 1.0}}}}}}));
  REQUIRE(changed["session"]["rev"] == 2);
  REQUIRE(changed["seq"] == 2);
  REQUIRE(!changed["session"].contains("branch"));
  REQUIRE(changed["session"]["attributes"] == json{{"a", 1}, {"b", {{"d", 3}}}, {"e", 1.0}});
  REQUIRE(get(made["id"]) == changed["session"]);

  const auto event = host.event("state.session.updated");
  REQUIRE(event.seq == 2);
  REQUIRE(event.payload["session_id"] == made["id"]);
  REQUIRE(event.payload["from_rev"] == 1);
  REQUIRE(event.payload["rev"] == 2);
  json patch = event.payload["patch"];
  patch.erase("updated_ms");
  REQUIRE(patch == json{{"branch", nullptr}, {"attributes", {{"b", {{"c", nullptr}}}, {"e", 1.0}}}});
}

TEST_CASE_METHOD(Sessions,
                 "state.session: of two changes to one rev the second is a conflict that names the rev held") {
  const json id = create({{"name", "n"}})["id"];
  REQUIRE(host.call("state.session.update", {{"id", id}, {"rev", 1}, {"patch", {{"name", "first"}}}}));
  const auto late = bad(host.call("state.session.update", {{"id", id}, {"rev", 1}, {"patch", {{"name", "second"}}}}));
  REQUIRE(late.kind == ErrorKind::conflict);
  REQUIRE(json::parse(late.data)["rev"] == 2);
  REQUIRE(bad(host.call("state.session.update", {{"id", id}, {"rev", 9}, {"patch", {{"name", "x"}}}})).kind ==
          ErrorKind::conflict);
  REQUIRE(bad(host.call("state.session.delete", {{"id", id}, {"rev", 1}})).kind == ErrorKind::conflict);
  REQUIRE(get(id)["name"] == "first");
  REQUIRE(good(host.call("state.flush"))["seq"] == 2);

  SECTION("a rev that is null waives the comparison; one that is missing does not") {
    REQUIRE(good(host.call("state.session.update",
                           {{"id", id}, {"rev", nullptr}, {"patch", {{"name", "y"}}}}))["session"]["rev"] == 3);
    const auto missing = bad(host.call("state.session.update", {{"id", id}, {"patch", {{"name", "z"}}}}));
    REQUIRE(missing.kind == ErrorKind::invalid_params);
    REQUIRE(missing.message.find("null") != std::string::npos);
  }
}

TEST_CASE_METHOD(Sessions, "state.session: a deleted session is not found, and its deletion is an event") {
  const json id = create({{"name", "n"}})["id"];
  const json gone = good(host.call("state.session.delete", {{"id", id}, {"rev", 1}}));
  REQUIRE(gone["session"]["deleted"] == true);
  REQUIRE(gone["session"]["rev"] == 2);
  const auto event = host.event("state.session.deleted");
  REQUIRE(event.payload == json{{"session_id", id}, {"rev", 2}});
  for (const char* method : {"state.session.get", "state.session.delete"}) {
    CAPTURE(method);
    REQUIRE(bad(host.call(method, {{"id", id}})).kind == ErrorKind::not_found);
  }
  REQUIRE(bad(host.call("state.session.update", {{"id", id}, {"rev", nullptr}, {"patch", json::object()}})).kind ==
          ErrorKind::not_found);
}

TEST_CASE_METHOD(Sessions, "state.session: pages of a list meet without a gap, also while sessions come and go") {
  std::vector<std::string> made;
  for (int i = 0; i < 7; ++i) made.push_back(create({{"name", "s" + std::to_string(i)}})["id"]);
  std::vector<std::string> listed;
  json params{{"limit", 3}};
  while (true) {
    const json page = good(host.call("state.session.list", params));
    REQUIRE(page["items"].size() <= 3);
    for (const auto& item : page["items"]) listed.push_back(item["id"]);
    if (!page.contains("next_cursor")) break;
    params["cursor"] = page["next_cursor"];
    // What lay under the cursor goes: the next page must start behind it all the same.
    if (listed.size() == 3) REQUIRE(host.call("state.session.delete", {{"id", listed.back()}}));
  }
  REQUIRE(listed == made);

  const json filtered = good(host.call("state.session.list", {{"filter", {{"name", "s5"}}}}));
  REQUIRE(filtered["items"].size() == 1);
  REQUIRE(filtered["items"][0]["id"] == json(made[5]));
  create({{"name", "rooted"}, {"roots", {"/r/one", "/r/two"}}, {"branch", "dev"}});
  REQUIRE(good(host.call("state.session.list", {{"filter", {{"root", "/r/two"}}}}))["items"].size() == 1);
  REQUIRE(good(host.call("state.session.list", {{"filter", {{"root", "/r"}}}}))["items"].empty());
  REQUIRE(
      good(host.call("state.session.list", {{"filter", {{"branch", "dev"}, {"name", "rooted"}}}}))["items"].size() ==
      1);
}

TEST_CASE_METHOD(Sessions, "state.session: a cursor that this list did not give is refused") {
  for (int i = 0; i < 3; ++i) create({{"name", "s"}});
  const std::string cursor =
      good(host.call("state.session.list", {{"limit", 1}, {"filter", {{"name", "s"}}}}))["next_cursor"];
  const std::string forged = "2" + cursor.substr(1);
  for (const auto& wrong : {forged, std::string("x"), std::string("1"), cursor + "0", std::string(100, 'a')}) {
    CAPTURE(wrong);
    const auto refused =
        host.call("state.session.list", {{"limit", 1}, {"cursor", wrong}, {"filter", {{"name", "s"}}}});
    REQUIRE(bad(refused).kind == ErrorKind::invalid_params);
  }
  REQUIRE(bad(host.call("state.session.list", {{"cursor", cursor}})).kind == ErrorKind::invalid_params);
  REQUIRE(bad(host.call("state.settings.list", {{"cursor", cursor}})).kind == ErrorKind::invalid_params);
}

TEST_CASE_METHOD(Sessions, "state.session: bad members are refused by name, and nothing is stored") {
  const auto refused = [&](const json& params) { return bad(host.call("state.session.create", params)); };
  REQUIRE(refused(json::object()).message.find("name") != std::string::npos);
  REQUIRE(refused({{"name", ""}}).kind == ErrorKind::invalid_params);
  REQUIRE(refused({{"name", 5}}).kind == ErrorKind::invalid_params);
  REQUIRE(refused({{"name", nullptr}}).kind == ErrorKind::invalid_params);
  REQUIRE(refused({{"name", "a\nb"}}).kind == ErrorKind::invalid_params);
  REQUIRE(refused({{"name", "n"}, {"roots", "/x"}}).kind == ErrorKind::invalid_params);
  REQUIRE(refused({{"name", "n"}, {"roots", {1}}}).kind == ErrorKind::invalid_params);
  REQUIRE(refused({{"name", "n"}, {"attributes", json::array()}}).kind == ErrorKind::invalid_params);
  REQUIRE(refused({{"name", "n"}, {"open_file", json::array()}}).message.find("open_files") != std::string::npos);
  REQUIRE(refused({{"name", std::string(1025, 'n')}}).kind == ErrorKind::too_large);
  REQUIRE(refused({{"name", "n"}, {"attributes", {{"a", std::string(1 << 20, 'x')}}}}).kind == ErrorKind::too_large);
  json deep = 1;
  for (int i = 0; i < 100; ++i) deep = json{{"d", deep}};
  REQUIRE(refused({{"name", "n"}, {"attributes", deep}}).kind == ErrorKind::too_large);

  const json id = create({{"name", "n"}})["id"];
  const auto patch = [&](const json& p) {
    return bad(host.call("state.session.update", {{"id", id}, {"rev", 1}, {"patch", p}}));
  };
  REQUIRE(patch({{"rev", 7}}).kind == ErrorKind::invalid_params);
  REQUIRE(patch({{"id", "x"}}).kind == ErrorKind::invalid_params);
  REQUIRE(patch({{"name", nullptr}}).kind == ErrorKind::invalid_params);
  REQUIRE(patch({{"branches", "x"}}).message.find("branch") != std::string::npos);
  REQUIRE(patch(json::array()).kind == ErrorKind::invalid_params);
  REQUIRE(bad(host.call("state.session.get", {{"id", 5}})).kind == ErrorKind::invalid_params);
  REQUIRE(bad(host.call("state.session.get", {{"id", "nothing"}})).kind == ErrorKind::not_found);
  REQUIRE(good(host.call("state.flush"))["seq"] == 1);
  REQUIRE(get(id)["rev"] == 1);
}

TEST_CASE("state.session: many small patches cannot grow a session past its bound") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path()));
  const json id = good(host.call("state.session.create", {{"name", "n"}}))["session"]["id"];
  const auto grow = [&](const char* member) {
    return host.call(
        "state.session.update",
        {{"id", id}, {"rev", nullptr}, {"patch", {{"attributes", {{member, std::string(600'000, 'x')}}}}}});
  };
  REQUIRE(grow("a"));
  REQUIRE(bad(grow("b")).kind == ErrorKind::too_large);
  REQUIRE(good(host.call("state.session.get", {{"id", id}}))["session"]["rev"] == 2);
}

TEST_CASE("state: the bounds on sessions and on all data are clear errors, and deleting makes room") {
  TempDir dir;
  TestHost host(kPlugin, config(dir.path(), {{"max_sessions", 2}, {"max_data_mib", 1}}));
  const json id = good(host.call("state.session.create", {{"name", "a"}}))["session"]["id"];
  REQUIRE(host.call("state.session.create", {{"name", "b"}}));
  const auto full = bad(host.call("state.session.create", {{"name", "c"}}));
  REQUIRE(full.kind == ErrorKind::too_large);
  REQUIRE(full.message.find("max_sessions") != std::string::npos);
  REQUIRE(host.call("state.session.delete", {{"id", id}}));
  REQUIRE(host.call("state.session.create", {{"name", "c"}}));

  REQUIRE(host.call("state.settings.set", {{"key", "big"}, {"value", std::string(900'000, 'x')}}));
  const auto heavy = bad(host.call("state.settings.set", {{"key", "more"}, {"value", std::string(200'000, 'x')}}));
  REQUIRE(heavy.kind == ErrorKind::too_large);
  REQUIRE(heavy.message.find("max_data_mib") != std::string::npos);
  REQUIRE(host.call("state.settings.set", {{"key", "big"}, {"value", nullptr}}));
  REQUIRE(host.call("state.settings.set", {{"key", "more"}, {"value", std::string(200'000, 'x')}}));

  // The bounds change without a restart.
  host.reconfigure(config(dir.path(), {{"max_sessions", 3}}));
  REQUIRE(host.call("state.session.create", {{"name", "d"}}));
  host.stop();
  check_store(dir.path());
}
