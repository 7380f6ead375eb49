// SPDX-License-Identifier: Apache-2.0
//
// The forms of the protocol that mean the same, positions, and pages.
#include <catch2/catch.hpp>

#include "plugins/lsp/tools/answers.hpp"
#include "plugins/lsp/tools/lines.hpp"

using namespace gantry;
using namespace gantry::lsp;

namespace {

json position(int line, int character) { return {{"line", line}, {"character", character}}; }
json range(int line, int begin, int end) { return {{"start", position(line, begin)}, {"end", position(line, end)}}; }

Symbol symbol(const std::string& name, std::vector<std::string> container) {
  return {name, "function", std::move(container), {"/a", range(0, 0, 1)}, {}};
}

}  // namespace

TEST_CASE("lines: columns count characters from 1, the protocol counts UTF-16 units from 0") {
  const Lines lines("a\u00e4\U0001F600b\r\nsecond\rthird\n");
  REQUIRE(lines.count() == 4);
  REQUIRE(lines.line(1) == "a\u00e4\U0001F600b");
  REQUIRE(lines.line(2) == "second");
  REQUIRE(lines.line(3) == "third");
  REQUIRE(lines.line(4).empty());
  REQUIRE(lines.line(99).empty());
  const std::vector<int> units{0, 1, 2, 4, 5};
  for (int column = 1; column <= 5; ++column) {
    CAPTURE(column);
    REQUIRE(lines.to_protocol({1, column}) == position(0, units[static_cast<std::size_t>(column) - 1]));
    REQUIRE(lines.from_protocol(position(0, units[static_cast<std::size_t>(column) - 1])) == Position{1, column});
  }
  REQUIRE(lines.from_protocol(position(0, 3)) == Position{1, 4});  // inside of a pair: behind the character
  REQUIRE(lines.to_protocol({1, 100}) == position(0, 5));          // behind the end of the line is the end
  REQUIRE(lines.from_protocol(position(0, 100)) == Position{1, 5});
  REQUIRE(lines.from_protocol(position(50, 3)) == Position{51, 1});
  for (const char* const bad : {"null", "[]", R"({"line":1})", R"({"line":-1,"character":0})",
                                R"({"line":"1","character":0})", R"({"line":1,"character":1.5})"}) {
    CAPTURE(bad);
    REQUIRE_FALSE(lines.from_protocol(json::parse(bad)));
  }
}

TEST_CASE("lines: a word is found where it stands by itself") {
  const Lines lines("prices price_ price, \u00e4price price\noperator==(a)");
  REQUIRE(lines.find_word(1, "price") == 15);
  REQUIRE_FALSE(lines.find_word(1, "rice"));
  REQUIRE_FALSE(lines.find_word(1, ""));
  REQUIRE(lines.find_word(2, "operator==") == 1);
  REQUIRE(lines.between({1, 22}, {1, 28}) == "\u00e4price");
  REQUIRE(lines.between({1, 1}, {2, 1}).empty());
}

TEST_CASE("answers: each form of a location is the same place") {
  const json place{{"uri", "file:///a%20b/c.cpp"}, {"range", range(3, 4, 5)}};
  const json link{
      {"targetUri", "file:///a%20b/c.cpp"}, {"targetRange", range(2, 0, 50)}, {"targetSelectionRange", range(3, 4, 5)}};
  for (const json& form : {place, json::array({place}), json::array({link})}) {
    const auto found = locations_of(form);
    REQUIRE(found.size() == 1);
    REQUIRE(found[0].path == "/a b/c.cpp");
    REQUIRE(found[0].range == range(3, 4, 5));
  }
  REQUIRE(locations_of(nullptr).empty());
  REQUIRE(locations_of(json::array({1, json::object(), {{"uri", 3}}})).empty());
  REQUIRE(locations_of({{"uri", "jdt://contents/x.class"}, {"range", range(0, 0, 0)}})[0].path ==
          "jdt://contents/x.class");
}

