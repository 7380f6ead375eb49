// SPDX-License-Identifier: Apache-2.0
#include "host/house/trust_desk.hpp"

#include <algorithm>
#include <gantry/params.hpp>
#include <set>
#include <utility>

#include "host/observe/trace.hpp"

namespace gantry::host {

namespace {

[[nodiscard]] std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
  return out.empty() ? "nothing" : out;
}

}  // namespace

std::vector<ManifestMethod> TrustDesk::methods() {
  const json text{{"type", "string"}};
  const json texts{{"type", "array"}, {"items", text}};
  const auto method = [](const char* name, const char* summary, json properties, json required) {
    ManifestMethod out;
    out.name = name;
    out.summary = summary;
    out.params = {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
    out.result = json::object();
    out.keeps_time = true;
    return out;
  };
  return {
      method("trust.list", "What the user has trusted", json::object(), json::array()),
      method("trust.look", "What a plugin asks for, and what of it waits for trust", {{"plugin", text}}, {"plugin"}),
      method("trust.plugin", "Trusts a plugin with what it asks for: `grants`, as they were seen",
             {{"name", text}, {"grants", texts}}, {"name", "grants"}),
      method("trust.revoke", "Takes trust back; what runs by it is stopped", {{"plugin", text}}, {"plugin"})};
}

Result<json> TrustDesk::call(const CallRequest& request) {
  auto doc = parse_json(request.params);
  if (!doc) return std::unexpected(doc.error());
  Params p(std::move(*doc));
  if (request.method == "trust.list") {
    if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
    return store_.list();
  }
  const bool trusts = request.method == "trust.plugin";
  const std::string plugin = p.string(trusts ? "name" : "plugin");
  const auto seen = trusts ? p.strings("grants") : std::vector<std::string>{};
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (trusts) return trust_plugin(plugin, seen, request.traceparent);
  return request.method == "trust.look" ? look(plugin) : revoke_plugin(plugin, request.traceparent);
}

Result<TrustDesk::Asks> TrustDesk::asks_of(const std::string& plugin) const {
  if (services_.instance(plugin) == nullptr)
    return fail(ErrorKind::not_found, "no plugin is named " + plugin + "; `gantry plugin list` says which there are");
  const auto table = services_.table();
  Asks out{*PluginTable::share(table, plugin), false};
  if (out.spec.library.empty()) return fail(ErrorKind::unavailable, "plugin " + plugin + ": " + out.spec.failure);
  auto manifest = read_manifest(out.spec.library);
  if (!manifest) return std::unexpected(manifest.error());
  out.is_new = !out.spec.manifest || out.spec.manifest->document != manifest->document;
  out.spec.manifest = std::move(*manifest);
  return out;
}

Result<json> TrustDesk::look(const std::string& plugin) const {
  const auto asks = asks_of(plugin);
  if (!asks) return std::unexpected(asks.error());
  const PluginSpec& spec = asks->spec;
  return json{{"plugin", plugin},
              {"version", spec.manifest->version},
              {"library", spec.library.string()},
              {"grants", grant_texts(spec.manifest->grants)},
              {"untrusted", grant_texts(spec.untrusted())},
              {"decided_by", spec.granted   ? "configuration"
                             : spec.bundled ? "host"
                                            : "trust"}};
}

Result<json> TrustDesk::trust_plugin(const std::string& plugin, const std::vector<std::string>& seen,
                                     std::string_view traceparent) {
  const auto asks = asks_of(plugin);
  if (!asks) return std::unexpected(asks.error());
  const PluginSpec& spec = asks->spec;
  if (!spec.needs_trust())
    return fail(ErrorKind::conflict,
                "plugin " + plugin + " needs no trust: " +
                    (spec.granted ? "grants in [plugins." + plugin + "] of the configuration say what it may"
                                  : "it came with the host; grants in [plugins." + plugin + "] would limit it"));
  const auto grants = grant_texts(spec.manifest->grants);
  if (std::set(grants.begin(), grants.end()) != std::set(seen.begin(), seen.end()))
    return fail(ErrorKind::conflict, "plugin " + plugin + " asks for " + joined(grants) + " by now, not for " +
                                         joined(seen) + "; look at it again with trust.look");
  auto done = services_.change_trust(plugin, [&]() -> Result<std::vector<Grant>> {
    if (auto kept = store_.trust_plugin(plugin, spec.library, spec.manifest->grants); !kept)
      return std::unexpected(kept.error());
    return store_.grants_of(plugin, spec.library);
  });
  if (!done) return std::unexpected(done.error());
  tell("trusted", "plugin " + plugin + " is trusted with " + joined(grants),
       {{"plugin", plugin}, {"library", spec.library.string()}, {"grants", grants}}, traceparent);
  json answer{{"plugin", plugin}, {"grants", grants}};
  if (!asks->is_new) return answer;
  // What was agreed to is the manifest that lies there now.
  if (auto reloaded = services_.reload(plugin); !reloaded) answer["reload"] = reloaded.error().message;
  return answer;
}

Result<json> TrustDesk::revoke_plugin(const std::string& plugin, std::string_view traceparent) {
  auto revoked = Result<void>();
  if (services_.instance(plugin) == nullptr) {  // one that is not configured any more
    revoked = store_.revoke_plugin(plugin);
  } else {
    revoked = services_.change_trust(plugin, [&]() -> Result<std::vector<Grant>> {
      if (auto gone = store_.revoke_plugin(plugin); !gone) return std::unexpected(gone.error());
      return std::vector<Grant>{};
    });
  }
  if (!revoked) return std::unexpected(revoked.error());
  tell("revoked", "plugin " + plugin + " is not trusted any more", {{"plugin", plugin}}, traceparent);
  return json{{"plugin", plugin}};
}

void TrustDesk::tell(const char* what, const std::string& line, json event, std::string_view traceparent) const {
  log_.write(Level::warn, "audit", line + trace_note(traceparent));
  if (const auto trace = trace_id(traceparent); !trace.empty()) event["trace"] = trace;
  (void)bus_.publish("host.audit." + std::string(what), dump_json(event));
}

}  // namespace gantry::host
