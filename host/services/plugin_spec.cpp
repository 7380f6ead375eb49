// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_spec.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <system_error>
#include <utility>

#include "host/services/plugin_graph.hpp"

namespace gantry::host {

namespace {

/// What nobody else may be called: its name, and its services.
[[nodiscard]] std::vector<std::string> words_of(const PluginSpec& spec) {
  auto words = spec.manifest->services;
  words.push_back(spec.name);
  return words;
}

/// What came with the host is first, then all by name: the first to claim something has it.
[[nodiscard]] std::vector<PluginSpec*> in_order_of_claims(std::vector<PluginSpec>& specs) {
  std::vector<PluginSpec*> order;
  for (const bool bundled : {true, false}) {
    for (auto& spec : specs) {
      if (spec.bundled == bundled) order.push_back(&spec);
    }
  }
  return order;
}

// A plugin whose name or service is another's would answer that one's calls, and hear and publish on its topics. The
// later one is out of order, and says why.
void refuse_taken_words(std::vector<PluginSpec>& specs) {
  std::map<std::string, const PluginSpec*> owners;
  for (PluginSpec* const spec : in_order_of_claims(specs)) {
    if (!spec->manifest || !spec->enabled) continue;
    const auto words = words_of(*spec);
    const auto taken = std::ranges::find_if(words, [&](const auto& word) { return owners.contains(word); });
    if (taken != words.end()) {
      const PluginSpec& owner = *owners[*taken];
      const bool offered = std::ranges::find(owner.manifest->services, *taken) != owner.manifest->services.end();
      if (taken == words.end() - 1) {
        spec->failure = "its name, " + *taken + ", is a service of plugin " + owner.name;
      } else {
        spec->failure = "it offers the service " + *taken + ", which " +
                        (offered ? "plugin " + owner.name + " offers already" : "is the name of another plugin");
      }
      if (owner.bundled) spec->failure += "; that one came with the host";
      spec->manifest.reset();
      continue;
    }
    for (const auto& word : words) owners[word] = spec;
  }
}

// To agents all plugins are one server: a name of a tool or a prompt, and a URI, belong to one plugin.
void refuse_taken_offers(std::vector<PluginSpec>& specs) {
  std::map<std::string, const PluginSpec*> owners;
  for (PluginSpec* const spec : in_order_of_claims(specs)) {
    if (!spec->manifest || !spec->enabled) continue;
    std::vector<std::string> labels;
    for (const auto& [name, method] : spec->manifest->methods) {
      for (auto& label : method.offers.labels()) labels.push_back(std::move(label));
    }
    const auto taken = std::ranges::find_if(labels, [&](const auto& label) { return owners.contains(label); });
    if (taken != labels.end()) {
      spec->failure = "it offers agents the " + *taken + ", which plugin " + owners[*taken]->name + " offers already";
      spec->manifest.reset();
      continue;
    }
    for (auto& label : labels) owners.emplace(std::move(label), spec);
  }
}

}  // namespace

std::string home_folder() {
  const char* value = ::getenv("HOME");
  return value == nullptr ? "" : value;
}

void PluginSpec::take(Manifest said) {
  manifest = std::move(said);
  manifest->id = name;
}

std::string PluginSpec::warning() const {
  const std::string said = manifest ? manifest->document.value("id", name) : name;
  if (said == name) return {};
  return "its manifest says that its id is " + said + "; what counts is its name, " + name +
         ": topics and methods of " + said + " are not its own";
}

std::vector<Grant> PluginSpec::grants() const {
  if (!manifest) return {};
  if (!granted && bundled) return manifest->grants;
  return effective_grants(manifest->grants, granted ? *granted : trusted, home_folder());
}

Principal PluginSpec::principal() const {
  return {name, manifest ? manifest->grants : std::vector<Grant>{}, grants(),
          manifest ? words_of(*this) : std::vector<std::string>{}, reads_keys()};
}

std::vector<Grant> PluginSpec::untrusted() const {
  if (!manifest || !needs_trust()) return {};
  return uncovered_grants(manifest->grants, trusted, home_folder());
}

std::string PluginSpec::untrusted_reason() const {
  std::string all;
  for (const auto& grant : untrusted()) all += (all.empty() ? "" : ", ") + to_string(grant);
  return "it asks for " + all + ", which it was not trusted with: run `gantry trust --plugin " + name + "`";
}

std::optional<Error> PluginSpec::refusal() const {
  if (!enabled)
    return Error{
        ErrorKind::unavailable, "plugin " + name + " is disabled; set enabled = true in [plugins." + name + "]", {}};
  if (!failure.empty()) return Error{ErrorKind::unavailable, "plugin " + name + " is out of order: " + failure, {}};
  return trust_error();
}

std::optional<Error> PluginSpec::trust_error() const {
  const auto grants = grant_texts(untrusted());
  if (grants.empty()) return std::nullopt;
  return Error{ErrorKind::permission_denied, "plugin " + name + " waits for trust: " + untrusted_reason(),
               dump_json({{"plugin", name}, {"grant", grants.front()}, {"grants", grants}})};
}

std::vector<std::string> grant_texts(const std::vector<Grant>& grants) {
  std::vector<std::string> out;
  out.reserve(grants.size());
  for (const auto& grant : grants) out.push_back(to_string(grant));
  return out;
}

void refuse_what_does_not_fit(std::vector<PluginSpec>& specs) {
  refuse_taken_words(specs);
  refuse_taken_offers(specs);
  refuse_unmet_needs(specs);
}

std::string unreadable_folder(const std::filesystem::path& folder) {
  std::error_code failed;
  const std::filesystem::directory_iterator tried(folder, failed);
  if (!failed || failed == std::errc::no_such_file_or_directory) return {};
  return "the plugin folder " + folder.string() + " cannot be read: " + failed.message() +
         "; make it readable for this user";
}

std::vector<PluginSpec> find_plugins(const std::filesystem::path& bundled, const std::vector<PluginSpec>& configured) {
  std::map<std::string, PluginSpec> found;
  std::error_code failed;
  for (auto it = std::filesystem::directory_iterator(bundled, failed);
       !failed && it != std::filesystem::directory_iterator(); it.increment(failed)) {
    // A manifest without its library is a plugin that is missing, not one that never was.
    if (it->path().extension() != ".so" && it->path().extension() != ".json") continue;
    PluginSpec spec;
    spec.name = it->path().stem().string();
    spec.library = std::filesystem::path(it->path()).replace_extension(".so");
    spec.bundled = true;
    found[spec.name] = std::move(spec);
  }
  for (const auto& wanted : configured) {
    PluginSpec& spec = found[wanted.name];
    spec.name = wanted.name;
    spec.enabled = wanted.enabled;
    spec.child = wanted.child;
    spec.restart = wanted.restart;
    spec.granted = wanted.granted;
    spec.max_memory_mib = wanted.max_memory_mib;
    if (!wanted.library.empty()) {
      spec.library = wanted.library;
      spec.bundled = false;
    }
  }
  std::vector<PluginSpec> out;
  for (auto& [name, spec] : found) {
    if (spec.library.empty()) {
      spec.failure = "no such plugin: it is not in " + bundled.string() + "; set path in [plugins." + name + "]";
    } else if (const auto there = std::filesystem::status(spec.library, failed);
               there.type() == std::filesystem::file_type::not_found) {
      spec.failure = spec.library.string() + " does not exist; correct path in [plugins." + name + "]";
    } else if (there.type() == std::filesystem::file_type::none) {
      spec.failure = spec.library.string() + " cannot be looked at: " + failed.message() +
                     "; make its folder accessible for this user";
    } else if (auto manifest = read_manifest(spec.library)) {
      spec.take(std::move(*manifest));
    } else {
      spec.failure = manifest.error().message;
    }
    out.push_back(std::move(spec));
  }
  refuse_what_does_not_fit(out);
  return out;
}

}  // namespace gantry::host
