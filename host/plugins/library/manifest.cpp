// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/library/manifest.hpp"

#include <gantry/abi.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <gantry/params.hpp>
#include <iterator>
#include <span>
#include <utility>

#include "host/bus/topic.hpp"

namespace gantry::host {

namespace {

constexpr std::uintmax_t kMaxManifestBytes = 1024 * 1024;

[[nodiscard]] std::vector<std::string> list(Params& p, const char* name) {
  return p.maybe_value(name) ? p.strings(name) : std::vector<std::string>{};
}

// Later hosts add members to the manifest; what this one does not know it leaves alone.
[[nodiscard]] json known_members_only(const json& doc, std::span<const char* const> known) {
  if (!doc.is_object()) return doc;
  json out = json::object();
  for (const char* name : known) {
    if (doc.contains(name)) out[name] = doc[name];
  }
  return out;
}

constexpr std::array kKnown{"id",          "version",    "summary", "abi",        "services",  "methods",
                            "publishes",   "subscribes", "logs",    "activation", "settings",  "settings_schema",
                            "nonblocking", "grants",     "needs",   "reload",     "log_reader"};
constexpr std::array kKnownOfMethod{"name",       "summary", "params", "result",     "item",   "errors",
                                    "idempotent", "stream",  "attach", "keeps_time", "follows"};

[[nodiscard]] Result<ManifestMethod> parse_method(const json& entry) {
  Params p(known_members_only(entry, kKnownOfMethod));
  ManifestMethod method;
  method.name = p.string("name");
  method.summary = p.string_or("summary", "");
  for (const auto& [name, schema] :
       {std::pair{"params", &method.params}, {"result", &method.result}, {"item", &method.item}}) {
    *schema = p.maybe_value(name).value_or(json::object());
    p.require(schema->is_object(), std::string(name) + " must be a JSON Schema object");
  }
  for (const auto& name : list(p, "errors")) {
    const auto kind =
        std::find_if(kErrorKinds.begin(), kErrorKinds.end(), [&](const auto& k) { return k.name == name; });
    if (kind != kErrorKinds.end()) method.errors.push_back(kind->kind);
  }
  method.idempotent = p.boolean_or("idempotent", false);
  method.stream = p.boolean_or("stream", false);
  method.attach = p.boolean_or("attach", false);
  method.keeps_time = p.boolean_or("keeps_time", false);
  method.follows = p.string_or("follows", "");
  if (auto ok = p.done(); !ok) return fail(ErrorKind::invalid_params, "a method's entry: " + ok.error().message);
  if (auto ok = check_topic(method.name); !ok)
    return fail(ErrorKind::invalid_params, "a method's name is no dotted name");
  auto offers = parse_agent_offers(entry, {method.name, method.summary, method.params, method.result, method.stream});
  if (!offers) return fail(ErrorKind::invalid_params, "method " + method.name + ": " + offers.error().message);
  method.offers = std::move(*offers);
  return method;
}

[[nodiscard]] Result<ManifestNeed> parse_need(const json& entry) {
  Params p(entry);
  ManifestNeed need;
  need.id = p.string("id");
  const std::string version = p.string_or("version", "*");
  if (auto ok = p.done(); !ok) return fail(ErrorKind::invalid_params, "an entry of needs: " + ok.error().message);
  auto range = VersionRange::parse(version);
  if (!range) return fail(ErrorKind::invalid_params, "needs " + need.id + ": " + range.error().message);
  need.version = std::move(*range);
  return need;
}

/// First in methods that the host answers, and in topics that it publishes on: whose they are may use them freely.
[[nodiscard]] bool is_word_of_the_host(std::string_view word) {
  constexpr std::array<std::string_view, 8> kWords{"config",  "events", "host", "plugin",
                                                   "process", "rpc",    "task", "trust"};
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

/// Two methods offer different things, and complete by methods that there are.
[[nodiscard]] Result<void> check_offers(const Manifest& m) {
  std::map<std::string, std::string> owners;
  for (const auto& [name, method] : m.methods) {
    for (auto& label : method.offers.labels()) {
      const auto [owner, is_new] = owners.emplace(std::move(label), name);
      if (!is_new)
        return fail(ErrorKind::invalid_params,
                    "methods " + owner->second + " and " + name + " both offer " + owner->first);
    }
    const auto& [tool, resource, prompt] = method.offers;
    for (const auto& completes : {resource ? resource->completes : "", prompt ? prompt->completes : ""}) {
      if (!completes.empty() && !m.methods.contains(completes))
        return fail(ErrorKind::invalid_params,
                    "method " + name + " completes by " + completes + ", which is none of its methods");
    }
  }
  return {};
}

[[nodiscard]] Result<void> check(const Manifest& m) {
  const auto wrong = [](std::string why) {
    return fail(ErrorKind::invalid_params, "its manifest is wrong: " + std::move(why));
  };
  if (auto ok = check_plugin_id(m.id); !ok) return wrong(ok.error().message);
  if (m.abi_major != GANTRY_ABI_MAJOR) {
    return wrong("it is built for ABI major version " + std::to_string(m.abi_major) + ", this host speaks " +
                 std::to_string(GANTRY_ABI_MAJOR) + "; rebuild it with this host's sdk");
  }
  if (m.abi_minor > GANTRY_ABI_MINOR) {
    return wrong("it needs ABI version " + std::to_string(m.abi_major) + "." + std::to_string(m.abi_minor) +
                 ", this host speaks " + std::to_string(GANTRY_ABI_MAJOR) + "." + std::to_string(GANTRY_ABI_MINOR) +
                 "; update the host");
  }
  for (const auto& service : m.services) {
    if (is_word_of_the_host(service)) return wrong("service \"" + service + "\" is the host's own");
    if (!check_topic(service) || service.find('.') != std::string::npos)
      return wrong("service \"" + service + "\" is no word");
  }
  for (const auto& [name, method] : m.methods) {
    const std::string service = name.substr(0, name.find('.'));
    if (std::find(m.services.begin(), m.services.end(), service) == m.services.end())
      return wrong("method " + name + " belongs to no service that it declares");
    if (!method.follows.empty() && method.follows != m.log_reader)
      return wrong("method " + name + " follows \"" + method.follows + "\", which is not its log_reader");
  }
  if (auto ok = check_offers(m); !ok) return wrong(ok.error().message);
  if (!m.log_reader.empty() && (m.logs.empty() || !m.methods.contains(m.log_reader)))
    return wrong("log_reader \"" + m.log_reader + "\" must be one of its methods, and it must have logs");
  for (const auto& patterns : {m.publishes, m.subscribes, m.logs, m.activating_topics(), m.activating_languages()}) {
    for (const auto& pattern : patterns) {
      if (auto ok = check_pattern(pattern); !ok) return wrong(ok.error().message);
    }
  }
  return {};
}

}  // namespace

Result<void> check_plugin_id(std::string_view id) {
  if (is_word_of_the_host(id)) return fail(ErrorKind::invalid_params, "id must not be a word of the host's own");
  if (check_topic(id) && id.find('.') == std::string_view::npos) return {};
  return fail(ErrorKind::invalid_params, "id must be one word of letters, digits, `_` and `-`");
}

bool Manifest::activated_by(std::string_view when) const {
  return std::find(activation.begin(), activation.end(), when) != activation.end();
}

namespace {

constexpr std::string_view kOnEvent = "on_event:";
constexpr std::string_view kOnLanguage = "on_language:";
/// The `lsp` plugin publishes there when the first document of a language is opened.
constexpr std::string_view kLanguageTopic = "lsp.language.";

[[nodiscard]] std::vector<std::string> after(std::string_view kind, const std::vector<std::string>& activation,
                                             std::string_view head) {
  std::vector<std::string> out;
  for (const auto& when : activation) {
    if (when.starts_with(kind)) out.push_back(std::string(head) + when.substr(kind.size()));
  }
  return out;
}

}  // namespace

std::vector<std::string> Manifest::activating_topics() const { return after(kOnEvent, activation, ""); }

std::vector<std::string> Manifest::activating_languages() const {
  return after(kOnLanguage, activation, kLanguageTopic);
}

Result<Manifest> parse_manifest(std::string_view text) {
  auto doc = parse_json(text);
  if (!doc) return fail(ErrorKind::invalid_params, "its manifest is " + doc.error().message);
  if (!doc->is_object()) return fail(ErrorKind::invalid_params, "its manifest is no JSON object");
  Params p(known_members_only(*doc, kKnown));
  Manifest m;
  m.id = p.string("id");
  m.version = p.string("version");
  m.summary = p.string_or("summary", "");
  m.services = list(p, "services");
  m.publishes = list(p, "publishes");
  m.subscribes = list(p, "subscribes");
  m.logs = list(p, "logs");
  m.log_reader = p.string_or("log_reader", "");
  m.activation = list(p, "activation");
  m.settings = p.string_or("settings", "");
  m.settings_schema = p.maybe_object("settings_schema").value_or(json());
  m.nonblocking = p.boolean_or("nonblocking", false);
  const std::string reload = p.string_or("reload", "overlap");
  auto grants = list(p, "grants");
  Params abi(p.object("abi"));
  m.abi_major = static_cast<std::uint32_t>(abi.integer("major", 0, 0xFFFF));
  m.abi_minor = static_cast<std::uint32_t>(abi.integer_or("minor", 0, 0, 0xFFFF));
  const json methods = p.array("methods");
  const json needs = p.maybe_value("needs") ? p.array("needs") : json::array();
  for (Params* part : {&p, &abi}) {
    if (auto ok = part->done(); !ok)
      return fail(ErrorKind::invalid_params, "its manifest is wrong: " + ok.error().message);
  }
  const auto is_own = [&m](std::string_view topic) {
    const auto first = topic.substr(0, topic.find('.'));
    return first == m.id || std::find(m.services.begin(), m.services.end(), first) != m.services.end();
  };
  // Who lists topics of others asks for them.
  for (const auto& topic : m.publishes) {
    if (!is_own(topic)) grants.push_back("publish:" + topic);
  }
  for (const auto& topic : m.subscribes) {
    if (!is_own(topic)) grants.push_back("subscribe:" + topic);
  }
  for (const auto& topic : m.activating_topics()) {
    if (!is_own(topic) && std::find(m.subscribes.begin(), m.subscribes.end(), topic) == m.subscribes.end())
      grants.push_back("subscribe:" + topic);
  }
  if (reload != "overlap" && reload != "handover")
    return fail(ErrorKind::invalid_params, "its manifest is wrong: reload must be \"overlap\" or \"handover\"");
  m.handover = reload == "handover";
  for (const auto& asked : grants) {
    auto grant = parse_grant(asked);
    if (!grant) return fail(ErrorKind::invalid_params, "its manifest is wrong: " + grant.error().message);
    m.grants.push_back(std::move(*grant));
  }
  for (const auto& entry : methods) {
    auto method = parse_method(entry);
    if (!method) return fail(ErrorKind::invalid_params, "its manifest is wrong: " + method.error().message);
    const std::string name = method->name;
    m.methods.emplace(name, std::move(*method));
  }
  for (const auto& entry : needs) {
    auto need = parse_need(entry);
    if (!need) return fail(ErrorKind::invalid_params, "its manifest is wrong: " + need.error().message);
    m.needs.push_back(std::move(*need));
  }
  if (auto ok = check(m); !ok) return std::unexpected(ok.error());
  m.document = std::move(*doc);
  return m;
}

std::filesystem::path manifest_path(const std::filesystem::path& library) {
  auto path = library;
  return path.replace_extension(".json");
}

Result<Manifest> read_manifest(const std::filesystem::path& library) {
  const auto path = manifest_path(library);
  std::error_code failed;
  const auto size = std::filesystem::file_size(path, failed);
  if (failed && failed != std::errc::no_such_file_or_directory && failed != std::errc::not_a_directory)
    return fail(ErrorKind::unavailable, "its manifest " + path.string() + " cannot be looked at: " + failed.message() +
                                            "; make its folder accessible for this user");
  if (failed)
    return fail(ErrorKind::unavailable, "it has no manifest " + path.string() + " (" + failed.message() +
                                            "); gantry_add_plugin writes one when it builds a plugin");
  if (size > kMaxManifestBytes) return fail(ErrorKind::unavailable, path.string() + " is larger than 1 MiB");
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return fail(ErrorKind::unavailable,
                path.string() + " cannot be read: " + std::strerror(errno) + "; make it readable for this user");
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in) return fail(ErrorKind::unavailable, path.string() + " cannot be read");
  return parse_manifest(text);
}

// A build moves the manifest first (sdk/cmake/place_plugin.sh): who has the old one and the new library finds another
// manifest now.
Result<Manifest> read_manifest_with(const std::filesystem::path& library, const std::function<Result<void>()>& take) {
  constexpr int kTimes = 3;
  auto manifest = read_manifest(library);
  for (int i = 0; i < kTimes && manifest; ++i) {
    if (auto taken = take(); !taken) return std::unexpected(taken.error());
    auto again = read_manifest(library);
    if (again && again->document == manifest->document) return manifest;
    manifest = std::move(again);
  }
  if (!manifest) return manifest;
  return fail(ErrorKind::conflict, library.string() + " is being built anew all the time; reload it again");
}

}  // namespace gantry::host
