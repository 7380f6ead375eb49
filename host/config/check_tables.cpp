// SPDX-License-Identifier: Apache-2.0
//
// The walk over the tree: known tables and keys, names, required keys, suggestions.
#include <algorithm>
#include <gantry/params.hpp>
#include <host/config/check.hpp>
#include <host/observe/printable.hpp>
#include <set>
#include <tuple>

namespace gantry::host {
namespace {

constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kMaxListedKeys = 16;

std::string joined(std::string_view table, std::string_view name) {
  return table.empty() ? std::string(name) : std::string(table) + "." + std::string(name);
}

std::string ticked(std::string_view text) { return "`" + printable(text, 200) + "`"; }

const Section* section_at(std::string_view pattern) {
  for (const auto& section : config_sections()) {
    if (section.path == pattern) return &section;
  }
  return nullptr;
}

// `lsp.servers` is no section, but leads to one.
bool leads_to_section(std::string_view pattern) {
  const std::string prefix = std::string(pattern) + ".";
  const auto sections = config_sections();
  return std::any_of(sections.begin(), sections.end(), [&](const Section& section) {
    return section.path == pattern || section.path.starts_with(prefix);
  });
}

std::set<std::string> tables_in(std::string_view pattern) {
  std::set<std::string> out;
  for (const auto& section : config_sections()) {
    std::string_view rest = section.path;
    if (!pattern.empty()) {
      if (!rest.starts_with(std::string(pattern) + ".")) continue;
      rest.remove_prefix(pattern.size() + 1);
    }
    const auto name = rest.substr(0, rest.find('.'));
    if (name != "*") out.emplace(name);
  }
  return out;
}

class Walk {
 public:
  Walk(const EnvLookup& env, Config& config, Diagnostics& diagnostics, const std::string& folder)
      : env_(env), config_(config), diagnostics_(diagnostics), folder_(folder) {}

  // `pattern` is the section's path, `table` the same with the names filled in.
  void enter(const TomlNode& node, const std::string& pattern, const std::string& table, const std::string& name) {
    const Section* section = section_at(pattern);
    if (section != nullptr && !section->not_built.empty()) {
      diagnostics_.add(node.place, table, "[" + table + "]: " + std::string(section->not_built));
      return;
    }
    void* values = section == nullptr ? nullptr : section->make(config_, name);
    for (const auto& member : node.members) {
      const Key* key = section == nullptr ? nullptr : find_key(*section, member.name);
      if (key != nullptr) {
        value(*key, member, table, values);
      } else {
        child(member, pattern, table, section);
      }
    }
    if (section != nullptr) require(*section, node, table);
  }

 private:
  static const Key* find_key(const Section& section, std::string_view name) {
    const auto at =
        std::find_if(section.keys.begin(), section.keys.end(), [&](const Key& key) { return key.name == name; });
    return at == section.keys.end() ? nullptr : &*at;
  }

  void value(const Key& key, const TomlMember& member, const std::string& table, void* values) {
    const std::string path = joined(table, member.name);
    remember(path, member.node);
    auto checked = checked_value(key, member.node, env_, folder_);
    if (!checked) {
      const std::string& what = checked.error().message;
      const char* gap = what.starts_with(':') ? "" : " ";
      diagnostics_.add(checked.error().place, path, ticked(path) + gap + what);
      return;
    }
    key.set(values, *checked);
  }

  void remember(const std::string& path, const TomlNode& node) {
    config_.places[path] = node.place;
    for (std::size_t i = 0; i < node.items.size() && i < kMaxItems; ++i) {
      remember(path + "[" + std::to_string(i) + "]", node.items[i]);
    }
    for (std::size_t i = 0; i < node.members.size() && i < kMaxItems; ++i) {
      remember(joined(path, toml_key(node.members[i].name)), node.members[i].node);
    }
  }

