// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with values, keys and names: the exact line that a user sees.
#include <catch2/catch.hpp>
#include <tests/unit/config/support.hpp>

using namespace gantry::host;
using config_test::diagnostics;
using config_test::home;

TEST_CASE("config: an unknown key is named with the nearest one of its table") {
  REQUIRE(diagnostics("[async]\nevent_bus_buffer_size = 10\n  max_concurent_ai_requests = 2\n") ==
          "g.toml:3:3: error: unknown key `max_concurent_ai_requests` in [async]; did you mean "
          "`max_concurrent_ai_requests`?\n");
}

TEST_CASE("config: an unknown key that belongs to another table is sent there") {
  REQUIRE(diagnostics("[async]\nmax_batch = 2\n") ==
          "g.toml:2:1: error: unknown key `max_batch` in [async]; did you mean it in [host]?\n");
  REQUIRE(diagnostics("level = 'info'\n") ==
          "g.toml:1:1: error: unknown key `level` at the top of the file; did you mean it in [log]?\n");
}

TEST_CASE("config: an unknown key like no other is answered with those that are known") {
  REQUIRE(diagnostics("[supervisor]\nzq = 1\n") ==
          "g.toml:2:1: error: unknown key `zq` in [supervisor]; known there are `backoff_initial_ms`, "
          "`backoff_max_ms`, `hung_seconds`, `intensity`, `period_seconds`\n");
  REQUIRE(diagnostics("[plugins]\nx = 1\n") == "g.toml:2:5: error: `plugins.x` must be a table: write [plugins.x]\n");
}

TEST_CASE("config: an unknown table is named with the nearest one") {
  REQUIRE(diagnostics("[asinc]\nx = 1\n") == "g.toml:1:2: error: unknown table [asinc]; did you mean [async]?\n");
  REQUIRE(diagnostics("[lsp.server.clangd]\ncommand = 'x'\n") ==
          "g.toml:1:6: error: unknown table [lsp.server]; did you mean [lsp.servers]?\n");
}

TEST_CASE("config: an unknown key in a named table is placed in that table") {
  REQUIRE(diagnostics("[plugins.notes]\npth = '/x'\n") ==
          "g.toml:2:1: error: unknown key `pth` in [plugins.notes]; did you mean `path`?\n");
}

TEST_CASE("config: an unknown key cannot smuggle control characters into the message, nor its value") {
  const auto text = diagnostics("[host]\n\"a\\u001b[31m\\n\" = \"sk-secret\"\n");
  REQUIRE(text.find('\x1b') == std::string::npos);
  REQUIRE(text.find("secret") == std::string::npos);
  REQUIRE_THAT(text, Catch::StartsWith("g.toml:2:1: error: unknown key `\"a\\u001B[31m\\n\"` in [host]; "));
}

TEST_CASE("config: wrong types are told with the right one and what was found") {
  REQUIRE(diagnostics("[host]\nmax_batch = \"12\"\n") ==
          "g.toml:2:13: error: `host.max_batch` must be an integer from 1 to 10000, not the string \"12\"\n");
  REQUIRE(diagnostics("[log]\nstderr = 1\n") == "g.toml:2:10: error: `log.stderr` must be true or false, not 1\n");
  REQUIRE(diagnostics("[log]\nlevel = []\n") ==
          "g.toml:2:9: error: `log.level` must be one of \"trace\", \"debug\", \"info\", \"warn\", \"error\", not an "
          "array\n");
  REQUIRE(diagnostics("[log]\nlevel = 'loud'\n") ==
          "g.toml:2:9: error: `log.level` must be one of \"trace\", \"debug\", \"info\", \"warn\", \"error\", not the "
          "string \"loud\"\n");
  REQUIRE(
      diagnostics("[host]\nworkspaces = '/x'\n") ==
      "g.toml:2:14: error: `host.workspaces` must be an array of absolute paths, or of such that begin with ~/, not "
      "the string \"/x\"\n");
  REQUIRE(
      diagnostics("[host]\nworkspaces = ['/x', 1979-05-27]\n") ==
      "g.toml:2:21: error: `host.workspaces` must be an array of absolute paths, or of such that begin with ~/; this "
      "entry is the date or time 1979-05-27\n");
  REQUIRE(diagnostics("[plugins.a]\nsettings = 3\n") ==
          "g.toml:2:12: error: `plugins.a.settings` must be a table, not 3\n");
  REQUIRE(diagnostics("[ai]\ndefault_model = 3.5\n") ==
          "g.toml:2:17: error: `ai.default_model` must be a string that is not empty, not 3.5\n");
}

