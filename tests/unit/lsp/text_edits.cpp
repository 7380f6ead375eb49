// SPDX-License-Identifier: Apache-2.0
//
// Edits of texts, in every form that servers write them.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <random>

#include "plugins/lsp/edits/text_edit.hpp"
#include "plugins/lsp/edits/workspace_edit.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using namespace gantry::lsp;

namespace {

TextEdit edit(std::uint32_t line, std::uint32_t from, std::uint32_t to_line, std::uint32_t to, std::string text) {
  return {{line, from}, {to_line, to}, std::move(text)};
}

std::string edited(const std::string& text, std::vector<TextEdit> edits) {
  const auto out = apply_edits(text, std::move(edits));
  if (!out) FAIL(out.error().message);
  return out->text;
}

json position(std::int64_t line, std::int64_t character) { return {{"line", line}, {"character", character}}; }
json edit_json(const json& begin, const json& end, const json& text) {
  return {{"range", {{"start", begin}, {"end", end}}}, {"newText", text}};
}

/// The naive model: every character (as UTF-8) has a position of its own, and is kept, or not; insertions stand before
/// the character at their position, in the order in which they come.
struct Model {
  struct Cell {
    std::string text;
    Place at;
  };
  std::vector<Cell> cells;
  Place end;

  explicit Model(const std::vector<std::string>& characters) {
    Place at;
    for (std::size_t i = 0; i < characters.size(); ++i) {
      const std::string& c = characters[i];
      cells.push_back({c, at});
      const bool splits = c == "\r" && i + 1 < characters.size() && characters[i + 1] == "\n";
      if (splits) continue;  // LF has the position of the CR before it
      if (c == "\n" || c == "\r") {
        at = {at.line + 1, 0};
      } else {
        at.character += c.size() == 4 ? 2 : 1;
      }
    }
    end = at;
  }
  [[nodiscard]] std::string apply(const std::vector<TextEdit>& edits) const {
    std::string out;
    const auto inserted = [&](const Place& at) {
      for (const auto& each : edits) {
        if (each.begin == at) out += each.new_text;
      }
    };
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const bool first = i == 0 || cells[i - 1].at != cells[i].at;
      if (first) inserted(cells[i].at);
      const bool gone = std::ranges::any_of(
          edits, [&](const TextEdit& each) { return each.begin <= cells[i].at && cells[i].at < each.end; });
      if (!gone) out += cells[i].text;
    }
    if (cells.empty() || cells.back().at != end) inserted(end);
    return out;
  }
};

}  // namespace

TEST_CASE("edits: they come in any order, and several at one place keep theirs") {
  const std::string text = "int a = b;\nint c;\n";
  REQUIRE(edited(text, {edit(1, 4, 1, 5, "d"), edit(0, 4, 0, 5, "x"), edit(0, 8, 0, 9, "y")}) ==
          "int x = y;\nint d;\n");
  REQUIRE(edited(text, {edit(0, 0, 0, 0, "1"), edit(1, 0, 1, 0, "3"), edit(0, 0, 0, 0, "2")}) ==
          "12int a = b;\n3int c;\n");
  // Insertions before a replacement at the same place, and one that begins where another ends.
  REQUIRE(edited(text, {edit(0, 4, 0, 4, "<"), edit(0, 4, 0, 5, "x"), edit(0, 5, 0, 5, ">")}) ==
          "int <x> = b;\nint c;\n");
  REQUIRE(edited(text, {}) == text);
}

TEST_CASE("edits: those that overlap are refused") {
  for (const auto& edits : std::vector<std::vector<TextEdit>>{
           {edit(0, 0, 0, 4, "a"), edit(0, 3, 0, 5, "b")},
           {edit(0, 3, 0, 5, "b"), edit(0, 0, 0, 4, "a")},
           {edit(0, 0, 1, 0, "a"), edit(0, 2, 0, 2, "b")},
           {edit(0, 4, 0, 5, "x"), edit(0, 4, 0, 4, "behind the replacement that begins there")},
           {edit(0, 1, 0, 2, "same"), edit(0, 1, 0, 2, "same")}}) {
    const auto out = apply_edits("int a = b;\nint c;\n", edits);
    REQUIRE_FALSE(out);
    REQUIRE(out.error().kind == ErrorKind::upstream_failed);
    REQUIRE(out.error().message.find("overlap") != std::string::npos);
  }
}

