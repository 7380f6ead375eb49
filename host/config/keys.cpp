// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <host/config/keys.hpp>
#include <type_traits>

namespace gantry::host {
namespace {

using std::string_view_literals::operator""sv;

// The names of an enumeration in TOML, in the order of its values.
template <class E>
inline constexpr std::array<std::string_view, 0> kNames{};
template <>
inline constexpr std::array kNames<Polling>{"auto"sv, "on"sv, "off"sv};
template <>
inline constexpr std::array kNames<Level>{"trace"sv, "debug"sv, "info"sv, "warn"sv, "error"sv};
template <>
inline constexpr std::array kNames<Isolation>{"inline"sv, "child"sv};
template <>
inline constexpr std::array kNames<Restart>{"on_failure"sv, "never"sv};
template <>
inline constexpr std::array kNames<LspShare>{"same"sv, "root"sv, "none"sv};
template <>
inline constexpr std::array kNames<ProviderKind>{"openai"sv, "anthropic"sv, "ollama"sv, "llamacpp"sv, "embedded"sv};

constexpr std::array kKindsNotBuilt{"anthropic"sv, "ollama"sv, "llamacpp"sv};

template <class T>
struct Inner {
  using Type = T;
};
template <class T>
struct Inner<std::optional<T>> {
  using Type = T;
};

template <class T>
json encode(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return std::string(kNames<T>.at(static_cast<std::size_t>(value)));
  } else {
    return value;
  }
}
template <class T>
json encode(const std::optional<T>& value) {
  return value ? encode(*value) : json();
}

template <class T>
T decode(const json& from) {
  if constexpr (std::is_enum_v<T>) {
    const auto at = std::find(kNames<T>.begin(), kNames<T>.end(), from.get_ref<const std::string&>());
    return static_cast<T>(at - kNames<T>.begin());
  } else {
    return from.get<T>();
  }
}

template <class S, class T>
struct MemberOf {
  using Section = S;
  using Value = T;
};
template <class S, class T>
MemberOf<S, T> member_of(T S::*);

struct More {
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::span<const std::string_view> not_built{};
  bool required = false;
  std::string_view example{};
  ProjectUse project = ProjectUse::never;
};

template <auto Member>
constexpr Key key(std::string_view name, KeyType type, Apply apply, std::string_view doc, More more = {}) {
  using M = decltype(member_of(Member));
  Key out{};
  out.name = name;
  out.type = type;
  out.apply = apply;
  out.doc = doc;
  out.min = more.min;
  out.max = more.max;
  using T = typename Inner<typename M::Value>::Type;
  if constexpr (std::is_enum_v<T>) out.choices = kNames<T>;
  out.not_built = more.not_built;
  out.required = more.required;
  out.example = more.example;
  out.project = more.project;
  out.get = [](const void* section) { return encode(static_cast<const typename M::Section*>(section)->*Member); };
  out.set = [](void* section, const json& value) {
    static_cast<typename M::Section*>(section)->*Member = decode<typename Inner<typename M::Value>::Type>(value);
  };
  return out;
}

constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kMiB = 1024 * kKiB;
constexpr std::int64_t kGiB = 1024 * kMiB;
constexpr std::int64_t kDay = 86400;
constexpr auto kLive = Apply::live;
constexpr auto kRestart = Apply::restart;
using enum KeyType;

constexpr std::array kHostKeys{
    key<&HostConfig::workers>("workers", integer, kRestart,
                              "threads that serve connections; 0: one for each core that the host may use", {0, 1024}),
    key<&HostConfig::polling>("polling", choice, kLive,
                              "whether a worker looks for work for some microseconds before it sleeps; auto: "
                              "unless the machine runs on its battery; never on one core"),
    key<&HostConfig::max_message_bytes>("max_message_bytes", integer, kRestart,
                                        "the largest message from a client, and answer of a plugin", {4 * kKiB, kGiB}),
    key<&HostConfig::max_json_depth>("max_json_depth", integer, kRestart, "the deepest nesting in a message", {4, 512}),
    key<&HostConfig::max_batch>("max_batch", integer, kRestart, "requests in one JSON-RPC batch", {1, 10000}),
    key<&HostConfig::max_connections>("max_connections", integer, kRestart, "clients at once; more are closed",
                                      {1, 65536}),
    key<&HostConfig::max_calls_in_flight>("max_calls_in_flight", integer, kRestart,
                                          "unanswered calls on one connection; more are `overloaded`", {1, 65536}),
    key<&HostConfig::max_bytes_in_flight>("max_bytes_in_flight", integer, kRestart,
                                          "params of the unanswered calls on one connection; more are `overloaded`",
                                          {4 * kKiB, 4 * kGiB}),
    key<&HostConfig::max_outbound_bytes>("max_outbound_bytes", integer, kRestart,
                                         "bytes that wait for a client which does not read, before it is closed",
                                         {64 * kKiB, 4 * kGiB}),
    key<&HostConfig::max_calls_per_service>(
        "max_calls_per_service", integer, kLive,
        "calls that one service works on at once; one that is given up makes way, though its plugin may "
        "not have let go of it",
        {1, 4096}),
    key<&HostConfig::max_waiting_per_service>("max_waiting_per_service", integer, kRestart,
                                              "calls that wait for one service; more are `overloaded`", {0, 65536}),
    key<&HostConfig::default_call_timeout_seconds>(
        "default_call_timeout_seconds", integer, kLive,
        "the deadline of a call that names none, but where the plugin keeps the time itself", {1, kDay}),
    key<&HostConfig::stop_budget_seconds>(
        "stop_budget_seconds", integer, kLive,
        "how long a stop may take: calls have half of it to finish, then they are cancelled", {0, 600}),
    key<&HostConfig::workspaces>(
        "workspaces", paths, kLive,
        "folders that are open from the start, besides --workspace; a reload opens new ones and closes none"),
};

constexpr std::array kLogKeys{
    key<&LogConfig::level>("level", choice, kLive, "the least important records that are kept"),
    key<&LogConfig::file_max_bytes>("file_max_bytes", integer, kRestart, "the size at which a new log file is begun",
                                    {64 * kKiB, kGiB}),
    key<&LogConfig::files>("files", integer, kRestart, "log files that are kept, the current one included", {1, 100}),
    key<&LogConfig::to_stderr>("stderr", boolean, kRestart, "also log to stderr"),
};

constexpr std::array kAsyncKeys{
    key<&AsyncConfig::max_concurrent_ai_requests>("max_concurrent_ai_requests", integer, kLive,
                                                  "AI requests at once to each provider; more wait", {1, 256}),
    key<&AsyncConfig::max_concurrent_lsp_requests>(
        "max_concurrent_lsp_requests", integer, kLive,
        "requests of lsp.request and lsp.diagnostics, so of agents and scripts, at once; "
        "more wait",
        {1, 1024}),
    key<&AsyncConfig::ai_request_timeout_seconds>(
        "ai_request_timeout_seconds", integer, kLive,
        "a call's total; for a stream, the time to its first item, then between items", {1, kDay}),
    key<&AsyncConfig::lsp_request_timeout_seconds>(
        "lsp_request_timeout_seconds", integer, kLive,
        "the time that a language server has to answer lsp.request; for editors see [lsp]", {1, kDay}),
    key<&AsyncConfig::max_background_tasks>("max_background_tasks", integer, kLive,
                                            "background jobs that run at once (services and timers do not count)",
                                            {1, 10000}),
    key<&AsyncConfig::background_task_cleanup_interval_seconds>(
        "background_task_cleanup_interval_seconds", integer, kLive, "how often finished jobs are forgotten", {1, kDay}),
    key<&AsyncConfig::event_bus_buffer_size>(
        "event_bus_buffer_size", integer, kRestart,
        "events that wait for each subscriber, and are kept for replay; the oldest go first, and `prev` shows the gap",
        {1, 1000000}),
    key<&AsyncConfig::event_processing_concurrency>("event_processing_concurrency", integer, kLive,
                                                    "subscribers that events are handed to at once", {1, 256}),
};

constexpr std::array kSupervisorKeys{
    key<&SupervisorConfig::intensity>(
        "intensity", integer, kRestart,
        "restarts within period_seconds in one scope, or of one plugin; one more and the scope "
        "gives up, the plugin is quarantined",
        {0, 1000}),
    key<&SupervisorConfig::period_seconds>("period_seconds", integer, kRestart,
                                           "the time over which restarts are counted", {1, kDay}),
    key<&SupervisorConfig::backoff_initial_ms>(
        "backoff_initial_ms", integer, kRestart,
        "the wait before the first restart, a plugin's second; it doubles with each", {1, 3600000}),
    key<&SupervisorConfig::backoff_max_ms>("backoff_max_ms", integer, kRestart, "the longest wait before a restart",
                                           {1, 3600000}),
    key<&SupervisorConfig::hung_seconds>(
        "hung_seconds", integer, kRestart,
        "a plugin that does not return from a call, event, task or timer for so long hangs: its process is killed, an "
        "inline one is abandoned and replaced; 0: nobody looks",
        {0, kDay}),
};

constexpr std::array kPluginKeys{
    key<&PluginEntry::path>("path", path, kRestart, "the library; not set: looked for by name in the plugin folders",
                            {.example = R"("/opt/tools/notes.so")"}),
    key<&PluginEntry::enabled>("enabled", boolean, kRestart, "false: never loaded, its calls are `unavailable`"),
    key<&PluginEntry::isolation>("isolation", choice, kRestart,
                                 "where it runs: in the host, or in a process of its own"),
    key<&PluginEntry::grants>(
        "grants", texts, kRestart,
        "what it may do of what its manifest asks for: network, processes, client, read:PATH, write:PATH, "
        "call:PATTERN, publish:PATTERN, subscribe:PATTERN; not set: all of it if it came with the host, else what "
        "`gantry trust` was told",
        {.example = R"(["processes", "read:workspace"])"}),
    key<&PluginEntry::max_memory_mib>("max_memory_mib", integer, kRestart,
                                      "MiB of address space that a process of its own may have; not set: no limit",
                                      {.min = 64, .max = 1 << 24, .example = "4096"}),
    key<&PluginEntry::restart>("restart", choice, kRestart,
                               "when it has failed: it is started again as [supervisor] says, or stays so"),
    key<&PluginEntry::settings>("settings", table, kLive, "handed to the plugin as it is",
                                {.example = R"({ folder = "notes" })", .project = ProjectUse::trusted}),
};

constexpr std::array kLspServerKeys{
    key<&LspServerConfig::enabled>("enabled", boolean, kLive,
                                   "false: it is not used, nor another one of its name found",
                                   {.project = ProjectUse::trusted}),
    key<&LspServerConfig::command>(
        "command", command, kLive,
        "how it is started: a program on PATH, or its path from / or ~/, in a project's file also from its folder; "
        "needed but for known servers",
        {.example = R"(["clangd-19", "--background-index"])", .project = ProjectUse::trusted}),
    key<&LspServerConfig::languages>("languages", texts, kLive,
                                     "LSP language ids that it serves; needed but for known servers",
                                     {.example = R"(["c", "cpp"])", .project = ProjectUse::safe}),
    key<&LspServerConfig::root_markers>(
        "root_markers", texts, kLive, "names that mark the folder to start it in; not set: those of version control",
        {.example = R"(["compile_commands.json", ".git"])", .project = ProjectUse::safe}),
    key<&LspServerConfig::extensions>("extensions", texts, kLive,
                                      "ends of names of files in its first language, besides those that are known",
                                      {.example = R"([".cppm"])", .project = ProjectUse::safe}),
    key<&LspServerConfig::settings>(
        "settings", table, kLive,
        "given to the server as its workspace configuration; the member of the server's own name also as its "
        "initializationOptions",
        {.example = R"({ clangd = { fallbackFlags = ["-std=c++23"] } })", .project = ProjectUse::safe_if_known}),
    key<&LspServerConfig::priority>(
        "priority", integer, kLive,
        "of the servers for a language the one with the highest is used; those that have tables go before those that "
        "were found; an editor has all "
        "of those above 0",
        {.min = -1000, .max = 1000, .project = ProjectUse::safe}),
    key<&LspServerConfig::runs_project_code>(
        "runs_project_code", boolean, kLive,
        "whether it runs code of the project (build scripts, macros, plugins), and so only in a workspace that `gantry "
        "trust` was told of; not set: whether its program is known to",
        {.example = "true"}),
    key<&LspServerConfig::initialize_timeout_seconds>(
        "initialize_timeout_seconds", integer, kLive,
        "the time that it has to answer `initialize` when scripts and agents share it, before it is started anew; a "
        "call that comes meanwhile keeps its own time; 0: no limit",
        {.max = 86'400, .project = ProjectUse::safe}),
    key<&LspServerConfig::share>(
        "share", choice, kLive,
        "which editors use one process of it: those that open the same root with the same settings; root, all of the "
        "same root, with the settings of the first; or none, so that each has one of its own",
        {.project = ProjectUse::safe}),
    key<&LspServerConfig::environment>(
        "environment", texts, kLive,
        "variables that its process gets as its editor has them; editors with different values have processes of "
        "their own. Scripts and agents share one with the host's values. Not set: those that decide which compiler, "
        "interpreter or packages it uses (docs/lsp.md)",
        {.example = R"(["PATH", "VIRTUAL_ENV"])", .project = ProjectUse::trusted}),
    key<&LspServerConfig::max_memory_mib>("max_memory_mib", integer, kLive,
                                          "the memory that one of its processes may use with all that it has started; "
                                          "above it at two checks in a row, 5 s "
                                          "apart, the process is replaced, which counts as a crash; 0: no limit",
                                          {.max = std::int64_t{1} << 20, .project = ProjectUse::trusted}),
};

constexpr std::array kAiKeys{
    key<&AiConfig::default_model>("default_model", text, kLive,
                                  "for requests that name no model; \"embedded\" is always there",
                                  {.project = ProjectUse::safe}),
};

constexpr std::array kEmbeddedKeys{
    key<&AiEmbeddedConfig::max_tokens>("max_tokens", integer, kRestart,
                                       "what it learns at most from one workspace; about 10 bytes each",
                                       {1000, 64'000'000}),
};

constexpr std::array kStateKeys{
    key<&StateConfig::max_sessions>("max_sessions", integer, kLive, "sessions that are kept", {1, 1'000'000}),
    key<&StateConfig::max_panes>("max_panes", integer, kLive, "panes that are kept, of all sessions", {1, 1'000'000}),
    key<&StateConfig::max_turns>("max_turns", integer, kLive, "turns that are kept, of all sessions", {1, 1'000'000}),
    key<&StateConfig::max_settings>("max_settings", integer, kLive, "settings that are kept", {1, 1'000'000}),
    key<&StateConfig::max_events>("max_events", integer, kLive, "events that are kept in the store's log",
                                  {100'000, 10'000'000}),
    key<&StateConfig::max_data_mib>("max_data_mib", integer, kLive,
                                    "MiB of sessions, panes, layouts, settings and turns", {1, 65'536}),
    key<&StateConfig::max_log_mib>("max_log_mib", integer, kLive,
                                   "MiB of events; beyond that the oldest go, but for the last 100,000; at 16 times "
                                   "that nothing is changed any more",
                                   {8, 65'536}),
    key<&StateConfig::max_age_days>("max_age_days", integer, kLive,
                                    "after which an event is forgotten, but for the last 100,000; 0: not for its age",
                                    {0, 100'000}),
    key<&StateConfig::cache_mib>("cache_mib", integer, kLive, "MiB of objects that are kept in memory for readers",
                                 {0, 65'536}),
    key<&StateConfig::backup_interval_minutes>("backup_interval_minutes", integer, kLive,
                                               "between two copies of the store, if something has changed; 0: none",
                                               {0, 100'000}),
    key<&StateConfig::backup_keep>("backup_keep", integer, kLive, "copies that are kept", {1, 1000}),
    key<&StateConfig::host_metrics_seconds>("host_metrics_seconds", integer, kLive,
                                            "between two samples of the host's own numbers, as metrics; 0: none",
                                            {0, 86'400}),
    key<&StateConfig::stale_days>(
        "stale_days", integer, kLive,
        "after which a session that nobody touched is deleted with all that belongs to it; 0: never", {0, 100'000}),
};

constexpr std::array kStateTurnsKeys{
    key<&StateTurnsConfig::states>("states", texts, kLive,
                                   "all states, the first one first; empty: the table of docs/state.md holds"),
    key<&StateTurnsConfig::final_states>("final_states", texts, kLive, "those of them that nothing leaves"),
    key<&StateTurnsConfig::transitions>("transitions", texts, kLive, "all steps, each as \"FROM -> TO\""),
    key<&StateTurnsConfig::timers>("timers", texts, kLive,
                                   "steps that the time takes, each as \"FROM after SECONDS s -> TO\""),
    key<&StateTurnsConfig::topics>("topics", texts, kLive,
                                   "steps that an event takes, each as \"FROM on turn.NAME -> TO\""),
};

constexpr std::array kProviderKeys{
    key<&AiProviderConfig::kind>("kind", choice, kLive, "the protocol that it speaks",
                                 {.not_built = kKindsNotBuilt, .required = true, .example = R"("openai")"}),
    key<&AiProviderConfig::base_url>("base_url", url, kLive,
                                     "needed for kind = \"openai\"; up to /v1, without an endpoint's path",
                                     {.example = R"("http://127.0.0.1:8080/v1")"}),
    key<&AiProviderConfig::api_key_env>("api_key_env", env_name, kLive,
                                        "the environment variable that holds the key; at most one of these three",
                                        {.example = R"("LOCAL_KEY")"}),
    key<&AiProviderConfig::api_key_file>("api_key_file", path, kLive, "the file that holds the key"),
    key<&AiProviderConfig::api_key_command>("api_key_command", text, kLive, "a line for sh that prints the key"),
    key<&AiProviderConfig::max_retries>("max_retries", integer, kLive,
                                        "how often a failed request is sent again; not set: 2",
                                        {.min = 0, .max = 10, .example = "2"}),
    key<&AiProviderConfig::omit>("omit", texts, kLive,
                                 "members of a request that the server refuses: they are not sent",
                                 {.example = R"(["stream_options"])"}),
};

constexpr std::array kModelKeys{
    key<&AiModelConfig::provider>("provider", text, kLive, "a name of [ai.providers.NAME], or \"embedded\"",
                                  {.required = true, .example = R"("local")"}),
    key<&AiModelConfig::model>("model", text, kLive, "its name at the provider; not set: the same",
                               {.example = R"("name-at-the-provider")"}),
    key<&AiModelConfig::fallback>("fallback", texts, kLive,
                                  "models to try in turn when this one fails, or is silent: of a whole answer this one "
                                  "gets two thirds of the time that is left",
                                  {.example = R"(["embedded"])"}),
};

// `Access` is a member of Config, or a function from a Config to what the section is read into.
template <auto Access>
constexpr Section plain(std::string_view path, std::string_view doc, std::span<const Key> keys,
                        std::string_view not_built = {}) {
  return Section{path,
                 doc,
                 keys,
                 {},
                 false,
                 not_built,
                 [](const Config&) { return std::vector<std::string>(1); },
                 [](const Config& config, std::string_view) -> const void* { return &std::invoke(Access, config); },
                 [](Config& config, std::string_view) -> void* { return &std::invoke(Access, config); }};
}

// `Map` is a function from a Config to one of its maps.
template <auto Map>
constexpr Section named(std::string_view path, std::string_view doc, std::span<const Key> keys,
                        std::string_view example, bool plain_names) {
  return Section{path,
                 doc,
                 keys,
                 example,
                 plain_names,
                 {},
                 [](const Config& config) {
                   std::vector<std::string> names;
                   for (const auto& entry : Map(config)) names.push_back(entry.first);
                   return names;
                 },
                 [](const Config& config, std::string_view name) -> const void* {
                   const auto at = Map(config).find(name);
                   return at == Map(config).end() ? nullptr : &at->second;
                 },
                 [](Config& config, std::string_view name) -> void* { return &Map(config)[std::string(name)]; }};
}

constexpr std::array kLspKeys{
    key<&LspConfig::editor_request_timeout_seconds>(
        "editor_request_timeout_seconds", integer, kLive,
        "the time that a server has to answer a request of an editor, which cancels its own; but for "
        "workspace/diagnostic "
        "and workspace/executeCommand, and while the user is asked something; 0: none",
        {0, kDay}),
    key<&LspConfig::editor_max_concurrent_requests>(
        "editor_max_concurrent_requests", integer, kLive,
        "requests of all editors at once, but for the same; more wait; 0: as many as they send", {0, 10000}),
    key<&LspConfig::idle_stop_seconds>("idle_stop_seconds", integer, kLive,
                                       "a server that scripts and agents share ends when nobody has asked it for so "
                                       "long and it has nothing under way, "
                                       "and starts again with the next call; 0: never",
                                       {0, kDay}),
};

constexpr std::array kSections{
    plain<&Config::host>("host", "Limits of the host itself.", kHostKeys),
    plain<&Config::log>("log", "The host's log.", kLogKeys),
    plain<&Config::async>("async", "How much happens at once, and how long it may take.", kAsyncKeys),
    plain<&Config::supervisor>("supervisor", "How background tasks and plugins that fail are restarted.",
                               kSupervisorKeys),
    named<[](auto& config) -> auto& { return config.plugins; }>(
        "plugins.*", "A plugin. Those in the plugin folders need no table of their own.", kPluginKeys, "notes", true),
    plain<&Config::lsp>("lsp", "Language servers.", kLspKeys),
    named<[](auto& config) -> auto& { return config.lsp_servers; }>(
        "lsp.servers.*",
        "A language server. Known servers need no table where their program is on PATH (clangd, rust-analyzer, gopls, "
        "pyright, typescript, bash, ...: `gantry call lsp.servers`); a table of their name changes only what it says.",
        kLspServerKeys, "clangd", true),
    plain<&Config::ai>("ai", "Models.", kAiKeys),
    plain<[](auto& config) -> auto& { return config.ai.embedded; }>(
        "ai.embedded", "The model that is learned from the workspace, on this machine.", kEmbeddedKeys),
    named<[](auto& config) -> auto& { return config.ai.providers; }>(
        "ai.providers.*",
        "An endpoint that serves models. Proxies and certificates are those of curl: http_proxy, https_proxy, "
        "all_proxy, no_proxy; SSL_CERT_FILE, SSL_CERT_DIR, CURL_CA_BUNDLE.",
        kProviderKeys, "local", false),
    named<[](auto& config) -> auto& { return config.ai.models; }>("ai.models.*", "A model that requests may name.",
                                                                  kModelKeys, "fast", false),
    plain<&Config::state>("state", "The project state.", kStateKeys),
    plain<[](auto& config) -> auto& { return config.state.turns; }>(
        "state.turns",
        "A table of turns of your own. It needs plan_proposed, plan_approved, executing and interrupted, and executing "
        "must be reached by an approval only.",
        kStateTurnsKeys),
    plain<&Config::http>("http", "The HTTP server.", {},
                         "the HTTP server is not built yet, so it cannot be configured; remove the table"),
};

}  // namespace

std::span<const Section> config_sections() { return kSections; }

}  // namespace gantry::host