TEST_CASE("config: a value in the place of a table is refused") {
  REQUIRE(diagnostics("host = 1\n") == "g.toml:1:8: error: `host` must be a table: write [host]\n");
  REQUIRE(diagnostics("[plugins]\nnotes = '/x.so'\n") ==
          "g.toml:2:9: error: `plugins.notes` must be a table: write [plugins.notes]\n");
  REQUIRE(diagnostics("[[host]]\nmax_batch = 1\n") == "g.toml:1:1: error: `host` must be a table: write [host]\n");
}

TEST_CASE("config: what is not built yet is refused, and says so") {
  REQUIRE(diagnostics("[ai.providers.a]\nkind = \"anthropic\"\n") ==
          "g.toml:2:8: error: `ai.providers.a.kind`: \"anthropic\" is not built yet; use \"openai\" or \"embedded\"\n");
  REQUIRE(
      diagnostics("[http]\n") ==
      "g.toml:1:1: error: [http]: the HTTP server is not built yet, so it cannot be configured; remove the table\n");
}

TEST_CASE("config: paths, URLs and names of variables have their form") {
  REQUIRE(diagnostics("[plugins.a]\npath = 'a.so'\n") ==
          "g.toml:2:8: error: `plugins.a.path` must be an absolute path, or one that begins with ~/, not the string "
          "\"a.so\"\n");
  REQUIRE(diagnostics("[plugins.a]\npath = ''\n") ==
          "g.toml:2:8: error: `plugins.a.path` must be an absolute path, or one that begins with ~/, not empty\n");
  REQUIRE(diagnostics("[plugins.a]\npath = \"/a\\u0000b\"\n") ==
          "g.toml:2:8: error: `plugins.a.path` must not contain control characters\n");
  const std::string provider = "[ai.providers.p]\nkind = 'openai'\n";
  REQUIRE(diagnostics(provider + "base_url = 'ftp://x'\n") ==
          "g.toml:3:12: error: `ai.providers.p.base_url` must be a URL that begins with http:// or https://, not the "
          "string \"ftp://x\"\n");
  REQUIRE(diagnostics(provider + "base_url = 'http:///v1'\n") ==
          "g.toml:3:12: error: `ai.providers.p.base_url` names no host\n");
  REQUIRE(
      diagnostics(provider + "base_url = 'http://me:secret@h/v1'\n") ==
      "g.toml:3:12: error: `ai.providers.p.base_url` must not have a user, a query or a fragment; a key has a place of "
      "its own (api_key_env)\n");
  REQUIRE(diagnostics(provider + "base_url = 'http://h h/v1'\n").find("is no URL as RFC 3986 has them") !=
          std::string::npos);
  REQUIRE(diagnostics(provider + "base_url = 'http://[::1/v1'\n").find("is no URL") != std::string::npos);
  REQUIRE(diagnostics(provider + "base_url = 'http://h:65536/v1'\n") ==
          "g.toml:3:12: error: `ai.providers.p.base_url` names no port from 1 to 65535\n");
  for (const char* good : {"http://h", "HTTPS://h:443/v1/", "http://[::1]:8080/a%20b"}) {
    CAPTURE(good);
    REQUIRE(diagnostics(provider + "base_url = '" + good + "'\n").empty());
  }
  REQUIRE(diagnostics(provider + "base_url = 'http://h'\nmax_retries = 11\n") ==
          "g.toml:4:15: error: `ai.providers.p.max_retries` must be an integer from 0 to 10, not 11\n");
  REQUIRE(diagnostics("[ai]\ndefault_model = '" + std::string(5000, 'x') + "'\n") ==
          "g.toml:2:17: error: `ai.default_model` must be at most 4096 bytes long, not 5000\n");
}

