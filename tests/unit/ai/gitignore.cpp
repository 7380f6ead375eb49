// SPDX-License-Identifier: Apache-2.0
//
// What git ignores is not learned: the walk beside git itself, on trees that are made from a seed.

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>

#include "plugins/ai/embedded/gitignore.hpp"
#include "plugins/ai/embedded/walk.hpp"
#include "tests/unit/ai/support.hpp"

using namespace gantry;
using namespace gantry::ai;
using ai_test::Folder;

namespace {

namespace fs = std::filesystem;

const std::atomic<bool> kGoOn{false};
using Names = std::vector<std::string>;

// Every file holds its own name, from which the walk is told apart.
void fill(const Folder& folder, const Names& names) {
  for (const auto& name : names) folder.write(name, name);
}

std::set<std::string> learned(const fs::path& root, WalkCounts* counts = nullptr) {
  std::set<std::string> names;
  auto got = walk_text_files(root, WalkLimits{}, kGoOn, [&](const std::string& text) {
    names.insert(text);
    return true;
  });
  if (counts != nullptr) *counts = std::move(got);
  return names;
}

std::string run(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string out;
  char buffer[4096];
  while (const std::size_t got = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, got);
  REQUIRE(::pclose(pipe) == 0);
  return out;
}

void init(const fs::path& folder) { (void)run("git init -q --template= '" + folder.string() + "'"); }

// What git does not ignore, but for hidden names, which nobody learns; `below`: the names'
// beginning in their texts.
std::set<std::string> by_git(const fs::path& folder, const std::string& below = "") {
  std::set<std::string> names;
  const std::string out = run("cd '" + folder.string() + "' && git ls-files -oz --exclude-standard .");
  for (std::size_t at = 0; at < out.size();) {
    const std::size_t end = out.find('\0', at);
    const std::string name = out.substr(at, end - at);
    at = end + 1;
    if (name.starts_with('.') || name.contains("/.") || name.ends_with('/')) continue;
    names.insert(below + name);
  }
  return names;
}

// A home of its own, so that nobody's settings of git are in force; libgit2 asks for it when it
// begins.
class Home {
 public:
  Home() : before_(value("HOME")), config_before_(value("XDG_CONFIG_HOME")) {
    put("HOME", folder_.name());
    put("XDG_CONFIG_HOME", std::nullopt);
  }
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;
  ~Home() {
    put("HOME", before_);
    put("XDG_CONFIG_HOME", config_before_);
  }
  [[nodiscard]] const Folder& folder() const { return folder_; }

 private:
  using Value = std::optional<std::string>;
  static Value value(const char* name) {
    const char* text = std::getenv(name);
    return text == nullptr ? Value() : Value(text);
  }
  static void put(const char* name, const Value& value) {
    (void)(value ? ::setenv(name, value->c_str(), 1) : ::unsetenv(name));
  }

  Folder folder_;
  Value before_;
  Value config_before_;
};

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  std::size_t below(std::size_t n) { return random_() % n; }
  bool chance(unsigned percent) { return random_() % 100 < percent; }
  template <class Range>
  std::string pick(const Range& from) {
    return from[below(from.size())];
  }

  std::string name() {
    static const Names kNames{"a",   "b",  "ab", "a.c", "b.c",      "x.log", "foo", "bar",        "f[o",
                              "a b", "a ", "#a", "!b",  "\xC3\xA9", "a*",    "A",   "secret.txt", "a\\b"};
    return pick(kNames);
  }
  std::string component() {
    static const Names kWild{"*", "?", "*.c", "*.log", "a*", "*a", "f?o", "*o*", "a**", "**b", "a**b", "***", "*?"};
    static const Names kSets{"[ab]",
                             "[!a]",
                             "[^a].c",
                             "[a-f]oo",
                             "[[:alpha:]]",
                             "[]a]",
                             "[a",
                             "\\a",
                             "\\*",
                             "\\#a",
                             "\\!b",
                             "a\\",
                             "[a-]",
                             "[[:foo:]]",
                             "[\\a]b",
                             "[!a-c]*",
                             "[[:upper:][:digit:]]*",
                             "[[:a]",
                             "[a-\\f]oo",
                             "[b-a]"};
    if (chance(15)) return "**";
    if (chance(25)) return pick(kWild);
    if (chance(25)) return pick(kSets);
    return name();
  }
  std::string pattern() {
    static const Names kOdd{"", "/", "!", "!/", "#", "\\", "//", "**", "/**", "**/", "/*", "!/*/", "*", "!*/"};
    static const Names kTails{" ", "  ", "\\ ", "\t", "\r"};
    if (chance(6)) return pick(kOdd);
    std::string text = component();
    for (std::size_t more = below(4); more > 1; --more) text += "/" + component();
    if (chance(20)) text.insert(0, "/");
    if (chance(25)) text += "/";
    if (chance(25)) text.insert(0, "!");
    if (chance(10)) text += pick(kTails);
    return text;
  }
  std::string rules() {
    std::string text = chance(10) ? "\xEF\xBB\xBF" : "";
    const std::string end = chance(25) ? "\r\n" : "\n";
    for (std::size_t lines = 1 + below(4); lines > 0; --lines) text += pattern() + (lines > 1 || chance(70) ? end : "");
    return text;
  }

