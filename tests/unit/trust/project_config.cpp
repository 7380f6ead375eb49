// SPDX-License-Identifier: Apache-2.0
//
// What a project's `.gantry.toml` says, and what of it counts.
#include "host/trust/project.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include "host/config/keys.hpp"
#include "host/config/sha256.hpp"
#include "tests/unit/config/support.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using config_test::home;

namespace {

const std::string kUsers = R"(
[lsp.servers.py]
command = "pyls"
languages = ["python"]
settings = { a = 1, b = { c = 2 } }
[lsp.servers.clangd]
settings = { clangd = { x = 1, y = 2 } }
[ai.models.fast]
provider = "embedded"
)";

[[nodiscard]] Config users() { return parse_config(kUsers, "/etc/g.toml", home()).value(); }

[[nodiscard]] ConfigResult<ProjectConfig> read(const std::string& text, bool trusted = false) {
  return project_config(ProjectFile{"/p/.gantry.toml", text, sha256(text)}, users(), trusted, home());
}

[[nodiscard]] std::vector<std::string> waiting(const ProjectConfig& project) {
  std::vector<std::string> out;
  for (const auto& key : project.keys) {
    if (!key.safe) out.push_back(key.key);
  }
  return out;
}

[[nodiscard]] std::string first_error(const ConfigResult<ProjectConfig>& project) {
  REQUIRE_FALSE(project);
  return to_string(project.error().front());
}

}  // namespace

TEST_CASE("project config: safe keys are in force without trust and the others wait for it") {
  const std::string text = R"(
[lsp.servers.py]
command = ["evil"]
settings = { b = { c = 3 } }
root_markers = ["pyproject.toml"]
[lsp.servers.clangd]
settings = { clangd = { y = 3 } }
[ai]
default_model = "fast"
[plugins.notes]
settings = { folder = "here" }
)";
  const auto untrusted = read(text);
  REQUIRE(untrusted);
  const Config& now = untrusted->config;
  REQUIRE(now.lsp_servers.at("py").command == std::vector<std::string>{"pyls"});
  REQUIRE(now.lsp_servers.at("py").settings == json{{"a", 1}, {"b", {{"c", 2}}}});
  REQUIRE(now.lsp_servers.at("py").root_markers == std::vector<std::string>{"pyproject.toml"});
  REQUIRE(now.lsp_servers.at("clangd").settings == json{{"clangd", {{"x", 1}, {"y", 3}}}});
  REQUIRE(now.ai.default_model == "fast");
  REQUIRE_FALSE(now.plugins.contains("notes"));
  REQUIRE(waiting(*untrusted) ==
          std::vector<std::string>{"plugins.notes.settings", "lsp.servers.py.command", "lsp.servers.py.settings"});
  const auto trusted = read(text, true);
  REQUIRE(trusted);
  REQUIRE(trusted->config.lsp_servers.at("py").command == std::vector<std::string>{"evil"});
  REQUIRE(trusted->config.lsp_servers.at("py").settings == json{{"a", 1}, {"b", {{"c", 3}}}});
  REQUIRE(trusted->config.plugins.at("notes").settings == json{{"folder", "here"}});
}

TEST_CASE("project config: a program's path may be written from the folder of the project's file") {
  const auto program = [](const std::string& word) {
    const auto project = read("[lsp.servers.own]\nlanguages = ['c']\ncommand = ['" + word + "', './a']\n", true);
    REQUIRE(project);
    return project->config.lsp_servers.at("own").command.value();
  };
  REQUIRE(program("./node_modules/.bin/s") == std::vector<std::string>{"/p/node_modules/.bin/s", "./a"});
  REQUIRE(program("bin/s").front() == "/p/bin/s");
  REQUIRE(program("~/bin/s").front() == "/home/u/bin/s");
  REQUIRE(program("s").front() == "s");
}

TEST_CASE("project config: a server that the user has not waits as a whole") {
  const std::string text = "[lsp.servers.mine]\ncommand = ['./mine']\nlanguages = ['cpp']\n";
  const auto untrusted = read(text);
  REQUIRE(untrusted);
  REQUIRE_FALSE(untrusted->config.lsp_servers.contains("mine"));
  REQUIRE(waiting(*untrusted).size() == 2);
  const ProjectFile file{"/p/.gantry.toml", text, {}};
  const auto alone = project_config(file, default_config(), true, home());
  REQUIRE(alone);
  REQUIRE(alone->config.lsp_servers.contains("mine"));
}

