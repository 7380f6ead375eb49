// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <gantry/detail/known_servers.hpp>
#include <gantry/params.hpp>
#include <host/config/check.hpp>
#include <host/config/grants.hpp>
#include <host/observe/printable.hpp>
#include <set>

namespace gantry::host {
namespace {

std::string ticked(std::string_view text) { return "`" + printable(text, 200) + "`"; }

template <class Map>
std::string unknown_name(std::string_view what, const std::string& name, const Map& known) {
  std::vector<std::string> names{std::string(kEmbedded)};
  for (const auto& entry : known) names.push_back(entry.first);
  std::string text = "there is no " + std::string(what) + " " + ticked(name);
  if (const auto hint = did_you_mean(name, names, "`"); !hint.empty()) return text + hint;
  std::string all;
  for (std::size_t i = 0; i < names.size() && i < 16; ++i) all += (i == 0 ? "`" : ", `") + names[i] + "`";
  return text + "; known are " + all;
}

class Rules {
 public:
  Rules(const Config& config, Diagnostics& diagnostics) : config_(config), diagnostics_(diagnostics) {}

  void run() {
    const auto& supervisor = config_.supervisor;
    if (supervisor.backoff_max_ms < supervisor.backoff_initial_ms) {
      add("supervisor.backoff_max_ms", "supervisor.backoff_initial_ms",
          "`supervisor.backoff_max_ms` (" + std::to_string(supervisor.backoff_max_ms) +
              ") must not be less than `supervisor.backoff_initial_ms` (" +
              std::to_string(supervisor.backoff_initial_ms) + ")");
    }
    for (const auto& [name, plugin] : config_.plugins) check_grants("plugins." + toml_key(name) + ".grants", plugin);
    for (const auto& [name, server] : config_.lsp_servers) {
      if (!detail::is_known_server(name) && server.enabled) check_server("lsp.servers." + toml_key(name));
    }
    for (const auto& [name, provider] : config_.ai.providers)
      check_provider("ai.providers." + toml_key(name), provider);
    for (const auto& [name, model] : config_.ai.models) check_model(name, "ai.models." + toml_key(name), model);
    if (!is_model(config_.ai.default_model)) {
      add("ai.default_model", {},
          "`ai.default_model`: " + unknown_name("model", config_.ai.default_model, config_.ai.models));
    }
    check_circles();
  }

 private:
  [[nodiscard]] bool is_model(const std::string& name) const {
    return name == kEmbedded || config_.ai.models.contains(name);
  }

  void check_grants(const std::string& key, const PluginEntry& plugin) {
    if (!plugin.grants) return;
    for (std::size_t i = 0; i < plugin.grants->size(); ++i) {
      if (const auto grant = parse_grant((*plugin.grants)[i]); !grant)
        add(key + "[" + std::to_string(i) + "]", key, ticked(key) + ": " + printable(grant.error().message, 400));
    }
  }

  void check_server(const std::string& table) {
    for (const char* key : {"command", "languages"}) {
      if (!given(table + "." + key)) add(table, {}, "[" + table + "] needs `" + key + "`");
    }
  }

  void check_provider(const std::string& table, const AiProviderConfig& provider) {
    if (table == "ai.providers." + std::string(kEmbedded)) {
      add(table, {}, "[" + table + "]: this name is taken by the built-in provider; choose another");
    }
    if (provider.kind == ProviderKind::openai && !given(table + ".base_url")) {
      add(table, {},
          "[" + printable(table, 200) + "] needs `base_url` for kind = \"openai\": the endpoint's URL, up to /v1");
    }
    if (provider.kind == ProviderKind::embedded) {
      for (const char* key : {"base_url", "api_key_env", "api_key_file", "api_key_command", "max_retries", "omit"}) {
        if (!given(table + "." + key)) continue;
        add(table + "." + key, {}, ticked(table + "." + key) + " means nothing for kind = \"embedded\"; remove it");
      }
      return;
    }
    check_endpoint(table + ".base_url", provider.base_url.value_or(""));
    for (const auto& name : provider.omit.value_or(std::vector<std::string>())) {
      if (name != "messages" && name != "prompt") continue;
      add(table + ".omit", {},
          ticked(table + ".omit") + " must not hold \"" + name + "\": without it there is no request");
    }
    const char* first = nullptr;
    for (const char* key : {"api_key_env", "api_key_file", "api_key_command"}) {
      if (!given(table + "." + key)) continue;
      if (first != nullptr) {
        add(table + "." + key, {},
            ticked(table + "." + key) + " and `" + first + "` exclude each other: a provider has one key");
      }
      first = first == nullptr ? key : first;
    }
  }

