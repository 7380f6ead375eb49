// SPDX-License-Identifier: Apache-2.0
//
// Snippets, Markdown and completions for clients that understand less.
#include <catch2/catch.hpp>
#include <random>

#include "plugins/lsp/capabilities/cut.hpp"
#include "plugins/lsp/capabilities/plain_text.hpp"
#include "plugins/lsp/capabilities/snippet.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace gantry;
using namespace gantry::lsp;

namespace {

// All capabilities but for this one: a path in `textDocument.completion`.
[[nodiscard]] Understood without(const std::string& path, const json& value = {}) {
  json all = lsp_test::all_capabilities();
  json& at = all["textDocument"]["completion"][json::json_pointer(path)];
  at = value;
  return Understood(all);
}
[[nodiscard]] json one(const json& item, const Understood& understood) {
  return cut("textDocument/completion", json::array({item}), understood)->at(0);
}

}  // namespace

TEST_CASE("lsp snippet: tabstops, placeholders, choices and variables become plain text") {
  for (const auto& [snippet, text] : std::vector<std::pair<std::string, std::string>>{
           {"f(${1:a}, ${2:b})$0", "f(a, b)"},
           {"for (${1:int i}; ${1:int i} < $2; ++$1) {\n\t$0\n}", "for (int i; int i < ; ++int i) {\n\t\n}"},
           {"$1 = ${1:x}", "x = x"},
           {"${1:outer ${2:inner ${3:most}}}", "outer inner most"},
           {"${1|one,two,three|}", "one"},
           {R"(${1|a\,b\|c,two|}!)", "a,b|c!"},
           {"${1|one,two|} $1", "one one"},
           {R"(\$1 \} \\ \n)", R"($1 } \ \n)"},
           {R"(${1:a\}b})", "a}b"},
           {"$TM_FILENAME|${TM_FILENAME}|${TM_FILENAME:none}", "||none"},
           {"$unknown ${unknown} ${unknown:given}", "unknown unknown given"},
           {"${TM_FILENAME:${1:x}}", "x"},
           {"${TM_FILENAME/(.*)\\.(.*)/${1:/upcase}/g}.", "."},
           {"${1:name} ${1/(.)/${1:/upcase}/}", "name name"},
           {"plain text", "plain text"},
           {"$", "$"},
           {"a$", "a$"},
           {"${", "${"},
           {"${1", "${1"},
           {"${1:open", "${1:open"},
           {"$ 5 and {}", "$ 5 and {}"},
           {"${}", "${}"},
           {"${1;}", "${1;}"},
           {"ä${1:ö}𝄞", "äö𝄞"}}) {
    CAPTURE(snippet);
    REQUIRE(plain_snippet(snippet) == text);
  }
}

TEST_CASE("lsp snippet: what nests without an end, or too deeply, is text") {
  std::string open, deep;
  for (int i = 0; i < 2000; ++i) open += "${1:";
  REQUIRE(plain_snippet(open) == open);
  for (int i = 0; i < 100; ++i) deep += "${1:";
  deep += "x" + std::string(100, '}');
  REQUIRE(plain_snippet(deep).find('x') != std::string::npos);
}

