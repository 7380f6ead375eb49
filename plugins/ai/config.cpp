// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/config.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <cmath>
#include <gantry/params.hpp>
#include <memory>
#include <new>

namespace gantry::ai {

namespace {

// Reads the members of one table, and says which key of the file is wrong.
class Table {
 public:
  Table(const json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object.is_object()) refuse("", "must be a table");
  }

  std::string string(const std::string& name, std::string otherwise = {}) {
    const json* value = find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_string()) return refuse(name, "must be a string"), otherwise;
    return value->get<std::string>();
  }
  double number(const std::string& name, double otherwise, double min, double max, bool whole) {
    const json* value = find(name);
    if (value == nullptr) return otherwise;
    const double got = value->is_number() ? value->get<double>() : std::nan("");
    const bool fits = value->is_number_integer() || (!whole && value->is_number());
    if (!fits || !(got >= min && got <= max)) {
      refuse(name, std::string("must be ") + (whole ? "an integer" : "a number") + " from " + plain(min) + " to " +
                       plain(max) + ", not " + value->dump().substr(0, 40));
      return otherwise;
    }
    return got;
  }
  std::vector<std::string> strings(const std::string& name) {
    std::vector<std::string> out;
    const json* value = find(name);
    if (value == nullptr) return out;
    if (!value->is_array()) return refuse(name, "must be an array of strings"), out;
    for (const auto& entry : *value) {
      if (!entry.is_string()) return refuse(name, "must hold strings only"), out;
      out.push_back(entry.get<std::string>());
    }
    return out;
  }
  // A table of tables; `each(key, table)`.
  template <class F>
  void tables(const std::string& name, F&& each) {
    const json* value = find(name);
    if (value == nullptr) return;
    if (!value->is_object()) return refuse(name, "must be a table");
    for (const auto& [key, entry] : value->items()) each(key, Table(entry, at(name) + "." + key));
  }
  [[nodiscard]] json object(const std::string& name) {
    const json* value = find(name);
    return value == nullptr ? json::object() : *value;
  }

  void refuse(const std::string& name, const std::string& why) {
    if (error_.empty()) error_ = at(name) + " " + why;
  }
  [[nodiscard]] bool has(const std::string& name) const { return object_.is_object() && object_.contains(name); }
  [[nodiscard]] std::string at(const std::string& name) const { return name.empty() ? path_ : path_ + "." + name; }

  /// The first error, or empty. A key that nobody asked for is one.
  [[nodiscard]] const std::string& done() {
    if (object_.is_object()) {
      for (const auto& [name, unused] : object_.items()) {
        if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
        refuse(name, "is no key that Gantry knows" + did_you_mean(name, known_));
      }
    }
    return error_;
  }

 private:
  static std::string plain(double value) { return std::to_string(static_cast<long long>(value)); }
  const json* find(const std::string& name) {
    known_.push_back(name);
    if (!object_.is_object()) return nullptr;
    const auto it = object_.find(name);
    return it == object_.end() ? nullptr : &*it;
  }

  const json& object_;
  std::string path_;
  std::vector<std::string> known_;
  std::string error_;
};

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

// A part of a URL, or empty.
std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  std::string out;
  if (curl_url_get(url, part, &text, 0) == CURLUE_OK) out = text;
  curl_free(text);
  return out;
}

// What people paste behind the base: the path that Gantry adds itself.
std::string without_endpoint(std::string url) {
  for (const std::string_view endpoint :
       {"/chat/completions", "/completions", "/responses", "/embeddings", "/messages"}) {
    if (url.ends_with(endpoint)) return url.substr(0, url.size() - endpoint.size());
  }
  return url;
}

