// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/trust_service.hpp"

#include <algorithm>
#include <filesystem>
#include <gantry/params.hpp>
#include <set>
#include <utility>

#include "host/config/toml.hpp"
#include "host/daemon/workspaces.hpp"
#include "host/observe/trace.hpp"
#include "host/trust/project.hpp"

namespace gantry::host {

namespace {

[[nodiscard]] std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
  return out.empty() ? "nothing" : out;
}

/// Without a path: there is none.
[[nodiscard]] Result<ProjectFile> file_in(const std::string& folder) {
  auto file = read_project_file(folder);
  if (!file) return std::unexpected(file.error());
  if (*file) return std::move(**file);
  return ProjectFile{{}, {}, std::string(TrustStore::kNoFile)};
}

}  // namespace

std::vector<ManifestMethod> TrustService::methods() {
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
      method("trust.look", "What a plugin asks for, or a folder's .gantry.toml sets, and what of it waits for trust",
             {{"plugin", text}, {"folder", text}}, json::array()),
      method("trust.plugin", "Trusts a plugin with what it asks for: `grants`, as they were seen",
             {{"name", text}, {"grants", texts}}, {"name", "grants"}),
      method("trust.folder", "Trusts a folder's .gantry.toml as it is: `digest`, as it was seen",
             {{"path", text}, {"digest", text}}, {"path", "digest"}),
      method("trust.revoke", "Takes trust back; what runs by it is stopped", {{"plugin", text}, {"folder", text}},
             json::array())};
}

Result<json> TrustService::call(const CallRequest& request) {
  auto doc = parse_json(request.params);
  if (!doc) return std::unexpected(doc.error());
  Params p(std::move(*doc));
  const std::string& method = request.method;
  const std::string& trace = request.traceparent;
  if (method == "trust.plugin" || method == "trust.folder") {
    const bool is_plugin = method == "trust.plugin";
    const std::string name = p.string(is_plugin ? "name" : "path");
    const auto grants = is_plugin ? p.strings("grants") : std::vector<std::string>{};
    const std::string digest = is_plugin ? "" : p.string("digest");
    if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
    return is_plugin ? trust_plugin(name, grants, trace) : trust_folder(name, digest, trace);
  }
  const bool list = method == "trust.list";
  const auto plugin = list ? std::nullopt : p.maybe_string("plugin");
  const auto folder = list ? std::nullopt : p.maybe_string("folder");
  p.require(list || plugin.has_value() != folder.has_value(), "name a plugin or a folder");
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  if (list) return deps_.store.list();
  if (method == "trust.look") return plugin ? look(*plugin) : look_folder(*folder);
  return plugin ? revoke_plugin(*plugin, trace) : revoke_folder(*folder, trace);
}

Result<TrustService::Asks> TrustService::asks_of(const std::string& plugin) const {
  if (deps_.services.instance(plugin) == nullptr)
    return fail(ErrorKind::not_found, "no plugin is named " + plugin + "; `gantry plugin list` says which there are");
  const auto table = deps_.services.table();
  Asks out{*PluginTable::share(table, plugin), false};
  if (out.spec.library.empty()) return fail(ErrorKind::unavailable, "plugin " + plugin + ": " + out.spec.failure);
  auto manifest = read_manifest(out.spec.library);
  if (!manifest) return std::unexpected(manifest.error());
  out.is_new = !out.spec.manifest || out.spec.manifest->document != manifest->document;
  out.spec.take(std::move(*manifest));
  return out;
}