  void child(const TomlMember& member, const std::string& pattern, const std::string& table, const Section* section) {
    const std::string path = joined(table, toml_key(member.name));
    const std::string plain = joined(pattern, member.name);
    const Section* for_names = section_at(joined(pattern, "*"));
    const bool known_table = leads_to_section(plain) && member.name != "*";
    if (!known_table && for_names == nullptr) {
      unknown(member, pattern, table, section);
    } else if (member.node.kind != TomlKind::table) {
      diagnostics_.add(member.node.place, path,
                       ticked(path) + " must be a table: write [" + printable(path, 200) + "]");
    } else if (known_table) {
      config_.places[path] = member.node.place;
      enter(member.node, plain, path, {});
    } else if (const auto bad = bad_name(*for_names, member.name); !bad.empty()) {
      diagnostics_.add(member.place, path, ticked(path) + bad);
    } else if (for_names->names(config_).size() >= kMaxItems) {
      diagnostics_.add(member.place, path,
                       ticked(path) + ": there can be at most " + std::to_string(kMaxItems) + " of them");
    } else {
      config_.places[path] = member.node.place;
      enter(member.node, std::string(for_names->path), path, member.name);
    }
  }

  static std::string bad_name(const Section& section, std::string_view name) {
    if (name.empty() || name.size() > kMaxNameBytes) {
      return ": a name must be 1 to " + std::to_string(kMaxNameBytes) + " bytes long";
    }
    if (section.plain_names && toml_key(name) != name) return ": a name may have only letters, digits, `_` and `-`";
    if (printable(name, 4 * kMaxNameBytes) != name) return ": a name must not have control characters";
    return {};
  }

  void unknown(const TomlMember& member, const std::string& pattern, const std::string& table, const Section* section) {
    const bool is_table = member.node.kind == TomlKind::table;
    const std::string path = joined(table, toml_key(member.name));
    const std::string where = table.empty() ? "at the top of the file" : "in [" + printable(table, 200) + "]";
    std::string message = is_table ? "unknown table [" + printable(path, 200) + "]"
                                   : "unknown key " + ticked(toml_key(member.name)) + " " + where;
    diagnostics_.add(member.place, path, message + suggestion(member.name, pattern, table, section));
  }

  static std::string suggestion(const std::string& name, const std::string& pattern, const std::string& table,
                                const Section* section) {
    for (const auto& other : config_sections()) {
      if (&other != section && find_key(other, name) != nullptr)
        return "; did you mean it in [" + other.table("NAME") + "]?";
    }
    const auto tables = tables_in(pattern);
    std::set<std::string> names = tables;
    if (section != nullptr) {
      for (const auto& key : section->keys) names.emplace(key.name);
    }
    if (const auto near = name.size() > 4 * kMaxNameBytes ? "" : nearest_name(name, names); tables.contains(near))
      return "; did you mean [" + joined(table, near) + "]?";
    if (auto hint = did_you_mean(name, names, "`"); !hint.empty()) return hint;
    std::string all;
    std::size_t listed = 0;
    for (const auto& known : names) {
      if (listed++ < kMaxListedKeys) all += (all.empty() ? "`" : ", `") + known + "`";
    }
    return "; known there are " + all;
  }

  void require(const Section& section, const TomlNode& node, const std::string& table) {
    for (const auto& key : section.keys) {
      if (!key.required) continue;
      const auto there = std::any_of(node.members.begin(), node.members.end(),
                                     [&](const TomlMember& member) { return member.name == key.name; });
      if (there) continue;
      diagnostics_.add(node.place, joined(table, key.name),
                       "[" + printable(table, 200) + "] needs `" + std::string(key.name) + "`: " + expected_value(key));
    }
  }

  const EnvLookup& env_;
  Config& config_;
  Diagnostics& diagnostics_;
  const std::string& folder_;
};

}  // namespace

void Diagnostics::add(Place place, std::string key, std::string message) {
  if (errors_.size() >= kMaxConfigErrors) {
    ++more_;
    return;
  }
  errors_.push_back(ConfigError{file_, place, std::move(key), std::move(message)});
}

std::vector<ConfigError> Diagnostics::take() {
  std::sort(errors_.begin(), errors_.end(), [](const ConfigError& a, const ConfigError& b) {
    return std::tie(a.place.line, a.place.column, a.key) < std::tie(b.place.line, b.place.column, b.key);
  });
  if (more_ > 0) {
    errors_.push_back(ConfigError{file_, {}, {}, std::to_string(more_) + " more errors are not shown"});
  }
  return std::move(errors_);
}

void check_tables(const TomlNode& root, const EnvLookup& env, Config& config, Diagnostics& diagnostics,
                  const std::string& folder) {
  Walk(env, config, diagnostics, folder).enter(root, {}, {}, {});
}

}  // namespace gantry::host