TEST_CASE("edits: a range behind the end of a line or of the text means that end") {
  REQUIRE(edited("ab\ncd", {edit(0, 99, 0, 99, "!")}) == "ab!\ncd");
  REQUIRE(edited("ab\r\ncd\r\n", {edit(0, 1, 0, 99, "!")}) == "a!\r\ncd\r\n");
  REQUIRE(edited("ab\ncd", {edit(7, 0, 9, 3, "\nef")}) == "ab\ncd\nef");
  // Whole documents, as formatters replace them: by the line behind the last, or by the largest number.
  REQUIRE(edited("ab\ncd", {edit(0, 0, 2, 0, "x\n")}) == "x\n");
  REQUIRE(edited("ab\ncd\n", {edit(0, 0, 2147483647, 2147483647, "x\n")}) == "x\n");
  const auto huge = text_edits_of(json::array({edit_json(position(0, 0), position(4294967295, 4294967295), "x")}));
  REQUIRE(huge);
  REQUIRE(edited("ab\ncd\n", *huge) == "x");
  REQUIRE(edited("", {edit(0, 0, 0, 0, "new")}) == "new");
}

TEST_CASE("edits: positions count UTF-16 units, and never split a character") {
  const std::string smile = "\xF0\x9F\x98\x80", umlaut = "\xC3\xA4";
  REQUIRE(edited(smile + "x" + umlaut + "y\n", {edit(0, 2, 0, 3, "X"), edit(0, 4, 0, 5, "Y")}) ==
          smile + "X" + umlaut + "Y\n");
  REQUIRE(edited(smile + "x", {edit(0, 1, 0, 2, "X")}) == "X" + smile.substr(0, 0) + "x");
  const auto broken = apply_edits("caf\xE9 latin-1\n", {edit(0, 0, 0, 0, "x")});
  REQUIRE_FALSE(broken);
  REQUIRE(broken.error().kind == ErrorKind::invalid_params);
  REQUIRE(broken.error().message.find("not UTF-8") != std::string::npos);
}

TEST_CASE("edits: inserted lines end as those of the text do") {
  REQUIRE(edited("a\r\nb\r\n", {edit(1, 0, 1, 0, "x\ny\r\n")}) == "a\r\nx\r\ny\r\nb\r\n");
  REQUIRE(edited("a\nb\n", {edit(1, 0, 1, 0, "x\r\ny\n")}) == "a\nx\ny\nb\n");
  REQUIRE(edited("a\nb\r\n", {edit(1, 0, 1, 0, "x\ny\r\n")}) == "a\nx\ny\r\nb\r\n");
  REQUIRE(edited("a", {edit(0, 1, 0, 1, "\r\nb")}) == "a\r\nb");
  REQUIRE(edited("a\rb\r", {edit(1, 0, 1, 1, "c")}) == "a\rc\r");
}

TEST_CASE("edits: hunks show whole lines, before and after") {
  const auto out =
      apply_edits("one\ntwo two\nthree\nfour\n", {edit(1, 0, 1, 3, "2"), edit(1, 4, 1, 7, "zwei"), edit(3, 0, 4, 0, ""),
                                                  edit(0, 0, 0, 0, "zero\n"), edit(2, 0, 2, 5, "three")});
  REQUIRE(out);
  const auto is = [](const Hunk& hunk, int line, const std::string& before, const std::string& after) {
    return hunk.line == line && hunk.before == before && hunk.after == after && !hunk.cut;
  };
  REQUIRE(out->text == "zero\none\n2 zwei\nthree\n");
  REQUIRE(out->hunks.size() == 3);
  REQUIRE(is(out->hunks[0], 1, "", "zero"));
  REQUIRE(is(out->hunks[1], 2, "two two", "2 zwei"));
  REQUIRE(is(out->hunks[2], 4, "four", ""));
  // A line end that comes, and a text that is replaced by another with few changes.
  const auto end = apply_edits("a", {edit(0, 1, 0, 1, "\n")});
  REQUIRE(is(end->hunks.at(0), 1, "a", "a\n"));
  const auto whole = apply_edits("a\nb\nc\n", {edit(0, 0, 3, 0, "a\nB\nc\n")});
  REQUIRE(whole->hunks.size() == 1);
  REQUIRE(is(whole->hunks[0], 2, "b", "B"));
  REQUIRE(apply_edits("a\n", {edit(0, 0, 0, 1, "a")})->hunks.empty());
  const auto long_one = apply_edits("x\n", {edit(0, 0, 0, 1, std::string(5000, 'y'))});
  REQUIRE(long_one->hunks.at(0).cut);
  REQUIRE(long_one->hunks.at(0).after.size() == Hunk::kMaxHunkBytes);
}