  // What people paste: an address with the path that the `ai` plugin adds itself.
  void check_endpoint(const std::string& key, std::string_view url) {
    while (url.ends_with('/')) url.remove_suffix(1);
    for (const std::string_view path :
         {"/chat/completions", "/completions", "/responses", "/embeddings", "/messages"}) {
      if (!url.ends_with(path)) continue;
      add(key, {},
          ticked(key) + " must end before the endpoint's path, which is added to it; write \"" +
              printable(url.substr(0, url.size() - path.size()), 200) + "\"");
      return;
    }
  }

  void check_model(const std::string& name, const std::string& table, const AiModelConfig& model) {
    if (name == kEmbedded) add(table, {}, "[" + table + "]: this name is taken by the built-in model; choose another");
    if (!model.provider.empty() && model.provider != kEmbedded && !config_.ai.providers.contains(model.provider)) {
      add(table + ".provider", {},
          ticked(table + ".provider") + ": " + unknown_name("provider", model.provider, config_.ai.providers));
    }
    for (std::size_t i = 0; i < model.fallback.size(); ++i) {
      if (is_model(model.fallback[i])) continue;
      add(table + ".fallback[" + std::to_string(i) + "]", table + ".fallback",
          ticked(table + ".fallback") + ": " + unknown_name("model", model.fallback[i], config_.ai.models));
    }
  }

  // Each circle is told once, at its first model in the order of names.
  void check_circles() {
    std::set<std::string> told;
    for (const auto& entry : config_.ai.models) {
      const auto circle = circle_from(entry.first);
      if (circle.empty()) continue;
      std::set<std::string> members(circle.begin(), circle.end());
      const bool known =
          std::any_of(members.begin(), members.end(), [&](const auto& name) { return told.contains(name); });
      told.merge(members);
      if (known) continue;
      std::string path;
      for (const auto& name : circle) path += name + " -> ";
      add("ai.models." + toml_key(entry.first) + ".fallback", {},
          ticked("ai.models." + toml_key(entry.first) + ".fallback") +
              " goes round in a circle: " + printable(path + entry.first, 400));
    }
  }

  // The models on the shortest way from `start` back to it; empty when there is none.
  [[nodiscard]] std::vector<std::string> circle_from(const std::string& start) const {
    std::map<std::string, std::string> came_from;
    std::vector<std::string> next{start};
    for (std::size_t i = 0; i < next.size(); ++i) {
      const auto at = config_.ai.models.find(next[i]);
      if (at == config_.ai.models.end()) continue;
      for (const auto& to : at->second.fallback) {
        if (to == start) {
          std::vector<std::string> way{next[i]};
          while (way.back() != start) way.push_back(came_from.at(way.back()));
          std::reverse(way.begin(), way.end());
          return way;
        }
        if (came_from.emplace(to, next[i]).second) next.push_back(to);
      }
    }
    return {};
  }

  [[nodiscard]] bool given(const std::string& key) const { return config_.places.contains(key); }

  void add(const std::string& key, const std::string& or_key, std::string message) {
    auto at = config_.places.find(key);
    if (at == config_.places.end()) at = config_.places.find(or_key);
    diagnostics_.add(at == config_.places.end() ? Place{} : at->second, key, std::move(message));
  }

  const Config& config_;
  Diagnostics& diagnostics_;
};

}  // namespace

void check_rules(const Config& config, Diagnostics& diagnostics) { Rules(config, diagnostics).run(); }

}  // namespace gantry::host
