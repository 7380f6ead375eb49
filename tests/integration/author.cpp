// SPDX-License-Identifier: Apache-2.0
//
// As a plugin's author works: with what `./dev install` installs, and no checkout.
#include <regex>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// A sandbox whose `gantry` is the installed one, and a shell that has it in its PATH. What the shell compiles comes
/// from ccache when the same source was compiled against the same sdk before, in whatever folder.
struct Author : Sandbox {
  Author() {
    REQUIRE(shell("cmake --install " + gantry::folders::build() + " --prefix " + prefix().string()).code == 0);
    program = (prefix() / "bin" / "gantry").string();
  }
  [[nodiscard]] fs::path prefix() const { return dir() / "prefix"; }
  [[nodiscard]] fs::path project() const { return dir() / "project"; }

  Ran shell(const std::string& line) {
    write("line.sh", "export PATH=" + prefix().string() +
                         "/bin:$PATH\n"
                         "if command -v ccache >/dev/null; then\n"
                         "  export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache\n"
                         "  export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=" +
                         dir().string() + "\nfi\nset -e\ncd " + dir().string() + "\n" + line);
    const auto command = "sh " + (dir() / "line.sh").string() + " > " + (dir() / "shell.out").string() + " 2>&1";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, read("shell.out"), {}};
  }
  void require_shell(const std::string& line) {
    const auto ran = shell(line);
    INFO(line << "\n" << ran.out);
    REQUIRE(ran.code == 0);
  }
  void begin(const std::string& language = "c++") {
    const auto ran = run({"plugin", "new", "word-count", "--dir", project().string(), "--lang", language});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    REQUIRE(has(ran.out, "cmake --workflow --preset clang"));
  }
  void change(const fs::path& file, const std::string& from, const std::string& to) {
    auto text = read(file);
    const auto at = text.find(from);
    REQUIRE(at != std::string::npos);
    write(file, text.replace(at, from.size(), to));
  }
};

}  // namespace

TEST_CASE("author: a plugin is begun and built and tested and called and changed while it runs") {
  Author a;
  a.begin();
  a.require_shell(
      "cd project; cmake --preset clang -DCMAKE_BUILD_TYPE=None; cmake --build --preset clang; "
      "ctest --preset clang");
  (void)a.serve({"--config", (a.project() / "build/clang/gantry.toml").string()});
  REQUIRE(json::parse(a.run({"call", "word-count.greet", "who=Ada"}).out) == json{{"text", "Hello, Ada!"}});
  REQUIRE(has(a.run({"call", "word-count.greet", "--help"}).out, "whom to greet"));
  const auto list = a.run({"plugin", "list"}).out;
  INFO(list);
  REQUIRE(std::regex_search(list, std::regex("word-count +0\\.1\\.0 +ready +child")));
  for (const char* bundled : {"ai ", "lsp ", "project_state "}) {
    CAPTURE(bundled);
    REQUIRE(has(list, bundled));
  }

  a.change("project/src/word-count.cpp", "params.who + \"!\"", "params.who + \"?\"");
  a.change("project/src/word-count.cpp", "0.1.0", "0.2.0");
  a.require_shell("cd project; cmake --build --preset clang --target word-count");
  const auto reload = a.run({"plugin", "reload", "word-count"});
  INFO(reload.err);
  REQUIRE(reload.out == "word-count 0.2.0 is ready\n");
  REQUIRE(json::parse(a.run({"call", "word-count.greet", "who=Ada"}).out) == json{{"text", "Hello, Ada?"}});
}

TEST_CASE("author: a build that fails its check leaves the good one in its place and is tried again") {
  Author a;
  a.begin("c");
  const std::string generator = GENERATE("Ninja", "Unix Makefiles");
  if (generator != "Ninja" && a.shell("command -v make").code != 0) {
    WARN("there is no make here");
    return;
  }
  INFO(generator);
  a.require_shell("cd project; CC=gcc-12 CXX=g++-12 cmake -G '" + generator +
                  "' -B build -DBUILD_TESTING=OFF; cmake --build build");
  const auto plugins = a.project() / "build/plugins";
  const auto library = a.read(plugins / "word-count.so");
  const auto manifest = a.read(plugins / "word-count.json");
  const auto source = a.project() / "src/word-count.c";
  const auto good = a.read(source);
  a.change(source, "int32_t sent;", "int32_t sent;\n  abort();");
  a.change(source, "0.1.0", "0.2.0");
  const auto unchecked = (plugins / "word-count.unchecked/word-count.so").string();
  for (int i = 0; i < 2; ++i) {
    const auto failed = a.shell("cd project; cmake --build build");
    INFO(failed.out);
    REQUIRE(failed.code != 0);
    REQUIRE(has(failed.out, "word-count.greet"));
    REQUIRE(has(failed.out, "gantry plugin check " + unchecked));
    REQUIRE(a.read(plugins / "word-count.so") == library);
    REQUIRE(a.read(plugins / "word-count.json") == manifest);
  }
  const auto by_hand = a.run({"plugin", "check", unchecked, "--only", "manifest", "--only", "answers_once"});
  INFO(by_hand.out);
  REQUIRE(by_hand.code == 1);
  REQUIRE(has(by_hand.out, "passed    manifest"));
  REQUIRE(has(by_hand.out, "crashed   answers_once"));
  (void)a.serve({"--config", (a.project() / "build/gantry.toml").string()});
  REQUIRE(a.run({"call", "word-count.greet"}).code == 0);

  a.write(source, good);
  a.change(source, "0.1.0", "0.3.0");
  a.require_shell("cd project; cmake --build build");
  REQUIRE_FALSE(fs::exists(fs::path(unchecked).parent_path()));
  REQUIRE(a.run({"plugin", "reload", "word-count"}).out == "word-count 0.3.0 is ready\n");
}

