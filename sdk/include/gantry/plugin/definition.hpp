// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/definition.hpp: what a plugin declares: its manifest and its handlers, in one place.
//
// Thread rule: built once, while the library is loaded; read-only afterwards.
#pragma once

#include <gantry/abi.h>

#include <gantry/json.hpp>
#include <gantry/plugin/handler.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gantry {

template <class T>
class Definition {
 public:
  using Handler = detail::HandlerFunction<T>;

  Definition& id(std::string value) { return set("id", std::move(value)); }
  Definition& version(std::string value) { return set("version", std::move(value)); }
  Definition& summary(std::string value) { return set("summary", std::move(value)); }
  /// The first segment of the methods that this plugin answers.
  Definition& service(std::string value) { return add("services", std::move(value)); }
  /// Topics (patterns) that it may publish, and that it is sent.
  Definition& publishes(std::string pattern) { return add("publishes", std::move(pattern)); }
  Definition& subscribes(std::string pattern) { return add("subscribes", std::move(pattern)); }
  /// Topics whose events carry the epoch and sequence of a log of its own.
  Definition& keeps_log(std::string pattern) { return add("logs", std::move(pattern)); }
  /// What [plugins.NAME.settings] may hold: the host refuses a configuration that does not fit. A plugin whose `start`
  /// takes its settings has said so already.
  template <class S>
  Definition& settings() {
    return set("settings_schema", schema_of<S>());
  }
  /// The configuration table of the host that it is given as `settings`, besides its own.
  Definition& settings(std::string table) { return set("settings", std::move(table)); }
  /// When it starts, besides at its first call: "start"; "workspace" (a client names one); "on_event:PATTERN" (the
  /// first event, which it is then given if it subscribes to it); "on_language:ID" (the first document of that language
  /// is opened with a language server).
  Definition& activation(std::string when) { return add("activation", std::move(when)); }
  /// Another plugin, by its id, that runs whenever this one does: `>=1.2 <2`, `^1.2`, `=1.2.3`; any version without
  /// one.
  Definition& needs(std::string plugin, std::string version = "*") {
    manifest_["needs"].push_back({{"id", std::move(plugin)}, {"version", std::move(version)}});
    return *this;
  }
  /// Every handler and callback returns within microseconds and never waits: they run on the host's workers.
  Definition& nonblocking() { return set("nonblocking", true); }
  /// What it needs besides answering its own calls: "network", "processes", "read:workspace", "write:~/.cache/x", ...
  /// It has what the configuration grants of it; a plugin in a process of its own is held to that.
  Definition& grant(std::string what) { return add("grants", std::move(what)); }
  /// How it is replaced: "overlap" (the default), or "handover" for the owner of something exclusive.
  Definition& reload(std::string kind) { return set("reload", std::move(kind)); }

  /// What may answer: gantry/plugin/handler.hpp. The handler's types give the schemas that `options` leaves out.
  template <class F>
  Definition& method(std::string name, F handler, MethodOptions options = {}) {
    detail::describe_handler<T, F>(options);
    return declare(std::move(name), std::move(options), detail::make_handler<T, F>(std::move(handler)));
  }

  [[nodiscard]] bool has_settings() const { return manifest_.contains("settings_schema"); }
  [[nodiscard]] std::string manifest() const {
    json doc = manifest_;
    doc["abi"] = {{"major", GANTRY_ABI_MAJOR}, {"minor", GANTRY_ABI_MINOR}};
    return doc.dump(2);
  }
  [[nodiscard]] const Handler* find(const std::string& method) const {
    const auto it = handlers_.find(method);
    return it == handlers_.end() ? nullptr : &it->second;
  }

 private:
  Definition& set(const char* key, json value) {
    manifest_[key] = std::move(value);
    return *this;
  }
  Definition& add(const char* key, std::string value) {
    manifest_[key].push_back(std::move(value));
    return *this;
  }
  Definition& declare(std::string name, MethodOptions options, Handler handler) {
    json entry{{"name", name}, {"params", std::move(options.params)}, {"result", std::move(options.result)}};
    if (!options.summary.empty()) entry["summary"] = std::move(options.summary);
    for (const ErrorKind kind : options.errors) entry["errors"].push_back(kind_name(kind));
    if (options.idempotent) entry["idempotent"] = true;
    if (!options.item.empty()) entry["item"] = std::move(options.item);
    if (options.stream || options.attach) entry["stream"] = true;
    if (options.attach) entry["attach"] = true;
    if (options.keeps_time) entry["keeps_time"] = true;
    manifest_["methods"].push_back(std::move(entry));
    handlers_.emplace(std::move(name), std::move(handler));
    return *this;
  }

  json manifest_ = {{"id", ""},
                    {"version", "0.0.0"},
                    {"services", json::array()},
                    {"methods", json::array()},
                    {"publishes", json::array()},
                    {"subscribes", json::array()},
                    {"logs", json::array()},
                    {"activation", json::array()},
                    {"isolation", {"inline", "child"}},
                    {"nonblocking", false},
                    {"reload", "overlap"}};
  std::map<std::string, Handler> handlers_;
};

}  // namespace gantry