// Read by the parser that will read it for the request. Addresses that could carry a secret into a log line are
// refused: keys have places of their own.
std::string base_url(Table& table) {
  std::string url = table.string("base_url");
  if (url.empty()) {
    table.refuse("base_url", "is missing; it must be an address such as \"http://127.0.0.1:8080/v1\"");
    return url;
  }
  const std::unique_ptr<CURLU, FreeUrl> parsed(curl_url());
  if (parsed == nullptr) throw std::bad_alloc();
  const CURLUcode code = curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME);
  const std::string scheme = part_of(parsed.get(), CURLUPART_SCHEME);
  if (code == CURLUE_BAD_SCHEME || (code == CURLUE_OK && scheme != "http" && scheme != "https")) {
    table.refuse("base_url", "must begin with http:// or https://");
  } else if (code != CURLUE_OK) {
    table.refuse("base_url", std::string("is no URL: ") + curl_url_strerror(code));
  }
  for (const CURLUPart part : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT}) {
    if (part_of(parsed.get(), part).empty()) continue;
    table.refuse("base_url",
                 "must not hold a user, a query or a fragment; name the key with api_key_env, api_key_file "
                 "or api_key_command");
  }
  while (url.ends_with('/')) url.pop_back();
  if (const std::string base = without_endpoint(url); base != url) {
    table.refuse("base_url", "must end before the endpoint's path, which Gantry adds; write \"" + base + "\"");
  }
  return url;
}

// Without these there is no request.
std::vector<std::string> omitted(Table& table) {
  auto names = table.strings("omit");
  for (const auto& name : names) {
    if (name == "messages" || name == "prompt") table.refuse("omit", "must not hold \"" + name + "\"");
  }
  return names;
}

KeySource key_source(Table& table) {
  KeySource source;
  const std::pair<const char*, KeySource::Kind> forms[] = {{"api_key_env", KeySource::Kind::environment},
                                                           {"api_key_file", KeySource::Kind::file},
                                                           {"api_key_command", KeySource::Kind::command}};
  for (const auto& [name, kind] : forms) {
    const std::string value = table.string(name);
    if (!table.has(name)) continue;
    if (value.empty()) table.refuse(name, "must not be empty");
    if (source.kind != KeySource::Kind::none) table.refuse(name, "is a second source of the key; keep one");
    source = KeySource{kind, value};
  }
  return source;
}

ProviderConfig provider(const std::string& name, Table& table) {
  ProviderConfig out;
  out.name = name;
  const std::string kind = table.string("kind");
  if (kind == "openai") {
    out.base_url = base_url(table);
    out.key = key_source(table);
    out.omit = omitted(table);
    out.max_retries = static_cast<int>(table.number("max_retries", out.max_retries, 0, 10, true));
  } else if (kind == kEmbedded) {
    out.kind = ProviderKind::embedded;
  } else if (kind.empty()) {
    table.refuse("kind", "is missing; it must be \"openai\" or \"embedded\"");
  } else {
    table.refuse("kind", "is \"" + kind + "\", which this version cannot speak; it must be \"openai\" or \"embedded\"");
  }
  return out;
}

std::unexpected<Error> wrong(std::string message) { return fail(ErrorKind::invalid_params, std::move(message)); }

Result<void> read_async(AiConfig& out, const json& async) {
  // The other keys of [async] are for others: only two are looked at.
  json ours = json::object();
  for (const char* name : {"max_concurrent_ai_requests", "ai_request_timeout_seconds"}) {
    if (async.is_object() && async.contains(name)) ours[name] = async[name];
  }
  Table table(ours, "async");
  out.max_concurrent = static_cast<std::size_t>(
      table.number("max_concurrent_ai_requests", static_cast<double>(out.max_concurrent), 1, 256, true));
  const double seconds = table.number("ai_request_timeout_seconds", 30, 0.001, 86400, false);
  out.timeout = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  if (const auto& error = table.done(); !error.empty()) return wrong(error);
  return {};
}

Result<void> read_providers(AiConfig& out, Table& ai) {
  std::string error;
  ai.tables("providers", [&](const std::string& name, Table table) {
    auto read = provider(name, table);
    if (const auto& problem = table.done(); !problem.empty() && error.empty()) error = problem;
    out.providers[name] = std::make_shared<const ProviderConfig>(std::move(read));
  });
  if (!error.empty()) return wrong(error);
  return {};
}

