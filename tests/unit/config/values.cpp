// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <host/config/config.hpp>
#include <host/config/keys.hpp>
#include <tests/unit/config/support.hpp>

using namespace gantry;
using namespace gantry::host;
using config_test::diagnostics;
using config_test::home;

namespace {

Config parsed(const std::string& text) {
  auto config = parse_config(text, "g.toml", home());
  INFO((config ? "" : to_string(config.error())));
  REQUIRE(config);
  return std::move(*config);
}

}  // namespace

TEST_CASE("config: the defaults are those of the contract") {
  const Config config = default_config();
  REQUIRE(async_json(config) == json{{"max_concurrent_ai_requests", 4},
                                     {"max_concurrent_lsp_requests", 8},
                                     {"ai_request_timeout_seconds", 30},
                                     {"lsp_request_timeout_seconds", 10},
                                     {"max_background_tasks", 10},
                                     {"background_task_cleanup_interval_seconds", 300},
                                     {"event_bus_buffer_size", 1000},
                                     {"event_processing_concurrency", 4}});
  REQUIRE(config.supervisor.intensity == 3);
  REQUIRE(config.supervisor.period_seconds == 60);
  REQUIRE(config.supervisor.backoff_initial_ms == 200);
  REQUIRE(config.supervisor.backoff_max_ms == 30000);
  REQUIRE(config.ai.default_model == "embedded");
}

TEST_CASE("config: the host's and the log's defaults hold when the file is empty") {
  const Config config = parsed("");
  REQUIRE(config.host.max_message_bytes == 16777216);
  REQUIRE(config.host.max_json_depth == 64);
  REQUIRE(config.host.max_batch == 100);
  REQUIRE(config.host.max_connections == 1024);
  REQUIRE(config.host.max_calls_in_flight == 1024);
  REQUIRE(config.host.max_bytes_in_flight == 67108864);
  REQUIRE(config.host.max_outbound_bytes == 67108864);
  REQUIRE(config.host.max_calls_per_service == 64);
  REQUIRE(config.host.max_waiting_per_service == 1024);
  REQUIRE(config.host.default_call_timeout_seconds == 60);
  REQUIRE(config.host.stop_budget_seconds == 5);
  REQUIRE(config.host.workspaces.empty());
  REQUIRE(config.log.level == Level::info);
  REQUIRE(config.log.file_max_bytes == 8388608);
  REQUIRE(config.log.files == 4);
  REQUIRE(config.log.to_stderr);
  REQUIRE(config.plugins.empty());
  REQUIRE(config.lsp_servers.empty());
}

TEST_CASE("config: every integer is taken at both ends of its range and refused beyond them") {
  int seen = 0;
  for (const auto& section : config_sections()) {
    for (const auto& key : section.keys) {
      if (key.type != KeyType::integer || section.named()) continue;
      ++seen;
      const std::string head = "[" + std::string(section.path) + "]\n" + std::string(key.name) + " = ";
      const std::string rule = "g.toml:2:" + std::to_string(key.name.size() + 4) + ": error: `" +
                               std::string(section.path) + "." + std::string(key.name) + "` must be an integer from " +
                               std::to_string(key.min) + " to " + std::to_string(key.max) + ", not ";
      INFO(head);
      for (const auto value : {key.min, key.max}) {
        CAPTURE(value);
        auto config = parse_config(head + std::to_string(value), "g.toml", home());
        // The supervisor's two back-offs must also agree with each other.
        const bool backoff = key.name.starts_with("backoff");
        REQUIRE((config.has_value() || backoff));
        if (config) REQUIRE(key.get(section.find(*config, "")) == json(value));
      }
      for (const auto value : {key.min - 1, key.max + 1}) {
        CAPTURE(value);
        REQUIRE_THAT(diagnostics(head + std::to_string(value)), Catch::StartsWith(rule + std::to_string(value) + "\n"));
      }
      REQUIRE_THAT(diagnostics(head + "1.0"), Catch::StartsWith(rule + "1.0\n"));
    }
  }
  REQUIRE(seen == 44);
}

TEST_CASE("config: a plugin's table is read, and what it does not say keeps its default") {
  const Config config = parsed(R"(
[plugins.notes]
path = "~/notes.so"
grants = ["processes", "network"]
restart = "never"
[plugins.notes.settings]
folder = "x"
deep = { list = [1, 2.5, true, { a = "b" }], when = 1979-05-27T07:32:00Z }
[plugins.other]
enabled = false
isolation = "inline"
)");
  const auto& notes = config.plugins.at("notes");
  REQUIRE(notes.path == "/home/u/notes.so");
  REQUIRE(notes.enabled);
  REQUIRE(notes.grants == std::vector<std::string>{"processes", "network"});
  REQUIRE(notes.restart == Restart::never);
  REQUIRE(notes.settings ==
          json{{"folder", "x"}, {"deep", {{"list", {1, 2.5, true, {{"a", "b"}}}}, {"when", "1979-05-27T07:32:00Z"}}}});
  const auto& other = config.plugins.at("other");
  REQUIRE_FALSE(other.enabled);
  REQUIRE_FALSE(other.path);
  REQUIRE(other.isolation == Isolation::in_line);
  REQUIRE(other.restart == Restart::on_failure);
  REQUIRE(other.settings == json::object());
}