TEST_CASE("edits: random ones are applied as a naive model applies them") {
  const char* const given = std::getenv("GANTRY_TEST_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device()();
  INFO("GANTRY_TEST_SEED=" << seed);
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::vector<std::string> alphabet{"a", "b", "\n", "\r", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", " "};
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> characters;
    // A lone LF, CR, or CRLF: mixed in one text, so that inserted line ends stay as they are.
    characters.insert(characters.end(), {"\n", "\r", "x"});
    for (std::size_t n = below(30); n > 0; --n) characters.push_back(alphabet[below(alphabet.size())]);
    std::string text;
    for (const auto& each : characters) text += each;
    const Model model(characters);
    // Cut the text at positions in order: between two cuts it is replaced, or kept.
    std::vector<Place> places{model.end};
    for (const auto& cell : model.cells) places.push_back(cell.at);
    std::vector<Place> cuts;
    for (std::size_t n = 2 * (1 + below(4)); n > 0; --n) cuts.push_back(places[below(places.size())]);
    std::ranges::sort(cuts);
    std::vector<TextEdit> edits;
    for (std::size_t i = 0; i + 1 < cuts.size(); i += 2) {
      std::string inserted;
      for (std::size_t n = below(4); n > 0; --n) inserted += alphabet[below(alphabet.size())];
      edits.push_back({cuts[i], cuts[i + 1], inserted});
    }
    // An insertion must not stand behind a replacement that begins at its place.
    const auto clash = [&](std::size_t i) {
      return i > 0 && edits[i - 1].begin == edits[i].begin && edits[i - 1].begin != edits[i - 1].end;
    };
    bool skip = false;
    for (std::size_t i = 0; i < edits.size(); ++i) skip = skip || clash(i);
    if (skip) continue;
    const std::string expected = model.apply(edits);
    // In any order, except that of edits at one place.
    for (std::size_t n = 0; n < edits.size(); ++n) {
      const std::size_t i = below(edits.size()), j = below(edits.size());
      const auto [low, high] = std::minmax(i, j);
      const auto same = [&](std::size_t k) {
        return edits[k].begin == edits[low].begin || edits[k].begin == edits[high].begin;
      };
      bool free = low != high && edits[low].begin != edits[high].begin;
      for (std::size_t k = low + 1; k < high; ++k) free = free && !same(k);
      if (free) std::swap(edits[low], edits[high]);
    }
    std::ostringstream shown;
    for (const auto& each : edits)
      shown << each.begin.line << ":" << each.begin.character << "-" << each.end.line << ":" << each.end.character
            << " " << json(each.new_text).dump() << "; ";
    INFO(json(text).dump() << " with " << shown.str());
    const auto out = apply_edits(text, edits);
    REQUIRE(out);
    REQUIRE(json(out->text).dump() == json(expected).dump());
    REQUIRE(out->hunks.empty() == (text == expected));
  }
}

TEST_CASE("edits: each form of a workspace edit is read, and documentChanges win") {
  const json a = json::array({edit_json(position(0, 0), position(0, 1), "x")});
  const auto plain = workspace_edit_of({{"changes", {{"file:///w/a", a}, {"file:///w/b", a}}}});
  REQUIRE(plain);
  REQUIRE(plain->operations.size() == 2);
  const json document{{"textDocument", {{"uri", "file:///w/a%20b"}, {"version", 3}}}, {"edits", a}};
  const json unversioned{{"textDocument", {{"uri", "file:///w/c"}, {"version", nullptr}}}, {"edits", a}};
  const json floats =
      json::array({edit_json(json{{"line", 0.0}, {"character", 0.0}}, json{{"line", 0}, {"character", 1.0}}, "x")});
  json annotated = a;
  annotated[0]["annotationId"] = "sure";
  const auto full = workspace_edit_of(
      {{"changes", {{"file:///w/ignored", a}}},
       {"changeAnnotations",
        {{"sure", {{"label", "Rename in comments"}, {"needsConfirmation", true}}}, {"other", {{"label", "no"}}}}},
       {"documentChanges",
        {document,
         unversioned,
         {{"kind", "create"}, {"uri", "file:///w/new"}, {"options", {{"ignoreIfExists", true}}}},
         {{"kind", "rename"}, {"oldUri", "file:///w/x"}, {"newUri", "file:///w/y"}, {"options", {{"overwrite", true}}}},
         {{"kind", "delete"}, {"uri", "file:///w/z"}, {"options", {{"recursive", true}, {"ignoreIfNotExists", true}}}},
         {{"textDocument", {{"uri", "file:///w/d"}}}, {"edits", annotated}},
         {{"textDocument", {{"uri", "file:///w/e"}}}, {"edits", floats}}}}});
  REQUIRE(full);
  REQUIRE(full->operations.size() == 7);
  const auto& first = std::get<EditFile>(full->operations[0]);
  REQUIRE(first.path == "/w/a b");
  REQUIRE(first.version == 3);
  REQUIRE_FALSE(std::get<EditFile>(full->operations[1]).version);
  REQUIRE(std::get<CreateFile>(full->operations[2]).ignore_if_exists);
  REQUIRE(std::get<RenameFile>(full->operations[3]).overwrite);
  REQUIRE(std::get<RenameFile>(full->operations[3]).to == "/w/y");
  REQUIRE(std::get<DeleteFile>(full->operations[4]).recursive);
  REQUIRE(std::get<DeleteFile>(full->operations[4]).ignore_if_not_exists);
  REQUIRE(std::get<EditFile>(full->operations[6]).edits[0].end == Place{0, 1});
  REQUIRE(full->notes.size() == 1);
  REQUIRE(full->notes[0].find("Rename in comments") != std::string::npos);
  REQUIRE(
      workspace_edit_of({{"documentChanges", json::array()}, {"changes", {{"file:///w/a", a}}}})->operations.size() ==
      1);
  REQUIRE(workspace_edit_of({{"documentChanges", nullptr}, {"changes", {{"file:///w/a", a}}}})->operations.size() == 1);
  REQUIRE(workspace_edit_of(nullptr)->operations.empty());
  REQUIRE(workspace_edit_of(json::object())->operations.empty());
}

TEST_CASE("edits: a malformed workspace edit is refused with what is wrong") {
  const json good = json::array({edit_json(position(0, 0), position(0, 1), "x")});
  const auto with = [&](const json& edits) { return json{{"changes", {{"file:///w/a", edits}}}}; };
  const auto change = [](const json& one) { return json{{"documentChanges", json::array({one})}}; };
  const json doc{{"uri", "file:///w/a"}, {"version", 1}};
  const std::vector<std::pair<json, std::string>> bad{
      {5, "no object"},
      {json::array(), "no object"},
      {{{"changes", 5}}, "changes is no object"},
      {{{"documentChanges", 5}}, "documentChanges is no array"},
      {with(5), "no array"},
      {with({5}), "no object"},
      {with({{{"newText", "x"}}}), "no range"},
      {with(json::array({edit_json(position(0, 5), position(0, 1), "x")})), "ends at 1:2, before its start at 1:6"},
      {with(json::array({edit_json(position(-1, 0), position(0, 1), "x")})), "no valid start"},
      {with(json::array({edit_json(json{{"line", "0"}, {"character", 0}}, position(0, 1), "x")})), "no valid start"},
      {with(json::array({edit_json(position(0, 0), json(), "x")})), "no valid start"},
      {with(json::array({edit_json(position(0, 0), position(0, 1), json())})), "no newText"},
      {{{"changes", {{"untitled:1", good}}}}, "untitled:1"},
      {{{"changes", {{"", good}}}}, "names no file"},
      {change(5), "no object"},
      {change({{"edits", good}}), "uri is missing"},
      {change({{"textDocument", doc}}), "no array"},
      {change({{"textDocument", {{"uri", "file:///w/a"}, {"version", "one"}}}, {"edits", good}}), "version"},
      {change({{"textDocument", doc},
               {"edits", json::array({{{"range", {{"start", position(0, 0)}, {"end", position(0, 0)}}},
                                       {"snippet", {{"kind", "snippet"}, {"value", "$0"}}}}})}}),
       "snippet"},
      {change({{"kind", "copy"}, {"uri", "file:///w/a"}}), "no file operation \"copy\""},
      {change({{"kind", "create"}}), "uri is missing"},
      {change({{"kind", "rename"}, {"oldUri", "file:///w/a"}}), "newUri is missing"},
      {change({{"kind", 5}, {"uri", "file:///w/a"}}), "no file operation 5"}};
  for (const auto& [edit, words] : bad) {
    INFO(edit.dump());
    const auto out = workspace_edit_of(edit);
    REQUIRE_FALSE(out);
    INFO(out.error().message);
    REQUIRE(out.error().kind == ErrorKind::upstream_failed);
    REQUIRE(out.error().message.find(words) != std::string::npos);
  }
  json many = json::array();
  for (std::size_t i = 0; i <= WorkspaceEdit::kMaxOperations; ++i)
    many.push_back({{"kind", "create"}, {"uri", "file:///w/a"}});
  REQUIRE(workspace_edit_of({{"documentChanges", many}}).error().kind == ErrorKind::too_large);
}