Result<void> read_models(AiConfig& out, Table& ai) {
  auto built_in = std::make_shared<const ProviderConfig>(
      ProviderConfig{.name = kEmbedded, .kind = ProviderKind::embedded, .base_url = {}, .key = {}, .omit = {}});
  std::string error;
  ai.tables("models", [&](const std::string& name, Table table) {
    ModelConfig model{name, nullptr, {}, {}};
    if (name == kEmbedded) table.refuse("", "is built in and cannot be defined; choose another name");
    const std::string provider_name = table.string("provider");
    const auto found = out.providers.find(provider_name);
    if (found != out.providers.end()) {
      model.provider = found->second;
    } else if (provider_name == kEmbedded) {
      model.provider = built_in;
    } else {
      std::vector<std::string> names;
      for (const auto& [known, unused] : out.providers) names.push_back(known);
      table.refuse("provider", provider_name.empty() ? "is missing; it must name a table of [ai.providers]"
                                                     : "names \"" + provider_name + "\", which is no provider" +
                                                           did_you_mean(provider_name, names));
    }
    model.upstream = table.string("model", name);
    model.fallback = table.strings("fallback");
    if (const auto& problem = table.done(); !problem.empty() && error.empty()) error = problem;
    out.models[name] = std::move(model);
  });
  if (!error.empty()) return wrong(error);
  out.models[kEmbedded] = ModelConfig{kEmbedded, built_in, kEmbedded, {}};
  return {};
}

Result<void> check_names(const AiConfig& config) {
  std::vector<std::string> names;
  for (const auto& [name, unused] : config.models) names.push_back(name);
  const auto check = [&](const std::string& name, const std::string& key) -> Result<void> {
    if (config.models.contains(name)) return {};
    return wrong(key + " names \"" + name + "\", which is no model" + did_you_mean(name, names));
  };
  if (auto ok = check(config.default_model, "ai.default_model"); !ok) return ok;
  for (const auto& [name, model] : config.models) {
    for (const auto& other : model.fallback) {
      if (auto ok = check(other, "ai.models." + name + ".fallback"); !ok) return ok;
    }
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const AiConfig>> AiConfig::parse(const PluginConfig& config) {
  auto out = std::make_shared<AiConfig>();
  if (auto ok = read_async(*out, config.async); !ok) return std::unexpected(ok.error());
  Table ai(config.settings, "ai");
  out->default_model = ai.string("default_model", kEmbedded);
  if (auto ok = read_providers(*out, ai); !ok) return std::unexpected(ok.error());
  if (auto ok = read_models(*out, ai); !ok) return std::unexpected(ok.error());
  const json embedded_table = ai.object(kEmbedded);
  Table embedded(embedded_table, "ai.embedded");
  out->embedded_max_tokens = static_cast<std::size_t>(
      embedded.number("max_tokens", static_cast<double>(out->embedded_max_tokens), 1000, 64'000'000, true));
  if (const auto& error = embedded.done(); !error.empty()) return wrong(error);
  if (const auto& error = ai.done(); !error.empty()) return wrong(error);
  if (auto ok = check_names(*out); !ok) return std::unexpected(ok.error());
  for (const auto& [workspace, its_own] : config.workspace_settings) {
    const std::string model = its_own.is_object() ? its_own.value("default_model", "") : "";
    if (out->models.contains(model)) out->default_in_workspace[workspace] = model;  // the host has checked it
  }
  return out;
}

const std::string& AiConfig::default_for(const std::string& workspace) const {
  const auto own = default_in_workspace.find(workspace);
  return own == default_in_workspace.end() ? default_model : own->second;
}

Result<std::vector<Target>> AiConfig::chain(const std::string& model, const std::string& workspace) const {
  std::vector<std::string> order{model.empty() ? default_for(workspace) : model};
  if (!models.contains(order.front())) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : models) names.push_back(name);
    return fail(ErrorKind::not_found, "model \"" + order.front().substr(0, 200) + "\" does not exist" +
                                          did_you_mean(order.front(), names) + " (ai.models lists them)");
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::vector<std::string>& more = models.at(order[i]).fallback;
    for (const auto& name : more) {
      if (std::find(order.begin(), order.end(), name) == order.end()) order.push_back(name);
    }
  }
  std::vector<Target> targets;
  for (const auto& name : order) {
    const auto& found = models.at(name);
    targets.push_back(Target{name, found.provider, found.upstream});
  }
  return targets;
}

}  // namespace gantry::ai
