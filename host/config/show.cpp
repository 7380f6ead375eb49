// SPDX-License-Identifier: Apache-2.0
//
// Everything that goes from a Config outwards: text, differences, and JSON for plugins.
#include <algorithm>
#include <host/config/keys.hpp>
#include <host/config/toml.hpp>
#include <host/observe/printable.hpp>
#include <set>

namespace gantry::host {
namespace {

void show_table(const Config& config, const Section& section, const std::string& name, std::string& out) {
  const std::string table = section.table(name);
  out += "\n[" + table + "]\n";
  for (const auto& key : section.keys) {
    const json value = key.get(section.find(config, name));
    if (value.is_null()) {
      out += "# " + std::string(key.name) + " is not set\n";
      continue;
    }
    std::string source = source_of(config, table + "." + std::string(key.name));
    if (const auto note = project_note(key.project); !note.empty()) source += "; " + std::string(note);
    out += std::string(key.name) + " = " + toml_value(value) + "  # " + printable(source, 1024) + "\n";
  }
}

void document_key(const Key& key, const json& standard, bool example, std::string& out) {
  out += "# " + std::string(key.doc) + "\n#   " + expected_value(key);
  if (key.required) out += "; needed";
  out += key.apply == Apply::live ? "; changes by a reload" : "; changes by a restart";
  if (const auto note = project_note(key.project); !note.empty()) out += "; " + std::string(note);
  out += "\n";
  const std::string name = (example ? "#" : "") + std::string(key.name) + " = ";
  const std::string standard_text = standard.is_null() ? "not set" : toml_value(standard);
  const bool shows_default = key.example.empty() && !standard.is_null();
  if (!shows_default && !key.required) out += "#   default: " + standard_text + "\n";
  if (shows_default) out += name + standard_text + "\n";
  if (!key.example.empty()) out += name + std::string(key.example) + "\n";
}

void diff_table(const Section& section, const std::string& name, const void* before, const void* after,
                ReloadDiff& out) {
  const std::string table = section.table(name);
  if (before == nullptr || after == nullptr) {
    const bool restart = std::any_of(section.keys.begin(), section.keys.end(),
                                     [](const Key& key) { return key.apply == Apply::restart; });
    (restart ? out.restart : out.live).push_back(table);
    return;
  }
  for (const auto& key : section.keys) {
    if (key.get(before) == key.get(after)) continue;
    (key.apply == Apply::restart ? out.restart : out.live).push_back(table + "." + std::string(key.name));
  }
}

json section_json(const Section& section, const void* values) {
  json out = json::object();
  for (const auto& key : section.keys) {
    json value = key.get(values);
    if (!value.is_null()) out[std::string(key.name)] = std::move(value);
  }
  return out;
}

// `ai.providers.*` below `ai` is `providers`.
void put_section(const Config& config, const Section& section, std::string_view below, json& out) {
  json* at = &out;
  std::string_view rest = section.path == below ? std::string_view() : section.path.substr(below.size() + 1);
  while (!rest.empty() && rest != "*") {
    const auto dot = std::min(rest.find('.'), rest.size());
    at = &(*at)[std::string(rest.substr(0, dot))];
    if (at->is_null()) *at = json::object();
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  for (const auto& name : section.names(config)) {
    json values = section_json(section, section.find(config, name));
    if (section.named()) {
      (*at)[name] = std::move(values);
    } else {
      at->update(values);
    }
  }
}

json table_json(const Config& config, std::string_view table) {
  json out = json::object();
  const std::string prefix = std::string(table) + ".";
  for (const auto& section : config_sections()) {
    if (section.path == table || section.path.starts_with(prefix)) put_section(config, section, table, out);
  }
  return out;
}

}  // namespace

std::string source_of(const Config& config, std::string_view key) {
  const auto at = config.places.find(key);
  const auto given = config.given.find(key);
  const std::string place = at == config.places.end() ? "" : config.file + ":" + std::to_string(at->second.line);
  if (given != config.given.end()) return place.empty() ? given->second : place + " and " + given->second;
  return place.empty() ? "default" : place;
}

std::string show_config(const Config& config) {
  std::string out = "# The configuration in force. Behind each value stands where it comes from.\n";
  for (const auto& section : config_sections()) {
    if (section.keys.empty()) continue;
    for (const auto& name : section.names(config)) show_table(config, section, name, out);
  }
  return out;
}

std::string documented_config() {
  const Config standard;
  Config scratch;
  std::string out =
      "# Gantry's configuration: every key, with its default. Copy what you change to\n"
      "# $XDG_CONFIG_HOME/gantry/gantry.toml (~/.config/gantry/gantry.toml), or name a file by --config or "
      "$GANTRY_CONFIG.\n"
      "# A line that begins with `#` and no space is an example: take the `#` away to use it.\n"
      "# `gantry config check` finds errors; `gantry config show` prints what is in force, and where it comes "
      "from.\n"
      "# A project has a file of its own, .gantry.toml, at the root of its workspace: what it may set says so below, "
      "and what\n"
      "# has to be trusted first waits for `gantry trust`.\n";
  for (const auto& section : config_sections()) {
    const bool example = section.named();
    const std::string name(section.example);
    out += "\n# " + std::string(section.doc) + "\n";
    if (!section.not_built.empty()) {
      out += "# [" + std::string(section.path) + "] " + std::string(section.not_built) + ".\n";
      continue;
    }
    out += (example ? "#[" : "[") + section.table(name) + "]\n";
    const void* values = example ? section.make(scratch, name) : section.find(standard, name);
    for (const auto& key : section.keys) document_key(key, key.get(values), example, out);
  }
  return out;
}

ReloadDiff diff(const Config& old_config, const Config& new_config) {
  ReloadDiff out;
  for (const auto& section : config_sections()) {
    std::set<std::string> names;
    for (const Config* config : {&old_config, &new_config}) {
      for (auto& name : section.names(*config)) names.insert(std::move(name));
    }
    for (const auto& name : names) {
      diff_table(section, name, section.find(old_config, name), section.find(new_config, name), out);
    }
  }
  return out;
}

json plugin_settings(const Config& config, std::string_view table) {
  if (table != "ai" && table != "lsp" && table != "state") return json::object();
  return table_json(config, table);
}

json async_json(const Config& config) { return table_json(config, "async"); }

}  // namespace gantry::host
