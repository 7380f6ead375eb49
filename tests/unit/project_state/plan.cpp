// SPDX-License-Identifier: Apache-2.0
//
// The canonical form of plans, and the tables of turns.
#include "plugins/project_state/plan.hpp"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <regex>
#include <sstream>

#include "plugins/project_state/turn_table.hpp"
#include "tests/unit/project_state/support.hpp"

using namespace gantry::state;
using namespace state_test;

namespace {

std::string canonical(const std::string& text) { return canonical_json(json::parse(text)); }

[[nodiscard]] gantry::Result<TurnTable> with(const std::function<void(TurnTable::Text&)>& change) {
  auto text = TurnTable::standard();
  change(text);
  return TurnTable::make(text);
}

std::string refusal(const std::function<void(TurnTable::Text&)>& change) {
  const auto table = with(change);
  return table ? "it was taken" : table.error().message;
}

}  // namespace

TEST_CASE("plan: the canonical form is that of RFC 8785") {
  // The examples of the RFC.
  REQUIRE(canonical(R"({"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]})") ==
          "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
          "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
  REQUIRE(
      canonical(R"({"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7})") ==
      "{\"\\r\":2,\"1\":4,\"\xc2\x80\":6,\"\xc3\xb6\":7,\"\xe2\x82\xac\":1,\"\xf0\x9f\x98\x80\":5,\"\xef\xac\xb3\":3}");
  const std::vector<std::pair<const char*, const char*>> numbers{{"0", "0"},
                                                                 {"-0", "0"},
                                                                 {"-0.0", "0"},
                                                                 {"1.0", "1"},
                                                                 {"1e21", "1e+21"},
                                                                 {"123456789012345680000.0", "123456789012345680000"},
                                                                 {"5e-324", "5e-324"},
                                                                 {"1.7976931348623157e308", "1.7976931348623157e+308"},
                                                                 {"0.000001", "0.000001"},
                                                                 {"0.0000001", "1e-7"},
                                                                 {"-1.5e-10", "-1.5e-10"},
                                                                 {"9007199254740991", "9007199254740991"},
                                                                 {"100.0", "100"},
                                                                 {"12.34", "12.34"}};
  for (const auto& [text, form] : numbers) {
    CAPTURE(text);
    REQUIRE(canonical(text) == form);
  }
  REQUIRE(canonical("[ ]") == "[]");
  REQUIRE(canonical("{ }") == "{}");
  REQUIRE(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("plan: every number comes back from its canonical form") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    const double value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    CAPTURE(value);
    REQUIRE(json::parse(canonical_json(json(value))).get<double>() == value);
  }
}

TEST_CASE("plan: only I-JSON is a plan, and only the plan has to be") {
  const auto check = [](const std::string& text, std::size_t level = 1) { return check_plans_in(text, level); };
  for (const char* plan : {R"({"a":1,"a":2})", R"([{"b":{"a":1,"a":1}}])", "9007199254740992", "-9007199254740992",
                           "[123456789012345678901234567890]", R"({"a":1,"\u0061":2})"}) {
    CAPTURE(plan);
    REQUIRE(check(std::string(R"({"id":"x","plan":)") + plan + "}").error().kind == ErrorKind::invalid_params);
    REQUIRE(check(std::string(R"({"id":"x","pl\u0061n":)") + plan + "}").error().kind == ErrorKind::invalid_params);
    REQUIRE_FALSE(check(std::string(R"({"ops":[{"method":"m","params":{"plan":)") + plan + "}}]}", 4));
    REQUIRE(check(std::string(R"({"attributes":{"plan":)") + plan + "}}"));
    REQUIRE(check(std::string(R"({"plan":1,"other":)") + plan + "}"));
  }
  REQUIRE(check(R"({"plan":[{"a":1},{"a":1},9007199254740991,1e30,{"b":{"a":1}}]})"));
  REQUIRE(check_plan(nullptr).error().kind == ErrorKind::invalid_params);
  REQUIRE(check_plan(std::string(kMaxPlan, 'x')).error().kind == ErrorKind::too_large);
}

TEST_CASE("turn table: the standard one is what the contract says") {
  const auto table = TurnTable::make(TurnTable::standard());
  REQUIRE(table);
  REQUIRE(table->first() == "created");
  REQUIRE(table->next("executing") == std::vector<std::string>{"completed", "failed", "cancelled", "interrupted"});
  REQUIRE(table->next("interrupted") == std::vector<std::string>{"plan_proposed", "cancelled"});
  REQUIRE(table->next("completed").empty());
  REQUIRE_FALSE(table->allows("created", "executing"));
}

