// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <host/config/keys.hpp>
#include <sstream>
#include <tests/unit/config/support.hpp>

#include "tests/folders.hpp"

using namespace gantry;
using namespace gantry::host;
using config_test::home;

namespace {

const std::string kShipped = gantry::folders::source() + "/config/gantry.toml";

const std::string kFull = R"([host]
max_batch = 7
workspaces = ["/src"]
[log]
level = "debug"
[plugins.notes]
path = "/opt/notes.so"
enabled = false
grants = ["processes"]
restart = "never"
settings = { "odd key" = [1, 2.5, { a = "\u0001\n" }] }
[lsp.servers.clangd]
command = ["clangd-19", ""]
languages = ["cpp"]
root_markers = [".git"]
[ai]
default_model = "fast"
[ai.providers."odd name"]
kind = "openai"
base_url = "http://127.0.0.1:8080/v1"
api_key_env = "LOCAL_KEY"
[ai.models.fast]
provider = "odd name"
model = "m"
fallback = ["embedded"]
)";

Config parsed(const std::string& text, const std::string& file = "/etc/g.toml") {
  auto config = parse_config(text, file, home());
  INFO((config ? "" : to_string(config.error())));
  REQUIRE(config);
  return std::move(*config);
}

bool same(const Config& a, const Config& b) {
  const auto changes = diff(a, b);
  return changes.live.empty() && changes.restart.empty();
}

std::string uncommented(const std::string& text) {
  std::istringstream in(text);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    const bool example = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    out += (example ? line.substr(1) : line) + "\n";
  }
  return out;
}

std::string shipped() {
  std::ifstream in(kShipped);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("config: what is shown is TOML that means the same") {
  const Config config = parsed(kFull);
  REQUIRE(same(parsed(show_config(config)), config));
  REQUIRE(same(parsed(show_config(default_config())), default_config()));
}

TEST_CASE("config: what is shown tells where each value comes from") {
  const auto text = show_config(parsed(kFull));
  REQUIRE_THAT(text, Catch::Contains("\nmax_batch = 7  # /etc/g.toml:2\n"));
  REQUIRE_THAT(text, Catch::Contains("\nmax_connections = 1024  # default\n"));
  REQUIRE_THAT(text, Catch::Contains("\nmodel = \"m\"  # /etc/g.toml:24\n"));
  REQUIRE_THAT(text, Catch::Contains("\n# api_key_file is not set\n"));
  REQUIRE_THAT(text, Catch::Contains("\n[ai.providers.\"odd name\"]\nkind = \"openai\"  # /etc/g.toml:19\n"));
}

TEST_CASE("config: a file's name cannot break what is shown") {
  const Config config = parsed(kFull, "/tmp/a\nmax_batch = 1\x1b[31m.toml");
  REQUIRE(same(parsed(show_config(config)), config));
}

TEST_CASE("config: a key's source is its line, or the default") {
  const Config config = parsed(kFull);
  REQUIRE(source_of(config, "log.level") == "/etc/g.toml:5");
  REQUIRE(source_of(config, "log.files") == "default");
}

TEST_CASE("config: a reload names the changed keys, and which of them need a restart") {
  const Config before = parsed(kFull);
  const Config after = parsed(
      "[host]\nmax_batch = 8\nworkspaces = ['/src']\n[log]\nfiles = 9\nlevel = 'debug'\n"
      "[plugins.more]\n"
      "[lsp.servers.clangd]\ncommand = ['clangd-19', '']\nlanguages = ['c', 'cpp']\nroot_markers = ['.git']\n"
      "[async]\nevent_bus_buffer_size = 5\nmax_background_tasks = 11\n");
  const auto changes = diff(before, after);
  REQUIRE(changes.live == std::vector<std::string>{"async.max_background_tasks", "lsp.servers.clangd.languages",
                                                   "ai.default_model", "ai.providers.\"odd name\"", "ai.models.fast"});
  REQUIRE(changes.restart == std::vector<std::string>{"host.max_batch", "log.files", "async.event_bus_buffer_size",
                                                      "plugins.more", "plugins.notes"});
}

TEST_CASE("config: every key is compared by a reload") {
  const Config standard = default_config();
  for (const auto& section : config_sections()) {
    CAPTURE(section.names);
    for (const auto& key : section.keys) {
      CAPTURE(key.name);
      Config config;
      Config other;
      const std::string name(section.example);
      const json value = key.get(section.make(config, name));
      section.make(other, name);
      json changed = value.is_null()             ? (key.type == KeyType::integer                                 ? json(1)
                                                    : key.type == KeyType::boolean                               ? json(true)
                                                    : key.type == KeyType::texts || key.type == KeyType::command ? json{"x"}
                                                                                                                 : json("x"))
                     : value.is_boolean()        ? json(!value.get<bool>())
                     : value.is_number_integer() ? json(value.get<std::int64_t>() + 1)
                     : value.is_object()         ? json{{"x", 1}}
                     : value.is_array()          ? json{"x"}
                                                 : json("x");
      if (!key.choices.empty()) {
        changed =
            std::string(value == json(std::string(key.choices.front())) ? key.choices.back() : key.choices.front());
      }
      key.set(section.make(other, name), changed);
      const std::vector<std::string> expected{section.table(name) + "." + std::string(key.name)};
      const auto changes = diff(config, other);
      REQUIRE((key.apply == Apply::live ? changes.live : changes.restart) == expected);
      REQUIRE((key.apply == Apply::live ? changes.restart : changes.live).empty());
    }
  }
}

TEST_CASE("config: a reload of the same text changes nothing") { REQUIRE(same(parsed(kFull), parsed(kFull, "other"))); }

TEST_CASE("config: config/gantry.toml means the built-in defaults") {
  REQUIRE_FALSE(shipped().empty());
  REQUIRE(same(parsed(shipped()), default_config()));
}

TEST_CASE("config: config/gantry.toml documents every key as the table of keys does") {
  INFO("write it anew by: GANTRY_UPDATE=1 test_config");
  if (std::getenv("GANTRY_UPDATE") != nullptr) std::ofstream(kShipped) << documented_config();
  REQUIRE(shipped() == documented_config());
}

TEST_CASE("config: the examples in config/gantry.toml hold when they are uncommented") {
  std::string text = uncommented(shipped());
  const Config config = parsed(text);
  for (const auto& section : config_sections()) {
    for (const auto& key : section.keys) {
      const std::string path = section.table(section.example) + "." + std::string(key.name);
      INFO(path);
      // Two of a provider's three keys cannot be shown together with the first.
      const bool excluded = key.name == "api_key_file" || key.name == "api_key_command";
      REQUIRE(config.places.contains(path) != excluded);
      REQUIRE_THAT(shipped(), Catch::Contains(std::string(key.doc)));
    }
  }
  REQUIRE(config.ai.models.at("fast").provider == "local");
  REQUIRE(config.lsp_servers.at("clangd").command->front() == "clangd-19");
}