Result<json> TrustService::look(const std::string& plugin) const {
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

Result<json> TrustService::trust_plugin(const std::string& plugin, const std::vector<std::string>& seen,
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
  auto done = deps_.services.change_trust(plugin, [&]() -> Result<std::vector<Grant>> {
    if (auto kept = deps_.store.trust_plugin(plugin, spec.library, spec.manifest->grants); !kept)
      return std::unexpected(kept.error());
    return deps_.store.grants_of(plugin, spec.library);
  });
  if (!done) return std::unexpected(done.error());
  audit("trusted", "plugin " + plugin + " is trusted with " + joined(grants),
        {{"plugin", plugin}, {"library", spec.library.string()}, {"grants", grants}}, traceparent);
  json answer{{"plugin", plugin}, {"grants", grants}};
  if (!asks->is_new) return answer;
  // What was agreed to is the manifest that lies there now.
  if (auto reloaded = deps_.services.reload(plugin); !reloaded) answer["reload"] = reloaded.error().message;
  return answer;
}

Result<json> TrustService::revoke_plugin(const std::string& plugin, std::string_view traceparent) {
  auto revoked = Result<void>();
  if (deps_.services.instance(plugin) == nullptr) {  // one that is not configured any more
    revoked = deps_.store.revoke_plugin(plugin);
  } else {
    revoked = deps_.services.change_trust(plugin, [&]() -> Result<std::vector<Grant>> {
      if (auto gone = deps_.store.revoke_plugin(plugin); !gone) return std::unexpected(gone.error());
      return std::vector<Grant>{};
    });
  }
  if (!revoked) return std::unexpected(revoked.error());
  audit("revoked", "plugin " + plugin + " is not trusted any more", {{"plugin", plugin}}, traceparent);
  return json{{"plugin", plugin}};
}

Result<json> TrustService::look_folder(const std::string& folder) const {
  const auto path = canonical_folder("folder", folder);
  if (!path) return std::unexpected(path.error());
  const auto file = file_in(*path);
  if (!file) return std::unexpected(file.error());
  const bool trusted = deps_.store.digest_of(*path) == file->digest;
  json out{{"folder", *path}, {"file", file->path}, {"digest", file->digest}, {"trusted", trusted}};
  const auto users = deps_.config();
  const auto project = project_config(*file, *users, true);
  if (!project) {
    for (const auto& error : project.error()) out["errors"].push_back(to_string(error));
    return out;
  }
  out["keys"] = json::array();
  for (const auto& key : project->keys)
    out["keys"].push_back({{"key", key.key}, {"value", toml_value(key.value)}, {"safe", key.safe}});
  return out;
}

Result<json> TrustService::trust_folder(const std::string& folder, const std::string& seen,
                                        std::string_view traceparent) {
  const auto path = canonical_folder("folder", folder);
  if (!path) return std::unexpected(path.error());
  const auto file = file_in(*path);
  if (!file) return std::unexpected(file.error());
  if (file->digest != seen)
    return fail(ErrorKind::conflict, std::string(kProjectFile) + " in " + *path +
                                         " is not as you have seen it any more; look at it again with trust.look");
  const auto users = deps_.config();
  if (const auto project = project_config(*file, *users, true); !project)
    return fail(ErrorKind::invalid_params, "nothing of it is trusted: " + to_string(project.error().front()));
  if (auto kept = deps_.store.trust_folder(*path, file->digest); !kept) return std::unexpected(kept.error());
  audit("trusted",
        "folder " + *path + " is trusted, " + std::string(kProjectFile) + " with the SHA-256 " + file->digest,
        {{"folder", *path}, {"digest", file->digest}}, traceparent);
  json answer{{"folder", *path}, {"digest", file->digest}};
  if (const auto errors = deps_.folder_changed(*path); !errors.empty()) answer["errors"] = errors;
  return answer;
}

// A folder that is gone can be revoked, too.
Result<json> TrustService::revoke_folder(const std::string& folder, std::string_view traceparent) {
  const std::string path = canonical_folder("folder", folder).value_or(folder);
  if (auto gone = deps_.store.revoke_folder(path); !gone) return std::unexpected(gone.error());
  audit("revoked", "folder " + path + " is not trusted any more", {{"folder", path}}, traceparent);
  (void)deps_.folder_changed(path);
  return json{{"folder", path}};
}

void TrustService::audit(const char* what, const std::string& line, json event, std::string_view traceparent) const {
  deps_.log.write(Level::warn, "audit", line + trace_note(traceparent));
  if (const auto trace = trace_id(traceparent); !trace.empty()) event["trace"] = trace;
  (void)deps_.bus.publish("host.audit." + std::string(what), dump_json(event));
}

}  // namespace gantry::host