TEST_CASE("answers: symbols come from a tree and from a list") {
  const json tree = json::array(
      {{{"name", "shop"},
        {"kind", 3},
        {"range", range(0, 0, 90)},
        {"selectionRange", range(0, 10, 14)},
        {"children",
         json::array(
             {{{"name", "total(int)"}, {"kind", 12}, {"range", range(1, 0, 9)}, {"selectionRange", range(1, 4, 9)}}})}},
       42});
  const auto from_tree = symbols_of(tree, "/a.cpp");
  REQUIRE(from_tree.size() == 2);
  REQUIRE(from_tree[0].kind == "namespace");
  REQUIRE(from_tree[1].container == std::vector<std::string>{"shop"});
  REQUIRE(from_tree[1].location.range == range(1, 4, 9));
  REQUIRE(from_tree[1].location.path == "/a.cpp");
  REQUIRE(is_named(from_tree[1], "total"));
  REQUIRE(is_named(from_tree[1], "shop::total"));

  const json list = json::array({{{"name", "total"},
                                  {"kind", 12},
                                  {"containerName", "shop::inner"},
                                  {"location", {{"uri", "file:///b.cpp"}, {"range", range(7, 1, 2)}}}}});
  const auto from_list = symbols_of(list, {});
  REQUIRE(from_list.size() == 1);
  REQUIRE(from_list[0].location.path == "/b.cpp");
  REQUIRE(is_named(from_list[0], "inner::total"));
  REQUIRE(is_named(from_list[0], "shop.inner.total"));
  REQUIRE_FALSE(is_named(from_list[0], "outer::shop::inner::total"));

  json deep = json::array();
  for (int i = 0; i < 500; ++i) deep = json::array({{{"name", "n"}, {"kind", 99}, {"children", deep}}});
  REQUIRE(symbols_of(deep, "/a").size() < 500);
  REQUIRE(symbols_of(deep, "/a")[0].kind.empty());
}

TEST_CASE("answers: a symbol is found by its name and by its qualified name, and by no part of a word") {
  const Symbol receive = symbol("receive", {"gantry", "Session<T>"});
  for (const char* name : {"receive", "Session::receive", "Session.receive", "gantry::Session::receive",
                           "Session#receive", "Session/receive"}) {
    CAPTURE(name);
    REQUIRE(is_named(receive, name));
  }
  for (const char* name : {"", "::", "rece", "Other::receive", "ession::receive", "receive::Session"}) {
    CAPTURE(name);
    REQUIRE_FALSE(is_named(receive, name));
  }
  REQUIRE(is_named(symbol("operator()", {}), "operator()"));
}

TEST_CASE("answers: the text of a hover, in each form that a server may write it") {
  REQUIRE(hover_text({{"contents", "plain"}}) == "plain");
  REQUIRE(hover_text({{"contents", {{"kind", "markdown"}, {"value", "*m*"}}}}) == "*m*");
  REQUIRE(hover_text({{"contents", json::array({"a", {{"language", "c"}, {"value", "int x"}}})}}) == "a\n\nint x");
  REQUIRE(hover_text(nullptr).empty());
  REQUIRE(hover_text({{"contents", json::array()}}).empty());
}

TEST_CASE("answers: completions come in the order in which the server wants them shown") {
  const json items = json::array({{{"label", "b"}, {"sortText", "2"}, {"insertText", "b()"}},
                                  {{"label", " a"}, {"sortText", "1"}, {"kind", 3}, {"textEdit", {{"newText", "a"}}}},
                                  {{"label", ""}},
                                  7});
  const auto from_list = completions_of({{"isIncomplete", true}, {"items", items}});
  REQUIRE(from_list.incomplete);
  REQUIRE(from_list.items ==
          std::vector<json>{{{"label", "a"}, {"kind", "function"}}, {{"label", "b"}, {"insert", "b()"}}});
  REQUIRE(completions_of(items).items == from_list.items);
  REQUIRE(completions_of(nullptr).items.empty());
}

TEST_CASE("answers: pages hold what the budget allows, one item at least, and all items together") {
  const auto show = [](std::size_t i) { return json(std::string(100, static_cast<char>('a' + i))); };
  Budget budget{.tokens = 60, .cursor = std::nullopt};
  std::vector<json> all;
  for (int pages = 0; pages < 10; ++pages) {
    const auto page = page_of(5, 7, budget, show);
    REQUIRE(page);
    REQUIRE(page->total == 5);
    REQUIRE(page->items.size() <= 2);
    REQUIRE_FALSE(page->items.empty());
    all.insert(all.end(), page->items.begin(), page->items.end());
    if (page->next_cursor.empty()) break;
    budget.cursor = page->next_cursor;
  }
  REQUIRE(all.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) REQUIRE(all[i] == show(i));
  REQUIRE(page_of(5, 7, {.tokens = 1, .cursor = std::nullopt}, show)->items.size() == 1);
  REQUIRE(page_of(0, 7, {.tokens = 1, .cursor = std::nullopt}, show)->items.empty());
  REQUIRE(page_of(5, 8, budget, show).error().kind == ErrorKind::conflict);
  for (const char* cursor : {"", "x", "1", "1.", "-1.7", "99999999999999999999.7"}) {
    CAPTURE(cursor);
    const auto page = page_of(5, 7, {.tokens = 60, .cursor = cursor}, show);
    REQUIRE_FALSE(page);
    REQUIRE((page.error().kind == ErrorKind::invalid_params || page.error().kind == ErrorKind::conflict));
  }
  REQUIRE(page_of(5, 7, {.tokens = 60, .cursor = "6.7"}, show).error().kind == ErrorKind::conflict);
}
