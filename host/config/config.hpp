// SPDX-License-Identifier: Apache-2.0
//
// host/config/config.hpp: the typed configuration, and where each of its values comes from.
//
// A Config is built once, from TOML text, and then only read: a reload builds a new one, and the
// host swaps a `std::shared_ptr<const Config>`. keys.cpp defines the keys, their types, ranges and
// documentation, and whether they can change while the host runs; only their defaults are defined
// here.
//
// Thread rule: values; no shared state.
// Bounds: a file of at most kMaxConfigBytes; at most kMaxConfigErrors errors are reported.
// Never: an exception for bad text; a Config with a value outside its documented range.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/plugin/host.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

inline constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxConfigErrors = 100;
/// The names of the built-in model and provider, which need no key, no network and no weights.
inline constexpr std::string_view kEmbedded = "embedded";

/// Whether an idle worker polls for a moment before it sleeps. `automatic`: only on mains power.
enum class Polling { automatic, on, off };

struct HostConfig {
  std::int64_t workers = 0;
  Polling polling = Polling::automatic;
  std::int64_t max_message_bytes = std::int64_t{16} << 20;
  std::int64_t max_json_depth = 64;
  std::int64_t max_batch = 100;
  std::int64_t max_connections = 1024;
  std::int64_t max_calls_in_flight = 1024;
  std::int64_t max_bytes_in_flight = std::int64_t{64} << 20;
  std::int64_t max_outbound_bytes = std::int64_t{64} << 20;
  std::int64_t max_calls_per_service = 64;
  std::int64_t max_waiting_per_service = 1024;
  std::int64_t default_call_timeout_seconds = 60;
  std::int64_t stop_budget_seconds = 5;
  std::vector<std::string> workspaces;
};

struct LogConfig {
  Level level = Level::info;
  std::int64_t file_max_bytes = std::int64_t{8} << 20;
  std::int64_t files = 4;
  bool to_stderr = true;
};

struct AsyncConfig {
  std::int64_t max_concurrent_ai_requests = 4;
  std::int64_t max_concurrent_lsp_requests = 8;
  std::int64_t ai_request_timeout_seconds = 30;
  std::int64_t lsp_request_timeout_seconds = 10;
  std::int64_t max_background_tasks = 10;
  std::int64_t background_task_cleanup_interval_seconds = 300;
  std::int64_t event_bus_buffer_size = 1000;
  std::int64_t event_processing_concurrency = 4;
};

struct SupervisorConfig {
  std::int64_t intensity = 3;
  std::int64_t period_seconds = 60;
  std::int64_t backoff_initial_ms = 200;
  std::int64_t backoff_max_ms = 30000;
  std::int64_t hung_seconds = 60;
};

enum class Isolation { in_line, child };
enum class Restart { on_failure, never };

struct PluginEntry {
  std::optional<std::string> path;  ///< absolute; not set: searched by name in the plugin folders
  bool enabled = true;
  Isolation isolation = Isolation::in_line;
  std::optional<std::vector<std::string>> grants;  ///< not set: those that a plugin that came with the host asks for
  std::optional<std::int64_t> max_memory_mib;
  Restart restart = Restart::on_failure;
  json settings = json::object();
};

/// Which editors use one process of a language server.
enum class LspShare { same, root, none };

struct LspServerConfig {
  bool enabled = true;
  std::optional<std::vector<std::string>> command;    ///< set, with at least a program; optional for a known server
  std::optional<std::vector<std::string>> languages;  ///< set; optional for a known server
  std::optional<std::vector<std::string>> root_markers;
  std::optional<std::vector<std::string>> extensions;
  json settings = json::object();
  std::int64_t priority = 0;
  std::optional<bool> runs_project_code;  ///< not set: the built-in value for the program
  std::int64_t initialize_timeout_seconds = 300;
  LspShare share = LspShare::same;
  std::optional<std::vector<std::string>> environment;  ///< not set: the plugin's list
  std::int64_t max_memory_mib = 0;
};

enum class ProviderKind { openai, anthropic, ollama, llamacpp, embedded };

struct AiProviderConfig {
  std::optional<ProviderKind> kind;  ///< always set once the configuration is checked
  std::optional<std::string> base_url;
  std::optional<std::string> api_key_env;      ///< at most one of these three is set
  std::optional<std::string> api_key_file;     ///< absolute
  std::optional<std::string> api_key_command;  ///< a command line for sh -c
  std::optional<std::int64_t> max_retries;
  std::optional<std::vector<std::string>> omit;  ///< members of a request that are not sent
};

struct AiModelConfig {
  std::string provider;
  std::optional<std::string> model;  ///< not set: the name in the configuration
  std::vector<std::string> fallback;
};

struct AiEmbeddedConfig {
  std::int64_t max_tokens = 4'000'000;
};