TEST_CASE("author: a project passes its test with g++ too and loads into the host itself") {
  Author a;
  a.begin();
  a.require_shell(
      "cd project; cmake --preset gcc -DCMAKE_BUILD_TYPE=None; cmake --build --preset gcc; "
      "ctest --preset gcc");
  a.change("project/build/gcc/gantry.toml", "\"child\"", "\"inline\"");
  a.change("project/build/gcc/gantry.toml", "#[plugins", "[plugins");
  a.change("project/build/gcc/gantry.toml", "#greeting", "greeting");
  (void)a.serve({"--config", (a.project() / "build/gcc/gantry.toml").string()});
  REQUIRE(json::parse(a.run({"call", "word-count.greet", "who=Ada"}).out) == json{{"text", "Good morning, Ada!"}});
}

TEST_CASE("author: a plugin in C is begun and built and called") {
  Author a;
  a.begin("c");
  a.require_shell("cd project; cmake --preset gcc -DBUILD_TESTING=OFF; cmake --build --preset gcc");
  (void)a.serve({"--config", (a.project() / "build/gcc/gantry.toml").string()});
  REQUIRE(json::parse(a.run({"call", "word-count.greet", "who=Ada"}).out) == json{{"hello", {{"who", "Ada"}}}});
}

TEST_CASE("author: an example builds alone by cmake and without it by pkg-config") {
  Author a;
  a.require_shell(
      "cp -r prefix/share/gantry/examples/hello_c .; cd hello_c; CC=gcc-12 cmake -G Ninja -B build; "
      "cmake --build build; test -s build/plugins/hello_c.json");
  a.require_shell(
      "export PKG_CONFIG_PATH=$PWD/prefix/lib/pkgconfig; cd hello_c; "
      "gcc-12 -std=c11 -shared -fPIC $(pkg-config --cflags gantry-sdk) "
      "-Wl,--version-script=$(pkg-config --variable=version_script gantry-sdk) hello_c.c -o hello_c.so; "
      "$(pkg-config --variable=describe gantry-sdk) hello_c.so hello_c.json; "
      "cmp hello_c.json build/plugins/hello_c.json");
}

TEST_CASE("author: what the sdk needs and does not find it names with its package") {
  Author a;
  a.begin();
  const auto ran = a.shell("cd project; cmake --preset gcc -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON");
  INFO(ran.out);
  REQUIRE(ran.code != 0);
  REQUIRE(has(std::regex_replace(ran.out, std::regex("\\s+"), " "), "(Debian: nlohmann-json3-dev)"));
  REQUIRE_FALSE(has(ran.out, "libboost"));
}

TEST_CASE("author: plugin new refuses what cannot be a plugin and what would be overwritten") {
  Sandbox box;
  box.write("full/mine.txt", "keep me");
  const auto refused = [&](const std::vector<std::string>& words, const std::string& why) {
    const auto ran = box.run(words);
    INFO(ran.err);
    REQUIRE(ran.code == 1);
    REQUIRE(has(ran.err, why));
    require_civil(ran);
  };
  const auto fresh = (box.dir() / "fresh").string();
  for (const char* name : {"", "a.b", "a b", "a/b", "..", "\xc3\xa4"})
    refused({"plugin", "new", name, "--dir", fresh}, "cannot be a plugin: id must be one word of letters, digits");
  refused({"plugin", "new", "host", "--dir", fresh}, "cannot be a plugin: id must not be a word of the host");
  for (const char* name : {"ai", "test"}) refused({"plugin", "new", name, "--dir", fresh}, "is taken");
  refused({"plugin", "new", "mine", "--dir", (box.dir() / "full").string()}, "is no empty folder");
  refused({"plugin", "new", "mine", "--dir", (box.dir() / "full/mine.txt").string()}, "is no empty folder");
  REQUIRE(box.read("full/mine.txt") == "keep me");
  REQUIRE_FALSE(fs::exists(fresh));
  REQUIRE(box.run({"plugin", "new", "mine", "--lang", "cobol", "--dir", fresh}).code == 2);
  REQUIRE(box.run({"plugin", "new", "3rd_party-tool", "--dir", fresh}).code == 0);
  REQUIRE(has(box.read("fresh/src/3rd_party-tool.cpp"), "class The3rdPartyToolPlugin {"));
}