 private:
  std::mt19937 random_;
};

// A tree with rules, and in one of four a repository within. Returns the folder of that, or
// nothing.
std::string grow(Generator& make, const Folder& tree) {
  Names folders{""};
  for (std::size_t more = 1 + make.below(6); more > 0; --more) {
    const std::string folder = make.pick(folders) + make.name() + "/";
    if (fs::is_regular_file(tree.path() / folder.substr(0, folder.size() - 1))) continue;
    fs::create_directories(tree.path() / folder);
    folders.push_back(folder);
  }
  for (std::size_t more = 4 + make.below(14); more > 0; --more) {
    const std::string file = make.pick(folders) + make.name();
    if (!fs::exists(tree.path() / file)) tree.write(file, file);
  }
  for (const auto& folder : folders) {
    if (make.chance(folder.empty() ? 90 : 40)) tree.write(folder + ".gitignore", make.rules());
  }
  init(tree.path());
  if (make.chance(30)) tree.write(".git/info/exclude", make.rules());
  if (make.chance(15)) (void)run("git -C '" + tree.name() + "' config core.ignorecase true");
  const std::string inner = make.chance(25) ? folders.back() : "";
  if (!inner.empty()) {
    init(tree.path() / inner);
    if (make.chance(50)) tree.write(inner + ".git/info/exclude", make.rules());
  }
  return inner;
}

}  // namespace

TEST_CASE("ai gitignore: on generated trees exactly what git does not ignore is learned") {
  const Home home;
  const char* given = std::getenv("GANTRY_GITIGNORE_SEED");
  const auto now = static_cast<unsigned>(std::chrono::system_clock::now().time_since_epoch().count());
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::stoul(given)) : now;
  std::printf("GANTRY_GITIGNORE_SEED=%u\n", seed);
  Generator make(seed);
  for (int i = 0; i < 80; ++i) {
    const Folder tree;
    const std::string inner = grow(make, tree);
    home.folder().write(".config/git/ignore", make.chance(30) ? make.rules() : "");
    auto expected = by_git(tree.path());
    // A repository within another is a matter of its own, where the one around it does not ignore it.
    if (!inner.empty()) {
      const std::string folder = inner.substr(0, inner.size() - 1);
      const std::string ask = "cd '" + tree.name() + "' && git check-ignore -q -- '" + folder + "'";
      if (std::system(ask.c_str()) != 0) expected.merge(by_git(tree.path() / inner, inner));
    }
    const auto got = learned(tree.path());
    if (got == expected) continue;
    CAPTURE(seed, i, inner,
            run("cd '" + tree.name() + "' && grep -rn '' --include=.gitignore . .git/info/exclude; true"));
    REQUIRE(got == expected);
  }
}

TEST_CASE("ai gitignore: rules of the folders above a workspace hold, up to the top of the repository") {
  const Home home;
  const Folder tree;
  init(tree.path());
  fill(tree, {"a/b/keep", "a/b/secret", "a/b/gen/x", "a/b/own"});
  tree.write(".gitignore", "secret\n");
  tree.write("a/.gitignore", "/b/gen/\n");
  tree.write("a/b/.gitignore", "own\n");
  REQUIRE(learned(tree.path() / "a/b") == std::set<std::string>{"a/b/keep"});
  REQUIRE(by_git(tree.path() / "a/b", "a/b/") == std::set<std::string>{"a/b/keep"});
}

