// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/definition.hpp: the declaration of a plugin: its manifest and its handlers, in one
// place.
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
  /// Topics (patterns) that the plugin may publish on, and topics whose events it receives.
  Definition& publishes(std::string pattern) { return add("publishes", std::move(pattern)); }
  Definition& subscribes(std::string pattern) { return add("subscribes", std::move(pattern)); }
  /// Topics whose events carry the epoch and sequence number of a log that the plugin keeps.
  Definition& keeps_log(std::string pattern) { return add("logs", std::move(pattern)); }
  /// The method that reads pages of that log, so that subscribers can resume it.
  Definition& reads_log(std::string method) { return set("log_reader", std::move(method)); }
  /// The members that [plugins.NAME.settings] may have: the host refuses a configuration that does
  /// not fit S. Not needed by a plugin whose `start` takes its settings.
  template <class S>
  Definition& settings() {
    return set("settings_schema", schema_of<S>());
  }
  /// The configuration table of the host that the plugin receives as `settings`, besides its own.
  Definition& settings(std::string table) { return set("settings", std::move(table)); }
  /// When the plugin starts, besides at its first call: "start"; "workspace" (a client names a
  /// workspace); "on_event:PATTERN" (the first such event, which the plugin receives if it
  /// subscribes to it); "on_language:ID" (the first document of that language is opened with a
  /// language server).
  Definition& activation(std::string when) { return add("activation", std::move(when)); }
  /// Another plugin, by its id, that runs whenever this one does. Versions: `>=1.2 <2`, `^1.2`,
  /// `=1.2.3`, or `*` for any.
  Definition& needs(std::string plugin, std::string version = "*") {
    manifest_["needs"].push_back({{"id", std::move(plugin)}, {"version", std::move(version)}});
    return *this;
  }
  /// Declares that every handler and callback returns within microseconds and never waits: they run
  /// on the host's workers.
  Definition& nonblocking() { return set("nonblocking", true); }
  /// A right that the plugin needs besides answering its own calls: "network", "processes",
  /// "read:workspace", "write:~/.cache/x", ... The configuration decides which it gets; the kernel
  /// enforces that for a plugin in a process of its own.
  Definition& grant(std::string what) { return add("grants", std::move(what)); }
  /// How the plugin is replaced at a reload: "overlap" (the default), or "handover" for the owner
  /// of an exclusive resource.
  Definition& reload(std::string kind) { return set("reload", std::move(kind)); }

  /// Adds a method. gantry/plugin/handler.hpp lists the possible handlers. The handler's types give
  /// the schemas that `options` leaves out.
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
    if (!options.follows.empty()) entry["follows"] = std::move(options.follows);
    if (options.tool) entry["tool"] = detail::manifest_of(std::move(*options.tool));
    if (options.resource) entry["resource"] = detail::manifest_of(std::move(*options.resource));
    if (options.prompt) entry["prompt"] = detail::manifest_of(std::move(*options.prompt));
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