TEST_CASE("project config: an error names the project's file and its line and column") {
  REQUIRE(first_error(read("[lsp.servers.py]\nsettings = 1\n")) ==
          "/p/.gantry.toml:2:12: error: `lsp.servers.py.settings` must be a table, not 1");
  REQUIRE(first_error(read("[lsp.servers.py]\nsetings = 1\n")).starts_with("/p/.gantry.toml:2:1: error: unknown key"));
  REQUIRE(first_error(read("[lsp\n")).starts_with("/p/.gantry.toml:1:"));
  REQUIRE(first_error(read("[ai]\ndefault_model = 'fst'\n"))
              .starts_with("/p/.gantry.toml:2:17: error: `ai.default_model`: there is no model `fst`; did you mean"));
  // Said before anybody trusts it.
  REQUIRE(first_error(read("[lsp.servers.mine]\ncommand = ['./mine']\n"))
              .starts_with("/p/.gantry.toml:1:1: error: [lsp.servers.mine] needs `languages`"));
}

TEST_CASE("project config: what is the host's alone is refused by name even when the project is trusted") {
  for (const char* line :
       {"[host]\nworkers = 1\n", "[log]\nlevel = 'trace'\n", "[plugins.x]\npath = '/tmp/x.so'\n",
        "[plugins.x]\ngrants = ['network']\n", "[plugins.x]\nisolation = 'inline'\n",
        "[ai.providers.x]\nkind = 'openai'\nbase_url = 'http://evil/v1'\n", "[ai.models.x]\nprovider = 'embedded'\n",
        "[async]\nmax_background_tasks = 1\n", "[state]\nmax_sessions = 1\n", "[supervisor]\nintensity = 1\n"}) {
    INFO(line);
    REQUIRE(first_error(read(line, true)).find("is not for a project to set") != std::string::npos);
  }
}

TEST_CASE("project config: no key that a project may set untrusted names a program or a file or a place") {
  for (const auto& section : config_sections()) {
    for (const auto& key : section.keys) {
      if (key.project != ProjectUse::safe) continue;
      INFO(section.path << " " << key.name);
      REQUIRE((key.type == KeyType::texts || key.type == KeyType::text || key.type == KeyType::integer ||
               key.type == KeyType::choice));
      REQUIRE(key.name != "command");
    }
  }
}

TEST_CASE("project config: what is no plain file of the user's own is not read and it is said why") {
  const TempDir dir;
  const auto file = dir.path() / ".gantry.toml";
  std::string why;
  ErrorKind kind = ErrorKind::permission_denied;
  SECTION("a link") {
    std::ofstream(dir.path() / "elsewhere") << "[ai]\n";
    std::filesystem::create_symlink(dir.path() / "elsewhere", file);
    why = "is a symbolic link";
  }
  SECTION("a pipe that nobody writes into") {
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    why = "is no regular file";
  }
  SECTION("a folder") {
    std::filesystem::create_directory(file);
    why = "is no regular file";
  }
  SECTION("huge") {
    std::ofstream(file) << "[ai]\n";
    std::filesystem::resize_file(file, std::uintmax_t{1} << 40);
    why = "is larger than 65536 bytes";
    kind = ErrorKind::too_large;
  }
  SECTION("another user's") {
    std::ofstream(file) << "[ai]\n";
    if (::chown(file.c_str(), 65534, 65534) != 0) return;  // only root can give a file away
    why = "belongs to another user (65534)";
  }
  const auto read = read_project_file(dir.path());
  REQUIRE_FALSE(read);
  REQUIRE(read.error().kind == kind);
  REQUIRE(read.error().message.find(file.string() + " " + why) == 0);
}

TEST_CASE("project config: the digest is the SHA-256 of the bytes that are parsed") {
  REQUIRE(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  REQUIRE(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const TempDir dir;
  REQUIRE_FALSE(read_project_file(dir.path()).value());
  std::ofstream(dir.path() / ".gantry.toml") << "[ai]\n";
  const auto file = read_project_file(dir.path()).value();
  REQUIRE(file);
  REQUIRE(file->text == "[ai]\n");
  REQUIRE(file->digest == sha256("[ai]\n"));
}