TEST_CASE("lsp plain text: Markdown loses its marks, and code none of its characters") {
  for (const auto& [markdown, text] : std::vector<std::pair<std::string, std::string>>{
           {"```cpp\nint *a = b_c_d; // **x**\n```\ntext", "int *a = b_c_d; // **x**\ntext"},
           {"~~~\n``` inside\n~~~\n", "``` inside"},
           {"# Head\n\n### Third ###\nbody", "Head\n\nThird\nbody"},
           {"#hash and C#", "#hash and C#"},
           {"**bold** *it* __b__ _i_ ***both*** ~~gone~~", "bold it b i both gone"},
           {"snake_case_name and 2 * 3 * 4, a *b", "snake_case_name and 2 * 3 * 4, a *b"},
           {"*outer **inner** end*", "outer inner end"},
           {R"(\*no\* \_no\_ 1\. \[x\] C:\dir)", R"(*no* _no_ 1. [x] C:\dir)"},
           {"`code *as is* \\n` and ``a ` b`` and ` `` `", "code *as is* \\n and a ` b and ``"},
           {"an ` open one", "an ` open one"},
           {"[text](https://x.y/(z)) ![alt](a.png) [no link]", "text alt [no link]"},
           {"[**b** `c`](u)", "b c"},
           {"<https://x.y> a < b > c List<int>", "https://x.y a < b > c List<int>"},
           {"a&nbsp;b &lt;T&gt; &amp;&amp; &quot;q&quot; &#39; &unknown;", "a b <T> && \"q\" ' &unknown;"},
           {"> quoted\n> > twice", "quoted\ntwice"},
           {"- one\n* two\n+ three\n1. four", "- one\n- two\n- three\n1. four"},
           {"above\n\n---\n\nbelow", "above\n\nbelow"},
           {"one  \ntwo\\\nthree", "one\ntwo\nthree"},
           {"a<br>b<br/>c", "a\nb\nc"},
           {"\n\ntext\n\n\n\nmore\n\n", "text\n\nmore"},
           {"äö **ü** 𝄞", "äö ü 𝄞"},
           {"", ""}}) {
    CAPTURE(markdown);
    REQUIRE(plain_text(markdown) == text);
  }
}

TEST_CASE("lsp cut: a snippet is inserted as plain text by a client that knows no snippets") {
  const json range{{"start", 1}, {"end", 2}};
  const json item{{"label", "f"},
                  {"insertTextFormat", 2},
                  {"insertText", "f(${1:a})"},
                  {"textEdit", {{"range", range}, {"newText", "f(${1:a})$0"}}}};
  REQUIRE(one(item, without("/completionItem/snippetSupport")) ==
          json{{"label", "f"}, {"insertText", "f(a)"}, {"textEdit", {{"range", range}, {"newText", "f(a)"}}}});
  // Text that is no snippet stays.
  const json plain{{"label", "f"}, {"insertTextFormat", 1}, {"insertText", "$x"}};
  REQUIRE(one(plain, without("/completionItem/snippetSupport")) == json{{"label", "f"}, {"insertText", "$x"}});
  REQUIRE(one(item, Understood(lsp_test::all_capabilities())) == item);
  REQUIRE(*cut("completionItem/resolve", item, without("/completionItem/snippetSupport")) ==
          one(item, without("/completionItem/snippetSupport")));
}

TEST_CASE("lsp cut: each member of a completion item that a client does not know is left out, or said in another way") {
  const json ranges{{"insert", {{"x", 1}}}, {"replace", {{"x", 2}}}, {"newText", "n"}};
  const auto check = [](const char* capability, const json& item, const json& wanted, const json& value = {}) {
    CAPTURE(capability);
    json whole = item, want = wanted;
    whole["label"] = want["label"] = "l";
    REQUIRE(one(whole, without(capability, value)) == want);
    REQUIRE(one(whole, Understood(lsp_test::all_capabilities())) == whole);
  };
  check("/completionItem/insertReplaceSupport", {{"textEdit", ranges}},
        {{"textEdit", {{"range", {{"x", 1}}}, {"newText", "n"}}}});
  check("/completionItem/commitCharactersSupport", {{"commitCharacters", {"."}}}, json::object());
  check("/completionItem/preselectSupport", {{"preselect", true}}, json::object());
  check("/completionItem/deprecatedSupport", {{"deprecated", true}}, json::object());
  check("/completionItem/tagSupport", {{"tags", {1}}}, {{"deprecated", true}});
  check("/completionItem/insertTextModeSupport", {{"insertTextMode", 2}}, json::object());
  check("/completionItem/labelDetailsSupport", {{"labelDetails", {{"detail", "(int)"}, {"description", "std"}}}},
        {{"detail", "(int) std"}});
  check("/completionItem/labelDetailsSupport", {{"labelDetails", {{"detail", "(int)"}}}, {"detail", "void"}},
        {{"detail", "void"}});
  check("/completionItem/documentationFormat", {{"documentation", {{"kind", "markdown"}, {"value", "**b**"}}}},
        {{"documentation", {{"kind", "plaintext"}, {"value", "b"}}}}, json{"plaintext"});
  check("/completionItem/documentationFormat", {{"documentation", "*as it is*"}}, {{"documentation", "*as it is*"}});
  check("/completionItemKind/valueSet", {{"kind", 22}}, {{"kind", 7}});
  check("/completionItemKind/valueSet", {{"kind", 18}}, {{"kind", 18}});
  check("/completionItemKind/valueSet", {{"kind", 23}}, {{"kind", 1}}, {1, 2});
}

