// SPDX-License-Identifier: Apache-2.0
//
// The embedded model: its lexer, its index of contexts, its predictions on real text.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "plugins/ai/embedded/lexer.hpp"
#include "plugins/ai/embedded/predictor.hpp"
#include "plugins/ai/embedded/suffix_model.hpp"
#include "tests/folders.hpp"

using namespace gantry::ai;

namespace {

const std::atomic<bool> kGoOn{false};

std::vector<std::string> lexed(std::string_view text) {
  Lexer lexer(text);
  std::vector<std::string> out;
  while (const auto lexeme = lexer.next()) out.push_back(std::string(lexeme->text) + "@" + std::to_string(lexeme->gap));
  return out;
}

std::shared_ptr<const SuffixModel> learn(const std::vector<std::string>& files) {
  Corpus corpus;
  for (const auto& file : files) {
    CAPTURE(file);
    REQUIRE(corpus.add_file(file, 1'000'000));
  }
  return SuffixModel::build(std::move(corpus), kGoOn);
}

struct Suggestion {
  std::string text;
  double confidence = 0;
};

Suggestion suggest(std::shared_ptr<const SuffixModel> model, std::string_view prefix, std::string_view suffix = "",
                   PredictOptions options = {}) {
  Predictor predictor(std::move(model), prefix, suffix, options);
  Suggestion out;
  while (const auto piece = predictor.next()) out.text += *piece;
  out.confidence = predictor.confidence();
  return out;
}

std::vector<std::string> sdk_headers() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(gantry::folders::source() + "/sdk/include")) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> files;
  for (const auto& path : paths) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    files.push_back(text.str());
  }
  return files;
}

}  // namespace

TEST_CASE("embedded lexer: words, operators and lines, with the space before each") {
  REQUIRE(lexed("int x =  a->b;\n  y::z(3.14);\n\n\n}") ==
          std::vector<std::string>{"int@0", "x@1", "=@1", "a@2", "->@0", "b@0", ";@0", "\n@0", "y@2", "::@0", "z@0",
                                   "(@0", "3.14@0", ")@0", ";@0", "\n\n@0", "}@-2"});
  REQUIRE(lexed("a\tb\r\n\tc") == std::vector<std::string>{"a@0", "b@-1", "\n@0", "c@4"});
  REQUIRE(lexed("caf\xC3\xA9 // ------ x") == std::vector<std::string>{"caf\xC3\xA9@0", "//@1", "------@1", "x@1"});
}

TEST_CASE("embedded lexer: nothing is lost and no token is long, whatever the bytes") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (int i = 0; i < 300; ++i) text += static_cast<char>(random() % (round % 2 == 0 ? 128 : 256));
    std::string kept;
    Lexer lexer(text);
    while (const auto lexeme = lexer.next()) {
      REQUIRE(!lexeme->text.empty());
      REQUIRE(lexeme->text.size() <= Lexer::kMaxToken);
      if (lexeme->text[0] != '\n') kept += lexeme->text;
    }
    std::erase_if(text, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; });
    REQUIRE(kept == text);
  }
}

TEST_CASE("embedded model: the range of a context holds exactly the places where it occurs") {
  const auto model = learn({"a b c a b d a b c", "x b c y"});
  const auto id = [&](const char* word) { return *model->vocabulary().find(word); };
  const auto b = model->after(id("b"));
  REQUIRE(b.size() == 4);
  const auto ab = model->narrow(b, 1, id("a"));
  REQUIRE(ab.size() == 3);
  std::multiset<std::string> followers;
  for (auto i = ab.begin; i < ab.end; ++i) followers.emplace(model->vocabulary().text(model->follower(i).id));
  REQUIRE(followers == std::multiset<std::string>{"c", "c", "d"});
  REQUIRE(model->narrow(ab, 2, id("x")).size() == 0);
  REQUIRE(model->after(12345).size() == 0);
  REQUIRE(model->count(id("b")) == 4);
}

TEST_CASE("embedded model: a file that does not fit is left out as a whole") {
  Corpus corpus;
  REQUIRE(corpus.add_file("a b c", 8));
  const auto before = corpus.tokens;
  REQUIRE(!corpus.add_file("d e f g h", 8));
  REQUIRE(corpus.tokens == before);
  REQUIRE(corpus.files == 1);
}

TEST_CASE("embedded model: building stops when it is told to") {
  Corpus corpus;
  REQUIRE(corpus.add_file("a b c", 100));
  const std::atomic<bool> stop{true};
  REQUIRE(SuffixModel::build(std::move(corpus), stop) == nullptr);
}

TEST_CASE("embedded: what followed this text in the workspace is what is suggested") {
  const auto model = learn(sdk_headers());
  const auto suggested = suggest(model, "#pragma once\n\n#include <array>\n\nreturn std::unexpected<Error>(Error{");
  REQUIRE(suggested.text == "kind, std::move(message), std::move(data)});");
  REQUIRE(suggested.confidence > 0.3);
  REQUIRE(suggested.confidence <= 1.0);
  REQUIRE(suggest(model, "// SPDX-License-Ident").text == "ifier: Apache-2.0");
}

