// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/watched_globs.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <gantry/file_uri.hpp>
#include <optional>
#include <set>
#include <span>

#include "plugins/lsp/capabilities/member_at.hpp"

namespace gantry::lsp {

namespace {

constexpr unsigned kAllKinds = 7;  // WatchKind: 1 is created, 2 changed, 4 deleted

[[nodiscard]] unsigned kinds_in(const json& kind) {
  if (kind.is_null()) return kAllKinds;
  return kind.is_number() && kind >= 0 && kind <= kAllKinds ? static_cast<unsigned>(kind.get<double>()) : 0;
}

[[nodiscard]] std::string with_slash(std::string folder) {
  if (!folder.ends_with('/')) folder += '/';
  return folder;
}

/// The components of a path; empty ones are none.
[[nodiscard]] std::vector<std::string> components_of(std::string_view path) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (end > at) out.emplace_back(path.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

/// The place behind the brace that closes the brace at `open`, and those of the commas between; npos: none closes it.
[[nodiscard]] std::size_t closed(std::string_view pattern, std::size_t open, std::vector<std::size_t>& commas) {
  int depth = 0;
  for (std::size_t at = open; at < pattern.size(); ++at) {
    if (pattern[at] == '{') ++depth;
    if (pattern[at] == ',' && depth == 1) commas.push_back(at);
    if (pattern[at] == '}' && --depth == 0) return at + 1;
  }
  return std::string_view::npos;
}

/// The patterns without braces that the pattern stands for. False: there are too many.
[[nodiscard]] bool expand(const std::string& pattern, std::vector<std::string>& out) {
  const auto open = pattern.find('{');
  std::vector<std::size_t> ends;
  const auto behind = open == std::string::npos ? open : closed(pattern, open, ends);
  if (behind == std::string::npos) {
    out.push_back(pattern);
    return out.size() <= WatchedGlobs::kMaxAlternatives;
  }
  ends.push_back(behind - 1);
  for (std::size_t begin = open + 1; const std::size_t end : ends) {
    if (!expand(pattern.substr(0, open) + pattern.substr(begin, end - begin) + pattern.substr(behind), out))
      return false;
    begin = end + 1;
  }
  return true;
}

[[nodiscard]] bool matches(std::span<const std::string> pattern, std::span<const std::string> path) {
  // Where to go on when a component does not match: one component further behind the last `**`.
  std::optional<std::pair<std::size_t, std::size_t>> again;
  std::size_t p = 0, at = 0;
  while (at < path.size()) {
    if (p < pattern.size() && pattern[p] == "**") {
      again = {++p, at};
    } else if (p < pattern.size() && ::fnmatch(pattern[p].c_str(), path[at].c_str(), FNM_NOESCAPE) == 0) {
      ++p;
      ++at;
    } else if (again) {
      p = again->first;
      at = ++again->second;
    } else {
      return false;
    }
  }
  return std::all_of(pattern.begin() + static_cast<std::ptrdiff_t>(p), pattern.end(),
                     [](const std::string& rest) { return rest == "**"; });
}

}  // namespace

WatchedGlobs::WatchedGlobs(const std::vector<json>& registrations, const std::vector<std::string>& folders) {
  for (const auto& under_one_id : registrations) {
    for (const auto& registration : under_one_id) {
      if (part(registration, "method") != "workspace/didChangeWatchedFiles") continue;
      const json watchers = member_at(registration, "registerOptions.watchers");
      if (!watchers.is_array()) continue;
      for (const auto& watcher : watchers) {
        const json kind = part(watcher, "kind"), glob = part(watcher, "globPattern");
        const unsigned kinds = kinds_in(kind);
        if (glob.is_string()) {
          const std::string pattern = glob;
          if (pattern.starts_with('/')) {
            add("/", pattern, kinds);
          } else {
            for (const auto& folder : folders) add(folder, pattern, kinds);
          }
          continue;
        }
        const json base = part(glob, "baseUri"), pattern = part(glob, "pattern");
        const json uri = base.is_object() ? part(base, "uri") : base;  // a WorkspaceFolder, or its URI
        if (!uri.is_string() || !pattern.is_string()) continue;
        if (const auto path = to_path(uri.get<std::string>())) add(*path, pattern.get<std::string>(), kinds);
      }
    }
  }
  if (globs_.size() > kMaxGlobs) globs_.assign(1, {"/", {"**"}, kAllKinds});
}

void WatchedGlobs::add(const std::string& base, std::string_view pattern, unsigned kinds) {
  if (kinds == 0 || globs_.size() > kMaxGlobs) return;
  std::vector<std::string> alternatives;
  const bool is_plain = pattern.size() <= kMaxPattern && std::ranges::count(pattern, '{') <= kMaxBraces;
  if (!is_plain || !expand(std::string(pattern), alternatives)) alternatives.assign(1, "**");
  for (const auto& alternative : alternatives) globs_.push_back({with_slash(base), components_of(alternative), kinds});
}

unsigned WatchedGlobs::kinds_of(std::string_view path) const {
  unsigned out = 0;
  std::string_view base;  // that `components` are below: most globs have the same one
  std::vector<std::string> components;
  for (const auto& glob : globs_) {
    if ((glob.kinds | out) == out || !path.starts_with(glob.base)) continue;
    if (base != glob.base) {
      base = glob.base;
      components = components_of(path.substr(base.size()));
    }
    if (matches(glob.components, components)) out |= glob.kinds;
  }
  return out;
}

bool WatchedGlobs::wants(std::string_view path, FileChange change) const {
  return (kinds_of(path) & (1U << (static_cast<unsigned>(change) - 1))) != 0;
}

std::vector<std::string> WatchedGlobs::places() const {
  std::set<std::string> out;
  for (const auto& glob : globs_) {
    std::string place = glob.base;
    for (const auto& component : glob.components) {
      if (component.find_first_of("*?[") != std::string::npos) {
        out.insert(place.substr(0, std::max(place.size() - 1, std::size_t{1})));
        break;
      }
      place += component + "/";
    }
  }
  return {out.begin(), out.end()};
}

}  // namespace gantry::lsp