TEST_CASE("lsp cut: what a completion list says of all items is said by each of them") {
  const json range{{"start", 1}, {"end", 2}};
  const json list{{"isIncomplete", false},
                  {"itemDefaults",
                   {{"editRange", range},
                    {"commitCharacters", {"."}},
                    {"insertTextFormat", 2},
                    {"insertTextMode", 1},
                    {"data", {{"d", 1}}}}},
                  {"items",
                   {{{"label", "a"}, {"textEditText", "a(${1:x})"}},
                    {{"label", "b"}, {"data", {{"own", 2}}}, {"commitCharacters", {";"}}, {"insertTextFormat", 1}}}}};
  SECTION("for a client that knows no defaults") {
    const json got = *cut("textDocument/completion", list, without("/completionList"));
    REQUIRE(got == json{{"isIncomplete", false},
                        {"items",
                         {{{"label", "a"},
                           {"textEdit", {{"range", range}, {"newText", "a(${1:x})"}}},
                           {"commitCharacters", {"."}},
                           {"insertTextFormat", 2},
                           {"insertTextMode", 1},
                           {"data", {{"d", 1}}}},
                          {{"label", "b"},
                           {"textEdit", {{"range", range}, {"newText", "b"}}},
                           {"commitCharacters", {";"}},
                           {"insertTextFormat", 1},
                           {"insertTextMode", 1},
                           {"data", {{"own", 2}}}}}}});
  }
  SECTION("for a client that knows some") {
    const json got =
        *cut("textDocument/completion", list, without("/completionList/itemDefaults", {"data", "editRange"}));
    REQUIRE(got["itemDefaults"] == json{{"data", {{"d", 1}}}, {"editRange", range}});
    REQUIRE(got["items"][0] == json{{"label", "a"},
                                    {"textEditText", "a(${1:x})"},
                                    {"commitCharacters", {"."}},
                                    {"insertTextFormat", 2},
                                    {"insertTextMode", 1}});
  }
  SECTION("for a client that knows defaults, and no snippets") {
    const json got = *cut("textDocument/completion", list, without("/completionItem/snippetSupport"));
    REQUIRE_FALSE(got["itemDefaults"].contains("insertTextFormat"));
    REQUIRE(got["items"][0] == json{{"label", "a"}, {"textEditText", "a(x)"}});
  }
  SECTION("merged, for a client that does not merge") {
    json merging = list;
    merging["applyKind"] = {{"commitCharacters", 2}, {"data", 2}};
    const json got = *cut("textDocument/completion", merging, without("/completionList/applyKindSupport"));
    REQUIRE_FALSE(got.contains("applyKind"));
    REQUIRE(got["items"][1]["data"] == json{{"d", 1}, {"own", 2}});
    REQUIRE(got["items"][1]["commitCharacters"] == json{";", "."});
    REQUIRE(got["itemDefaults"].contains("editRange"));
  }
  SECTION("with two ranges, for a client that replaces or inserts, but does not choose") {
    json two = list;
    two["itemDefaults"]["editRange"] = {{"insert", {{"i", 1}}}, {"replace", {{"r", 1}}}};
    const json got = *cut("textDocument/completion", two, without("/completionItem/insertReplaceSupport"));
    REQUIRE(got["items"][1]["textEdit"] == json{{"range", {{"i", 1}}}, {"newText", "b"}});
  }
}