TEST_CASE("embedded: held-out headers are predicted far better than by the most frequent token") {
  const auto files = sdk_headers();
  REQUIRE(files.size() > 8);
  std::size_t right = 0;
  std::size_t frequent = 0;
  std::size_t asked = 0;
  for (std::size_t held = 0; held < files.size(); held += 4) {
    auto others = files;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(held));
    const auto model = learn(others);
    Lexer lexer(files[held]);
    std::size_t at = 0;
    for (std::size_t n = 0; const auto lexeme = lexer.next(); ++n) {
      const auto before = static_cast<std::size_t>(lexeme->text.data() - files[held].data());
      // Every 29th token, asked with all the text before it and one space, so that no token is unfinished.
      if (lexeme->text[0] == '\n' || n % 29 != 0 || before == 0) continue;
      at = before;
      PredictOptions one;
      one.max_tokens = 1;
      std::string guess = suggest(model, files[held].substr(0, at) + " ", "", one).text;
      guess.erase(0, guess.find_first_not_of(' ') == std::string::npos ? 0 : guess.find_first_not_of(' '));
      ++asked;
      right += guess == lexeme->text ? 1U : 0U;
      frequent += lexeme->text == "." || lexeme->text == "(" ? 1U : 0U;
    }
  }
  INFO(right << " of " << asked << " right, the two most frequent tokens would be " << frequent);
  REQUIRE(asked > 50);
  REQUIRE(right * 100 > asked * 35);
  REQUIRE(right > frequent * 2);
}

TEST_CASE("embedded: nothing was learned, so nothing is made up") {
  for (const char* prefix : {"", "\n", "completely unseen text", "int main() {\n  "}) {
    CAPTURE(prefix);
    const auto suggested = suggest(nullptr, prefix);
    REQUIRE(suggested.text.empty());
    REQUIRE(suggested.confidence == 0);
  }
}

TEST_CASE("embedded: the open file itself teaches, before any workspace is learned") {
  REQUIRE(suggest(nullptr, "total = count_all(items)\nother = 1\ntotal = ").text == "count_all(items)");
  REQUIRE(suggest(nullptr, "my_long_variable = 1\nprint(my_lo").text.starts_with("ng_variable"));
}

TEST_CASE("embedded: the text behind the cursor teaches, and is not said twice") {
  REQUIRE(suggest(nullptr, "a = first_thing(", ");\nb = first_thing(second, third);\n").text == "second, third");
  const auto model = learn({"if (x) { call(one, two); }\nif (x) { call(one, two); }\n"});
  REQUIRE(suggest(model, "if (x) { call(", "); }").text == "one, two");
  REQUIRE(suggest(model, "if (x) { call(").text == "one, two); }");
}

TEST_CASE("embedded: indentation follows the cursor's line, in the file's own style") {
  const auto model = learn({"void f() {\n  start();\n  if (ready) {\n    go();\n  }\n}\n"});
  REQUIRE(suggest(model, "void g() {\n      start();\n      if (ready) {").text == "\n        go();");
  REQUIRE(suggest(model, "\tif (x) {\n\t\tstart();\n\t\tif (ready) {\n\t\t\t").text == "go();");
}

TEST_CASE("embedded: max_tokens ends it and says so") {
  const auto model = learn({"a b c d e f g h i j k"});
  PredictOptions options;
  options.max_tokens = 3;
  Predictor predictor(model, "a b ", "", options);
  std::string text;
  while (const auto piece = predictor.next()) text += *piece;
  REQUIRE(text == "c d e");
  REQUIRE(predictor.cut_by_length());
}

TEST_CASE("embedded: the same question has the same answer, with a confidence from 0 to 1") {
  const auto files = sdk_headers();
  const auto model = learn(files);
  std::mt19937 random(11);
  for (int i = 0; i < 100; ++i) {
    CAPTURE(i);
    const auto& file = files[random() % files.size()];
    const std::size_t cut = random() % file.size();
    const auto once = suggest(model, file.substr(0, cut), file.substr(cut));
    const auto again = suggest(model, file.substr(0, cut), file.substr(cut));
    REQUIRE(once.text == again.text);
    REQUIRE(once.confidence >= 0);
    REQUIRE(once.confidence <= 1);
  }
}

TEST_CASE("embedded: any bytes may be asked for") {
  const auto model = learn({"a b c\n"});
  std::mt19937 random(13);
  for (int i = 0; i < 300; ++i) {
    std::string prefix;
    std::string suffix;
    for (int k = 0; k < 40; ++k) prefix += static_cast<char>(random() % 256);
    for (int k = 0; k < 40; ++k) suffix += static_cast<char>(random() % 256);
    (void)suggest(model, prefix, suffix);
  }
  REQUIRE(suggest(model, std::string(200'000, 'x'), std::string(200'000, 'y')).confidence >= 0);
}