TEST_CASE("config: an endpoint's path behind a base URL is refused with what to write instead") {
  const std::string provider = "[ai.providers.p]\nkind = 'openai'\nbase_url = 'http://h/v1";
  for (const char* path : {"/chat/completions", "/completions", "/completions/", "/responses", "/embeddings"}) {
    CAPTURE(path);
    REQUIRE(diagnostics(provider + path + "'\n") ==
            "g.toml:3:12: error: `ai.providers.p.base_url` must end before the endpoint's path, which is added to it; "
            "write \"http://h/v1\"\n");
  }
}

TEST_CASE("config: members that a provider is not sent are names, and never the question itself") {
  const std::string provider = "[ai.providers.p]\nkind = 'openai'\nbase_url = 'http://h/v1'\nomit = ";
  REQUIRE(diagnostics(provider + "['stream_options', 'temperature']\n").empty());
  REQUIRE(diagnostics(provider + "['messages']\n") ==
          "g.toml:4:8: error: `ai.providers.p.omit` must not hold \"messages\": without it there is no request\n");
  REQUIRE_FALSE(diagnostics(provider + "'stream_options'\n").empty());
}

TEST_CASE("config: a key in the place of its variable's name is not repeated") {
  REQUIRE(
      diagnostics("[ai.providers.p]\nkind = 'openai'\nbase_url = 'http://h'\napi_key_env = 'sk-1234'\n") ==
      "g.toml:4:15: error: `ai.providers.p.api_key_env` must be the name of an environment variable: letters, digits "
      "and _; it is not shown here\n");
}

TEST_CASE("config: a path from ~/ needs HOME") {
  const auto config = parse_config("[plugins.a]\npath = '~/a.so'\n", "g.toml",
                                   [](const char*) { return std::optional<std::string>(); });
  REQUIRE_FALSE(config);
  REQUIRE(to_string(config.error()) ==
          "g.toml:2:8: error: `plugins.a.path` begins with ~, but HOME names no folder; write the whole path\n");
}

TEST_CASE("config: a command is an array, or a string without shell signs") {
  const std::string head = "[lsp.servers.s]\nlanguages = ['c']\n";
  REQUIRE(diagnostics(head + "command = []\n") ==
          "g.toml:3:11: error: `lsp.servers.s.command` must name a program, not be empty\n");
  REQUIRE(diagnostics(head + "command = '  '\n") ==
          "g.toml:3:11: error: `lsp.servers.s.command` must name a program, not be empty\n");
  REQUIRE(
      diagnostics(head + "command = 'a | b'\n") ==
      "g.toml:3:11: error: `lsp.servers.s.command` is run without a shell, so quotes and shell signs mean nothing in "
      "it; write an array of strings\n");
  REQUIRE(diagnostics(head + "command = ['']\n") ==
          "g.toml:3:12: error: `lsp.servers.s.command` has a bad entry, which must be a program and its arguments: an "
          "array of strings, or one string that is split at spaces, not empty\n");
  REQUIRE(diagnostics(head + "command = ['a', '', \"b\\n$x\"]\n").empty());
}

TEST_CASE("config: a command's program is found on PATH, or by a path from / or ~/, and by no other") {
  const std::string head = "[lsp.servers.s]\nlanguages = ['c']\n";
  const auto program = [&](const std::string& command) {
    const auto config = parse_config(head + "command = " + command + "\n", "g.toml", home());
    return config ? config->lsp_servers.at("s").command->front() : to_string(config.error());
  };
  REQUIRE(program("['~/bin/s', '~/x']") == "/home/u/bin/s");
  REQUIRE(program("'~/bin/s --stdio'") == "/home/u/bin/s");
  REQUIRE(program("['/opt/s']") == "/opt/s");
  REQUIRE(program("['s', 'a/b']") == "s");
  for (const std::string word : {"./s", "bin/s", "~other/s", "$HOME/s"}) {
    CAPTURE(word);
    REQUIRE(program("['" + word + "']") == "g.toml:3:12: error: `lsp.servers.s.command` names the program \"" + word +
                                               "\" by a path from no folder; write the whole path, from / or ~/, or a "
                                               "program on PATH\n");
  }
  REQUIRE(program("'./s --stdio'").starts_with("g.toml:3:11: error: `lsp.servers.s.command` names the program"));
  REQUIRE(
      to_string(parse_config(head + "command = ['~/s']\n", "g.toml", home("")).error()) ==
      "g.toml:3:12: error: `lsp.servers.s.command` begins with ~, but HOME names no folder; write the whole path\n");
}

