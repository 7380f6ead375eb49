// SPDX-License-Identifier: Apache-2.0
//
// The file itself: found, read, or not.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <tests/unit/config/support.hpp>
#include "tests/other_user.hpp"

using namespace gantry::host;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "gantry-config-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  [[nodiscard]] fs::path file(const std::string& name, const std::string& text) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name) << text;
    return path / name;
  }
};

std::string diagnostics(const fs::path& file) {
  const auto config = load_config(file);
  return config ? "" : to_string(config.error());
}

using Variables = std::map<std::string, std::string>;

EnvLookup env(Variables variables) {
  return [variables](const char* name) -> std::optional<std::string> {
    const auto at = variables.find(name);
    return at == variables.end() ? std::nullopt : std::optional(at->second);
  };
}

}  // namespace

TEST_CASE("config: a file is read, and its name is in the messages") {
  const Folder folder;
  const auto config = load_config(folder.file("ok.toml", "[host]\nmax_batch = 3\n"));
  REQUIRE(config);
  REQUIRE(config->host.max_batch == 3);
  REQUIRE(source_of(*config, "host.max_batch") == (folder.path / "ok.toml").string() + ":2");
  const auto bad = folder.file("bad.toml", "[host]\nmax_batch = 0\n");
  REQUIRE(diagnostics(bad) ==
          bad.string() + ":2:13: error: `host.max_batch` must be an integer from 1 to 10000, not 0\n");
}

TEST_CASE("config: a file that cannot be read says why") {
  const Folder folder;
  const auto at = [&](const char* name) { return folder.path / name; };
  REQUIRE(diagnostics(at("none.toml")) ==
          at("none.toml").string() + ": error: cannot be opened: No such file or directory\n");
  REQUIRE(diagnostics(folder.path) == folder.path.string() + ": error: is a folder; name the file in it\n");
  REQUIRE(::mkfifo(at("pipe").c_str(), 0600) == 0);
  REQUIRE(diagnostics(at("pipe")) == at("pipe").string() + ": error: is no regular file\n");
  fs::create_symlink(at("loop"), at("loop"));
  REQUIRE(diagnostics(at("loop")) ==
          at("loop").string() + ": error: cannot be opened: Too many levels of symbolic links\n");
}

TEST_CASE("config: a file without permission says so") {
  const Folder folder;
  const auto file = folder.file("private.toml", "");
  REQUIRE(::chmod(file.c_str(), 0) == 0);
  REQUIRE(::chmod(folder.path.c_str(), 0755) == 0);
  const auto child = gantry::test::start_without_root(
      [&] { return diagnostics(file) == file.string() + ": error: cannot be opened: Permission denied\n" ? 0 : 1; });
  REQUIRE(gantry::test::exit_code(child) == 0);
}

TEST_CASE("config: a file of more than 1 MiB is refused, one of 1 MiB is read") {
  const Folder folder;
  const auto largest = folder.file("largest.toml", std::string(kMaxConfigBytes, '\n'));
  REQUIRE(load_config(largest));
  const auto larger = folder.file("larger.toml", std::string(kMaxConfigBytes + 1, '\n'));
  REQUIRE(diagnostics(larger) ==
          larger.string() + ": error: the configuration may have at most 1048576 bytes, not 1048577\n");
  REQUIRE_FALSE(parse_config(std::string(kMaxConfigBytes + 1, '\n'), "text"));
}

TEST_CASE("config: the command line is looked at first, then GANTRY_CONFIG, then the XDG folder, then HOME") {
  const Folder folder;
  const auto xdg = folder.file("xdg/gantry/gantry.toml", "");
  const auto own = folder.file("home/.config/gantry/gantry.toml", "");
  Variables variables{{"GANTRY_CONFIG", "/named.toml"},
                      {"XDG_CONFIG_HOME", (folder.path / "xdg").string()},
                      {"HOME", (folder.path / "home").string()}};
  REQUIRE(find_config_file("/line.toml", env(variables)) == fs::path("/line.toml"));
  REQUIRE(find_config_file(std::nullopt, env(variables)) == fs::path("/named.toml"));
  variables["GANTRY_CONFIG"] = "";
  REQUIRE(find_config_file(std::nullopt, env(variables)) == xdg);
  variables["XDG_CONFIG_HOME"] = "relative";
  REQUIRE(find_config_file(std::nullopt, env(variables)) == own);
  variables.erase("XDG_CONFIG_HOME");
  REQUIRE(find_config_file(std::nullopt, env(variables)) == own);
}

TEST_CASE("config: no file in the XDG folder means the defaults") {
  const Folder folder;
  REQUIRE_FALSE(find_config_file(std::nullopt, env({{"HOME", folder.path.string()}})));
  REQUIRE_FALSE(find_config_file(std::nullopt, env({})));
}

TEST_CASE("config: a file that is a link to nothing, or lies in one, is no missing file") {
  const Folder folder;
  const auto home = folder.path / ".config";
  fs::create_directories(home / "gantry");
  const auto nowhere = folder.path / "dotfiles" / "gantry.toml";
  const auto file = home / "gantry" / "gantry.toml";
  fs::create_symlink(nowhere, file);
  const auto variables = env({{"HOME", folder.path.string()}});
  REQUIRE(find_config_file(std::nullopt, variables) == file);
  REQUIRE(diagnostics(file) == file.string() + ": error: is a link to " + nowhere.string() +
                                   ", which does not exist; correct or remove the link\n");
  fs::remove_all(home / "gantry");
  fs::create_symlink(folder.path / "dotfiles", home / "gantry");
  REQUIRE(find_config_file(std::nullopt, variables) == file);
  REQUIRE(diagnostics(file) == file.string() + ": error: lies in a link to " + (folder.path / "dotfiles").string() +
                                   ", which does not exist; correct or remove the link\n");
  fs::create_directories(folder.path / "dotfiles");
  REQUIRE_FALSE(find_config_file(std::nullopt, variables));
}
