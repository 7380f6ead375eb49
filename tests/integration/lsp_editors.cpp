// SPDX-License-Identifier: Apache-2.0
//
// Editors in front of `gantry lsp` with the real clangd. What each does is in a script of its own, tests/editors/, in
// the editor's own language: diagnostics, hover, definition, references, completion, a rename, a tweak whose edit the
// server asks for, all of them of text that is not on the disk; then clangd is killed, and the editor goes on.
#include <map>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"
#include "tests/other_user.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::string kScripts = gantry::folders::source() + "/tests/editors/";
const std::string kText =
    "/// Adds two numbers.\nint add(int a, int b) { return a + b; }\nint x = add(1, 2);\nauto y = add(3, 4);\n"
    "int wrong = absent_value;\n";

/// The command lines of the processes that run in this folder.
std::string run_in(const fs::path& folder) {
  std::string out;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::error_code gone;
    if (fs::read_symlink(entry.path() / "cwd", gone) != folder || gone) continue;
    std::ifstream in(entry.path() / "cmdline");
    std::string word;
    while (std::getline(in, word, '\0')) out += word + " ";
    out += "\n";
  }
  return out;
}

/// A daemon with a workspace, and an environment in which editors find both.
struct EditedProject {
  Sandbox box;

  EditedProject() {
    box.write("work/compile_flags.txt", "-std=c++20\n");
    box.write("work/a.cpp", kText);
    (void)box.serve({"--workspace", box.work().string()});
    box.environment = {"GANTRY_SOCKET=" + box.socket().string(),
                       "PATH=" + gantry::folders::build() + ":" + std::getenv("PATH")};
    box.program = "/usr/bin/env";
    box.names_socket = false;
    box.cwd = box.work().string();
  }
  void require_nothing_left() {
    REQUIRE(box.read("work/a.cpp") == kText);
    wait_for("no process of the editors and their servers", [&] { return run_in(fs::canonical(box.work())).empty(); });
    // A process is gone for others a moment before its parent has heard of that.
    wait_for("no process in lsp.servers", [&] {
      const auto servers = json::parse(box.run({"gantry", "call", "lsp.servers"}).out)["servers"];
      return std::ranges::none_of(servers, [](const json& server) { return server.contains("pid"); });
    });
  }
};

/// False: the editor is not installed.
bool edits_with(const std::vector<std::string>& editor) {
  EditedProject project;
  const auto ran = project.box.run(editor);
  INFO(ran.out << ran.err);
  constexpr int kNoCommand = 127;  // of env
  if (ran.code == gantry::test::kSkipped || ran.code == kNoCommand) return false;
  REQUIRE(ran.code == 0);
  project.require_nothing_left();
  return true;
}

const std::vector<std::string> kNeovim{"nvim", "--clean", "--headless",
                                       "-n",   "-c",      "luafile " + kScripts + "neovim.lua"};
const std::vector<std::string> kVsCode{"node", kScripts + "vscode.js", gantry::folders::build() + "/npm"};
const std::vector<std::string> kEglot{"emacs", "--batch", "-q", "--load", kScripts + "eglot.el"};

}  // namespace

TEST_CASE("lsp editors: Neovim works with clangd and goes on when clangd is killed and leaves nothing behind") {
  REQUIRE(edits_with(kNeovim));
}

TEST_CASE(
    "lsp editors: the library of VS Code works with clangd and goes on when it is killed and leaves nothing behind") {
  REQUIRE(edits_with(kVsCode));
}

TEST_CASE("lsp editors: Eglot works with clangd and goes on when clangd is killed and leaves nothing behind") {
  if (!edits_with(kEglot)) gantry::test::skip("Emacs with Eglot is not installed: tools/packages_editors.txt");
}

// Without Eglot where it is not installed.
TEST_CASE("lsp editors: several share one clangd, and with unsaved text of their own each see their own") {
  EditedProject project;
  Sandbox& box = project.box;
  std::map<std::string, std::vector<std::string>> editors{{"neovim", kNeovim}, {"vscode", kVsCode}};
  const char* const has_eglot =
      "(progn (require 'package) (package-initialize) (kill-emacs (if (require 'eglot nil t) 0 1)))";
  if (box.run({"emacs", "--batch", "-q", "--eval", has_eglot}).code == 0) editors["eglot"] = kEglot;
  fs::create_directory(box.dir() / "met");
  box.environment.push_back("MEETS_IN=" + (box.dir() / "met").string());
  box.environment.push_back("MEETS=" + std::to_string(editors.size()));
  std::map<std::string, pid_t> started;
  for (const auto& [name, words] : editors) started[name] = box.start(words, name);
  std::string said;  // by all: who waits in vain does not say why
  bool sound = true;
  for (const auto& [name, pid] : started) {
    sound = box.wait(pid) == 0 && sound;
    said += name + ": " + box.read(name + ".out") + box.read(name + ".err") + "\n";
  }
  INFO(said);
  REQUIRE(sound);
  project.require_nothing_left();
}