struct AiConfig {
  std::string default_model{kEmbedded};
  AiEmbeddedConfig embedded;
  std::map<std::string, AiProviderConfig, std::less<>> providers;
  std::map<std::string, AiModelConfig, std::less<>> models;
};

struct StateTurnsConfig {
  std::vector<std::string> states;
  std::vector<std::string> final_states;
  std::vector<std::string> transitions;
  std::vector<std::string> timers;
  std::vector<std::string> topics;
};
struct StateConfig {
  std::int64_t max_sessions = 100'000;
  std::int64_t max_panes = 100'000;
  std::int64_t max_turns = 100'000;
  std::int64_t max_settings = 100'000;
  std::int64_t max_events = 100'000;
  std::int64_t max_data_mib = 512;
  std::int64_t max_log_mib = 256;
  std::int64_t max_age_days = 0;
  std::int64_t cache_mib = 32;
  std::int64_t backup_interval_minutes = 60;
  std::int64_t backup_keep = 3;
  std::int64_t host_metrics_seconds = 60;
  std::int64_t stale_days = 0;
  StateTurnsConfig turns;
};
struct HttpConfig {};

/// A position in the file, counted from 1; the column counts characters. 0: the whole file.
struct Place {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

struct LspConfig {
  std::int64_t editor_request_timeout_seconds = 0;
  std::int64_t editor_max_concurrent_requests = 0;
  std::int64_t idle_stop_seconds = 1800;
};

struct Config {
  HostConfig host;
  LogConfig log;
  AsyncConfig async;
  SupervisorConfig supervisor;
  std::map<std::string, PluginEntry, std::less<>> plugins;
  LspConfig lsp;
  std::map<std::string, LspServerConfig, std::less<>> lsp_servers;
  AiConfig ai;
  StateConfig state;
  HttpConfig http;

  std::string file;                                  ///< the file's name; empty for the built-in defaults
  std::map<std::string, Place, std::less<>> places;  ///< full path of each table, key and array element in the file
  std::map<std::string, std::string, std::less<>> given;  ///< full path of a key with another source, and that source
};

struct ConfigError {
  std::string file;
  Place place;
  std::string key;      ///< full path; empty for syntax errors and errors of the file itself
  std::string message;  ///< printable, one line
};

/// `gantry.toml:12:5: error: unknown key ...`
[[nodiscard]] std::string to_string(const ConfigError& error);
/// One line for each.
[[nodiscard]] std::string to_string(const std::vector<ConfigError>& errors);

template <class T>
using ConfigResult = std::expected<T, std::vector<ConfigError>>;

/// Returns the value of an environment variable; empty when it is not set.
using EnvLookup = std::function<std::optional<std::string>(const char* name)>;
[[nodiscard]] std::optional<std::string> process_env(const char* name);

[[nodiscard]] Config default_config();

/// `file` is only used in messages. `env` gives HOME for paths that begin with `~/`. All errors are
/// reported, in the order of the file; after a syntax error nothing else is checked.
[[nodiscard]] ConfigResult<Config> parse_config(std::string_view text, std::string file,
                                                const EnvLookup& env = process_env);
[[nodiscard]] ConfigResult<Config> load_config(const std::filesystem::path& file, const EnvLookup& env = process_env);

/// `--config`, else `$GANTRY_CONFIG`, else `$XDG_CONFIG_HOME/gantry/gantry.toml` (`~/.config` when
/// that is not set). The first two need not exist (load_config then reports it); the last one
/// counts only if it exists. Empty: the defaults hold.
[[nodiscard]] std::optional<std::filesystem::path> find_config_file(
    const std::optional<std::filesystem::path>& command_line, const EnvLookup& env = process_env);

/// The source of a value: "default", "FILE:LINE", another source such as `--workspace`, or the last
/// two joined. `key` is a full path such as `async.max_background_tasks`.
[[nodiscard]] std::string source_of(const Config& config, std::string_view key);

/// The configuration in force as valid TOML; a comment at each key names its source.
[[nodiscard]] std::string show_config(const Config& config);
/// The text of config/gantry.toml: every key with its documentation, range and default.
[[nodiscard]] std::string documented_config();

/// The full paths of changed keys, grouped by the step that brings them into force.
struct ReloadDiff {
  std::vector<std::string> live;
  std::vector<std::string> restart;
};
[[nodiscard]] ReloadDiff diff(const Config& old_config, const Config& new_config);

/// The settings that a plugin receives: the effective [ai], [lsp] or [state] table with its
/// defaults, without members that are not set. An empty object for any other name.
[[nodiscard]] json plugin_settings(const Config& config, std::string_view table);
[[nodiscard]] json async_json(const Config& config);

}  // namespace gantry::host