TEST_CASE("config: keys that a table needs are asked for at its head") {
  REQUIRE(diagnostics("\n[lsp.servers.s]\ncommand = 'x'\n") ==
          "g.toml:2:1: error: [lsp.servers.s] needs `languages`\n");
  REQUIRE(diagnostics("[ai.models.m]\n[ai.providers.p]\n") ==
          "g.toml:1:1: error: [ai.models.m] needs `provider`: a string that is not empty\n"
          "g.toml:2:1: error: [ai.providers.p] needs `kind`: \"openai\" or \"embedded\"\n");
  REQUIRE(
      diagnostics("[ai.providers.p]\nkind = 'openai'\n") ==
      "g.toml:1:1: error: [ai.providers.p] needs `base_url` for kind = \"openai\": the endpoint's URL, up to /v1\n");
}

TEST_CASE("config: names of plugins cannot leave their folder") {
  REQUIRE(diagnostics("[plugins.\"../x\"]\n") ==
          "g.toml:1:10: error: `plugins.\"../x\"`: a name may have only letters, digits, `_` and `-`\n");
  REQUIRE(diagnostics("[ai.models.\"\"]\n") ==
          "g.toml:1:12: error: `ai.models.\"\"`: a name must be 1 to 64 bytes long\n");
  REQUIRE(diagnostics("[ai.models.\"a\\u0007\"]\n") ==
          "g.toml:1:12: error: `ai.models.\"a\\u0007\"`: a name must not have control characters\n");
}

TEST_CASE("config: models and providers must exist") {
  const std::string text = R"([ai]
default_model = "fats"
[ai.providers.local]
kind = "embedded"
[ai.models.fast]
provider = "locl"
model = "m"
fallback = ["embedded",
            "slow"]
)";
  REQUIRE(diagnostics(text) ==
          "g.toml:2:17: error: `ai.default_model`: there is no model `fats`; did you mean `fast`?\n"
          "g.toml:6:12: error: `ai.models.fast.provider`: there is no provider `locl`; did you mean `local`?\n"
          "g.toml:9:13: error: `ai.models.fast.fallback`: there is no model `slow`; known are `embedded`, `fast`\n");
}

TEST_CASE("config: fallbacks that go round in a circle are told once, with the way") {
  const std::string text = R"([ai.models.a]
provider = "embedded"
model = "m"
fallback = ["embedded", "b"]
[ai.models.b]
provider = "embedded"
model = "m"
fallback = ["c"]
[ai.models.c]
provider = "embedded"
model = "m"
fallback = ["a"]
[ai.models.self]
provider = "embedded"
model = "m"
fallback = ["self"]
)";
  REQUIRE(diagnostics(text) ==
          "g.toml:4:12: error: `ai.models.a.fallback` goes round in a circle: a -> b -> c -> a\n"
          "g.toml:16:12: error: `ai.models.self.fallback` goes round in a circle: self -> self\n");
}

TEST_CASE("config: a fallback that only leads into a circle is not blamed for it") {
  const std::string model = "provider = 'embedded'\nmodel = 'm'\n";
  REQUIRE(diagnostics("[ai.models.a]\n" + model + "fallback = ['b']\n[ai.models.b]\n" + model + "fallback = ['b']\n") ==
          "g.toml:8:12: error: `ai.models.b.fallback` goes round in a circle: b -> b\n");
}