TEST_CASE("ai gitignore: a workspace within an ignored folder is not learned, and that is said") {
  const Home home;
  const Folder tree;
  init(tree.path());
  fill(tree, {"made/inner/x"});
  tree.write(".gitignore", "/made/\n");
  WalkCounts counts;
  REQUIRE(learned(tree.path() / "made/inner", &counts).empty());
  REQUIRE(by_git(tree.path() / "made/inner").empty());
  REQUIRE(counts.notes.size() == 1);
  REQUIRE_THAT(counts.notes.front(), Catch::EndsWith("is not learned: git ignores " + (tree.path() / "made").string()));
}

TEST_CASE("ai gitignore: without a repository the .gitignore files of the workspace hold, and none above") {
  const Home home;
  const Folder tree;
  tree.write(".gitignore", "*\n");
  fill(tree, {"a/keep", "a/secret"});
  tree.write("a/.gitignore", "secret\n");
  REQUIRE(learned(tree.path() / "a") == std::set<std::string>{"a/keep"});
}

TEST_CASE("ai gitignore: the user's own file of rules holds, wherever the configuration says it is") {
  const Home home;
  const Folder tree;
  init(tree.path());
  fill(tree, {"keep", "one", "two"});
  home.folder().write(".config/git/ignore", "one\n");
  REQUIRE(learned(tree.path()) == std::set<std::string>{"keep", "two"});
  home.folder().write(".gitconfig", "[core]\n\texcludesFile = ~/mine\n");
  home.folder().write("mine", "two\n");
  REQUIRE(learned(tree.path()) == std::set<std::string>{"keep", "one"});
  REQUIRE(by_git(tree.path()) == std::set<std::string>{"keep", "one"});
  (void)run("git -C '" + tree.name() + "' config core.excludesFile " + home.folder().name() + "/theirs");
  home.folder().write("theirs", "keep\n");
  REQUIRE(learned(tree.path()) == std::set<std::string>{"one", "two"});
  // A project's configuration that names other files is not followed there.
  home.folder().write("named", "[core]\n\texcludesFile = " + home.folder().name() + "/theirs\n");
  tree.write(".git/config", "[include]\n\tpath = " + home.folder().name() + "/named\n");
  REQUIRE(learned(tree.path()) == std::set<std::string>{"keep", "one"});
}

TEST_CASE("ai gitignore: a worktree has the rules of its repository") {
  const Home home;
  const Folder tree;
  const fs::path main = tree.path() / "main";
  init(main);
  const std::string git = "git -C '" + main.string() + "' -c user.name=n -c user.email=e ";
  (void)run(git + "commit -q --allow-empty -m x && " + git + "worktree add -q ../other 2>/dev/null");
  tree.write("main/.git/info/exclude", "secret\n");
  fill(tree, {"other/keep", "other/secret"});
  REQUIRE(learned(tree.path() / "other") == std::set<std::string>{"other/keep"});
  REQUIRE(by_git(tree.path() / "other", "other/") == std::set<std::string>{"other/keep"});
}

TEST_CASE("ai gitignore: a .gitignore that is a link is none, as for git") {
  const Home home;
  const Folder tree;
  init(tree.path());
  fill(tree, {"keep", "rules"});
  tree.write("rules", "keep\n");
  fs::create_symlink("rules", tree.path() / ".gitignore");
  REQUIRE(learned(tree.path()) == std::set<std::string>{"keep", "keep\n"});
}

TEST_CASE("ai gitignore: rules that cannot be read let nothing be learned that they may be about") {
  const Home home;
  const Folder tree;
  fill(tree, {"keep", "a/x", "a/b/x"});
  tree.write("a/.gitignore", std::string(2U << 20U, '#'));
  WalkCounts counts;
  REQUIRE(learned(tree.path(), &counts) == std::set<std::string>{"keep"});
  REQUIRE_FALSE(counts.complete);
  REQUIRE_THAT(counts.notes.front(), Catch::Contains("a/.gitignore cannot be read"));
}

TEST_CASE("ai gitignore: fifteen double stars cost no more than their length") {
  std::string pattern;
  for (int i = 0; i < 15; ++i) pattern += "**/a*/";
  std::string path;
  for (int i = 0; i < 200; ++i) path += "aa/";
  const Gitignore rules(pattern + "b\n");
  REQUIRE(rules.ignored(path + "c", false) == std::nullopt);
  REQUIRE(rules.ignored(path + "b", false) == true);
}