TEST_CASE("config: plugins are handed the effective tables of ai and lsp as JSON") {
  const Config config = parsed(R"(
[ai]
default_model = "fast"
[ai.providers.local]
kind = "openai"
base_url = "http://127.0.0.1:8080/v1"
api_key_command = "pass show key"
[ai.models.fast]
provider = "local"
model = "m:7b"
fallback = ["small one", "embedded"]
[ai.models."small one"]
provider = "embedded"
[lsp.servers.clangd]
command = "clangd-19  --background-index"
languages = ["cpp"]
settings = { a = 1 }
)");
  REQUIRE(
      plugin_settings(config, "ai") ==
      json{{"default_model", "fast"},
           {"embedded", {{"max_tokens", 4000000}}},
           {"providers",
            {{"local",
              {{"kind", "openai"}, {"base_url", "http://127.0.0.1:8080/v1"}, {"api_key_command", "pass show key"}}}}},
           {"models",
            {{"fast", {{"provider", "local"}, {"model", "m:7b"}, {"fallback", {"small one", "embedded"}}}},
             {"small one", {{"provider", "embedded"}, {"fallback", json::array()}}}}}});
  REQUIRE(plugin_settings(config, "lsp") == json{{"editor_request_timeout_seconds", 0},
                                                 {"editor_max_concurrent_requests", 0},
                                                 {"idle_stop_seconds", 1800},
                                                 {"servers",
                                                  {{"clangd",
                                                    {{"enabled", true},
                                                     {"priority", 0},
                                                     {"command", {"clangd-19", "--background-index"}},
                                                     {"languages", {"cpp"}},
                                                     {"initialize_timeout_seconds", 300},
                                                     {"max_memory_mib", 0},
                                                     {"share", "same"},
                                                     {"settings", {{"a", 1}}}}}}}});
  REQUIRE(plugin_settings(config, "host") == json::object());
}

TEST_CASE("config: tables for plugins are there by default") {
  const Config config = default_config();
  REQUIRE(plugin_settings(config, "ai") == json{{"default_model", "embedded"},
                                                {"embedded", {{"max_tokens", 4000000}}},
                                                {"providers", json::object()},
                                                {"models", json::object()}});
  REQUIRE(plugin_settings(config, "lsp") == json{{"editor_request_timeout_seconds", 0},
                                                 {"editor_max_concurrent_requests", 0},
                                                 {"idle_stop_seconds", 1800},
                                                 {"servers", json::object()}});
  REQUIRE(plugin_settings(config, "state") == json{{"max_sessions", 100000},
                                                   {"max_panes", 100000},
                                                   {"max_turns", 100000},
                                                   {"max_settings", 100000},
                                                   {"max_events", 100000},
                                                   {"max_data_mib", 512},
                                                   {"max_log_mib", 256},
                                                   {"max_age_days", 0},
                                                   {"cache_mib", 32},
                                                   {"backup_interval_minutes", 60},
                                                   {"backup_keep", 3},
                                                   {"host_metrics_seconds", 60},
                                                   {"stale_days", 0},
                                                   {"turns",
                                                    {{"states", json::array()},
                                                     {"final_states", json::array()},
                                                     {"transitions", json::array()},
                                                     {"timers", json::array()},
                                                     {"topics", json::array()}}}});
}

TEST_CASE("config: workspaces are folders by their absolute path") {
  const Config config = parsed("[host]\nworkspaces = [\"/src/a\", \"~/b\", \"~\"]\n");
  REQUIRE(config.host.workspaces == std::vector<std::string>{"/src/a", "/home/u/b", "/home/u"});
}

TEST_CASE("config: every level of the log has its name") {
  const std::vector<std::pair<std::string, Level>> levels{{"trace", Level::trace},
                                                          {"debug", Level::debug},
                                                          {"info", Level::info},
                                                          {"warn", Level::warn},
                                                          {"error", Level::error}};
  for (const auto& [name, level] : levels) {
    CAPTURE(name, level);
    REQUIRE(parsed("[log]\nlevel = \"" + name + "\"\n").log.level == level);
  }
}