TEST_CASE("turn table: one that reaches executing without an approval, or lacks what a promise needs, is refused") {
  REQUIRE(with([](auto& t) {
    t.states.emplace_back("scheduled");
    t.rows.push_back({"plan_approved", "scheduled"});
    t.rows.push_back({"scheduled", "executing"});
    t.rows.push_back({"scheduled", "cancelled"});
  }));
  REQUIRE(refusal([](auto& t) { t.rows.push_back({"plan_proposed", "executing"}); }).find("without an approval") !=
          std::string::npos);
  REQUIRE(refusal([](auto& t) { t.rows.push_back({"interrupted", "executing"}); }).find("without an approval") !=
          std::string::npos);
  REQUIRE(refusal([](auto& t) {
            t.states.emplace_back("paused");
            t.rows.push_back({"executing", "paused"});
            t.rows.push_back({"paused", "executing"});
          }).find("without an approval") != std::string::npos);
  REQUIRE(refusal([](auto& t) { std::erase_if(t.rows, [](auto& r) { return r.to == "interrupted"; }); }) != "");
  REQUIRE(refusal([](auto& t) { t.rows.push_back({"completed", "created"}); }).find("final state") !=
          std::string::npos);
  REQUIRE(refusal([](auto& t) { t.rows.push_back({"created", "nowhere"}); }).find("nowhere") != std::string::npos);
  REQUIRE(refusal([](auto& t) { t.states.emplace_back("lonely"); }).find("never reached") != std::string::npos);
  REQUIRE(refusal([](auto& t) { std::erase(t.states, "plan_approved"); }) != "");
}

TEST_CASE("turn table: neither the time nor an event approves a plan, begins to carry it out, or leaves the table") {
  const auto timer = [](const char* from, std::int64_t seconds, const char* to) {
    return refusal([&](auto& t) { t.timers.push_back({from, seconds, to}); });
  };
  const auto topic = [](const char* from, const char* topic, const char* to) {
    return refusal([&](auto& t) { t.topics.push_back({from, topic, to}); });
  };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  REQUIRE(with([](auto& t) {
    t.timers.push_back({"plan_proposed", 3600, "cancelled"});
    t.topics.push_back({"executing", "turn.failed", "failed"});
  }));
  REQUIRE(has(timer("plan_proposed", 1, "plan_approved"), "by a caller only"));
  REQUIRE(has(topic("plan_proposed", "turn.yes", "plan_approved"), "by a caller only"));
  REQUIRE(has(timer("plan_approved", 1, "executing"), "by who carries it out"));
  REQUIRE(has(topic("plan_approved", "turn.go", "executing"), "by who carries it out"));
  REQUIRE(has(timer("created", 1, "completed"), "no step created -> completed"));
  REQUIRE(has(topic("nowhere", "turn.x", "cancelled"), "no step nowhere -> cancelled"));
  REQUIRE(has(timer("created", 0, "cancelled"), "seconds must be"));
  REQUIRE(has(timer("created", TurnTable::kMaxSeconds + 1, "cancelled"), "seconds must be"));
  REQUIRE(has(timer("plan_proposed", 1, "plan_proposed"), "must lead to another state"));
  for (const char* name : {"turn.", "build.done", "turn.*", "turn.**", "turn.a b", "turn..x", "turn.x.", "turn.ü"})
    REQUIRE(has(topic("created", name, "cancelled"), "a topic must be turn.NAME"));
  REQUIRE(has(refusal([](auto& t) {
                t.timers.push_back({"created", 1, "cancelled"});
                t.timers.push_back({"created", 2, "planning"});
              }),
              "one already"));
  REQUIRE(has(refusal([](auto& t) {
                for (std::size_t i = 0; i <= TurnTable::kMaxTriggers; ++i)
                  t.topics.push_back({"created", "turn.t" + std::to_string(i), "cancelled"});
              }),
              "64 timers"));
}

TEST_CASE("turn table: the docs show the table as it is") {
  std::ifstream file(gantry::folders::source() + "/docs/state.md");
  std::stringstream docs;
  docs << file.rdbuf();
  const auto table = TurnTable::make(TurnTable::standard());
  const std::string diagram = gantry::to_mermaid(table->table());
  // To write it anew: GANTRY_PRINT_TABLES=1, and put what is printed into the file.
  if (std::getenv("GANTRY_PRINT_TABLES") != nullptr) std::fputs(diagram.c_str(), stdout);
  REQUIRE(docs.str().find(diagram) != std::string::npos);
}

TEST_CASE("state docs: every promise names a test that there is") {
  namespace fs = std::filesystem;
  const auto text_of = [](const fs::path& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  };
  std::vector<std::string> tests;
  const std::regex test_case(R"re(TEST_CASE(_METHOD)?\([^"]*"([^"]*)")re");
  for (const char* const folder : {"/tests/unit/project_state", "/tests/unit/protocols/rpc"}) {
    for (const auto& entry : fs::directory_iterator(gantry::folders::source() + folder)) {
      const std::string text = text_of(entry.path());
      for (std::sregex_iterator it(text.begin(), text.end(), test_case), end; it != end; ++it)
        tests.push_back((*it)[2]);
    }
  }
  const std::string docs = text_of(gantry::folders::source() + "/docs/state.md");
  const std::regex bracket(R"re(\[((state|plan|turn table|archive|sync)[^\]:]*:[^\]]*)\])re");
  std::size_t named = 0;
  for (std::sregex_iterator it(docs.begin(), docs.end(), bracket), end; it != end; ++it) {
    std::string name;
    for (std::stringstream names((*it)[1].str()); std::getline(names >> std::ws, name, ','); ++named) {
      std::ranges::replace(name, '\n', ' ');
      CAPTURE(name);
      REQUIRE(std::ranges::any_of(tests, [&](const auto& test) { return test.starts_with(name); }));
    }
  }
  REQUIRE(named > 25);
}