TEST_CASE("config: a provider has one key") {
  REQUIRE(
      diagnostics("[ai.providers.p]\nkind = 'openai'\nbase_url = 'http://h'\napi_key_env = 'A'\napi_key_file = '/k'\n"
                  "api_key_command = 'c'\n") ==
      "g.toml:5:16: error: `ai.providers.p.api_key_file` and `api_key_env` exclude each other: a provider has one key\n"
      "g.toml:6:19: error: `ai.providers.p.api_key_command` and `api_key_env` exclude each other: a provider has one "
      "key\n");
}

TEST_CASE("config: keys that the embedded provider has no use for are refused") {
  REQUIRE(diagnostics("[ai.providers.p]\nkind = 'embedded'\nmax_retries = 1\n") ==
          "g.toml:3:15: error: `ai.providers.p.max_retries` means nothing for kind = \"embedded\"; remove it\n");
  REQUIRE(diagnostics("[ai.providers.p]\nkind = 'ollama'\nbase_url = 'http://h'\n") ==
          "g.toml:2:8: error: `ai.providers.p.kind`: \"ollama\" is not built yet; use \"openai\" or \"embedded\"\n");
}

TEST_CASE("config: the embedded model's name is taken") {
  REQUIRE(diagnostics("[ai.models.embedded]\nprovider = 'embedded'\nmodel = 'm'\n") ==
          "g.toml:1:1: error: [ai.models.embedded]: this name is taken by the built-in model; choose another\n");
  REQUIRE(diagnostics("[ai.providers.embedded]\nkind = 'embedded'\n") ==
          "g.toml:1:1: error: [ai.providers.embedded]: this name is taken by the built-in provider; choose another\n");
}

TEST_CASE("config: the longest back-off is not shorter than the first") {
  REQUIRE(diagnostics("[supervisor]\nbackoff_max_ms = 100\n") ==
          "g.toml:2:18: error: `supervisor.backoff_max_ms` (100) must not be less than `supervisor.backoff_initial_ms` "
          "(200)\n");
  REQUIRE(
      diagnostics("[supervisor]\nbackoff_initial_ms = 40000\n") ==
      "g.toml:2:22: error: `supervisor.backoff_max_ms` (30000) must not be less than `supervisor.backoff_initial_ms` "
      "(40000)\n");
}

TEST_CASE("config: free-form settings cannot hold what JSON has not") {
  REQUIRE(diagnostics("[plugins.a.settings]\nx = { y = [1, inf] }\n") ==
          "g.toml:2:15: error: `plugins.a.settings` must not contain inf or nan\n");
}

TEST_CASE("config: all errors are reported, in the order of the file") {
  REQUIRE(
      diagnostics("[log]\nlevle = 'x'\nfiles = 0\n[async]\nmax_background_tasks = true\n[host]\nmax_batch = -1\n") ==
      "g.toml:2:1: error: unknown key `levle` in [log]; did you mean `level`?\n"
      "g.toml:3:9: error: `log.files` must be an integer from 1 to 100, not 0\n"
      "g.toml:5:24: error: `async.max_background_tasks` must be an integer from 1 to 10000, not true\n"
      "g.toml:7:13: error: `host.max_batch` must be an integer from 1 to 10000, not -1\n");
}

TEST_CASE("config: a flood of errors is cut and counted") {
  std::string text = "[host]\n";
  for (int i = 0; i < 300; ++i) text += "k" + std::to_string(i) + " = 1\n";
  const auto config = parse_config(text, "g.toml");
  REQUIRE_FALSE(config);
  REQUIRE(config.error().size() == kMaxConfigErrors + 1);
  REQUIRE(to_string(config.error().back()) == "g.toml: error: 200 more errors are not shown");
}

TEST_CASE("config: arrays and tables by name are bounded") {
  std::string items;
  std::string tables;
  for (int i = 0; i < 257; ++i) {
    items += "'/x',";
    tables += "[plugins.p" + std::to_string(1000 + i) + "]\n";
  }
  REQUIRE(diagnostics("[host]\nworkspaces = [" + items + "]\n") ==
          "g.toml:2:14: error: `host.workspaces` must have at most 256 entries, not 257\n");
  REQUIRE(diagnostics(tables) == "g.toml:257:10: error: `plugins.p1256`: there can be at most 256 of them\n");
}
