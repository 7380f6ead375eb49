// SPDX-License-Identifier: Apache-2.0
#include "host/config/grants.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <gantry/params.hpp>
#include <optional>
#include <span>

#include "host/config/segments.hpp"

namespace gantry::host {

namespace {

enum class Takes : std::uint8_t { nothing, path, pattern };
struct Row {
  std::string_view name;
  Takes takes;
};
// In the order of GrantKind.
constexpr std::array<Row, 8> kRows{{{"network", Takes::nothing},
                                    {"processes", Takes::nothing},
                                    {"client", Takes::nothing},
                                    {"read", Takes::path},
                                    {"write", Takes::path},
                                    {"call", Takes::pattern},
                                    {"publish", Takes::pattern},
                                    {"subscribe", Takes::pattern}}};
constexpr std::array<std::string_view, 3> kPlaces{"~", "$STATE", "$WORKSPACE"};
constexpr std::size_t kMaxShown = 100;
constexpr std::size_t kMaxSegments = 16;
constexpr std::size_t kMaxPattern = 256;

[[nodiscard]] const Row& row_of(GrantKind kind) { return kRows[static_cast<std::size_t>(kind)]; }

[[nodiscard]] std::unexpected<Error> refuse(std::string_view text, const std::string& why) {
  return fail(ErrorKind::invalid_params, "grant \"" + std::string(text.substr(0, kMaxShown)) + "\": " + why);
}

[[nodiscard]] std::unexpected<Error> unknown(std::string_view text, std::string_view name) {
  std::vector<std::string> names;
  std::string all;
  for (const auto& row : kRows) {
    names.emplace_back(row.name);
    const char* rest = row.takes == Takes::path ? ":PATH" : row.takes == Takes::pattern ? ":PATTERN" : "";
    all += (all.empty() ? "" : ", ") + names.back() + rest;
  }
  const auto hint = did_you_mean(name, names);
  return refuse(text, "there is none of this name" + (hint.empty() ? "; there are " + all : hint));
}

[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> out;
  while (true) {
    const auto end = text.find(at);
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

[[nodiscard]] bool is_pattern(std::string_view text) {
  const auto segments = split(text, '.');
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return text.size() <= kMaxPattern && segments.size() <= kMaxSegments &&
         std::all_of(segments.begin(), segments.end(), [&](std::string_view s) {
           return s == "*" || s == "**" || (!s.empty() && std::all_of(s.begin(), s.end(), fits));
         });
}

/// Without `.`, doubled and last slashes. Empty: it is no path that can be granted.
[[nodiscard]] std::string plain_path(std::string_view text) {
  if (text == "workspace") return "$WORKSPACE";
  const auto segments = split(text, '/');
  const bool placed = std::find(kPlaces.begin(), kPlaces.end(), segments.front()) != kPlaces.end();
  if (!placed && !segments.front().empty()) return {};
  std::string out(segments.front());
  for (const auto segment : std::span(segments).subspan(1)) {
    if (segment == "..") return {};
    if (!segment.empty() && segment != ".") out += "/" + std::string(segment);
  }
  if (out.empty() && text.starts_with('/')) return "/";
  return out;
}

/// Whether `inner` is `outer` or lies beneath it.
[[nodiscard]] bool path_within(const std::string& inner, const std::string& outer) {
  if (outer == "/" || inner == outer) return true;
  return inner.starts_with(outer) && inner[outer.size()] == '/';
}

/// Whether all that `inner` matches `outer` matches too. It may say no where they are equal in another way.
[[nodiscard]] bool pattern_within(std::string_view inner, std::string_view outer) {
  return segments_match(outer, inner, [](std::string_view want, std::string_view have) {
    return want == "*" ? have != "**" : want == have;
  });
}

[[nodiscard]] bool within(const Grant& inner, const Grant& outer) {
  switch (row_of(outer.kind).takes) {
    case Takes::nothing:
      return true;
    case Takes::path:
      return path_within(inner.of, outer.of);
    case Takes::pattern:
      return pattern_within(inner.of, outer.of);
  }
  return false;
}

[[nodiscard]] bool is_path(GrantKind kind) { return row_of(kind).takes == Takes::path; }

[[nodiscard]] std::optional<Grant> both(const Grant& asked, const Grant& granted) {
  if (asked.kind != granted.kind && !(is_path(asked.kind) && is_path(granted.kind))) return std::nullopt;
  const GrantKind kind = std::min(asked.kind, granted.kind);  // of read and write: read
  if (within(asked, granted)) return Grant{kind, asked.of};
  if (within(granted, asked)) return Grant{kind, granted.of};
  return std::nullopt;
}

[[nodiscard]] Grant at_home(Grant grant, const std::string& home) {
  if (!home.empty() && is_path(grant.kind) && grant.of.starts_with('~')) grant.of.replace(0, 1, home);
  return grant;
}

}  // namespace

Result<Grant> parse_grant(std::string_view text) {
  const auto colon = text.find(':');
  const auto name = text.substr(0, colon);
  const auto row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return r.name == name; });
  if (row == kRows.end()) return unknown(text, name);
  const std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  Grant grant{static_cast<GrantKind>(row - kRows.begin()), {}};
  switch (row->takes) {
    case Takes::nothing:
      if (colon != std::string_view::npos)
        return refuse(text, "nothing follows this name; write \"" + std::string(name) + "\"");
      break;
    case Takes::path:
      grant.of = plain_path(rest);
      if (grant.of.empty())
        return refuse(text,
                      "after the colon comes \"workspace\", or a path that is absolute or begins with ~, $STATE or "
                      "$WORKSPACE, without ..");
      break;
    case Takes::pattern:
      grant.of = rest;
      if (!is_pattern(rest))
        return refuse(text, "after the colon comes a dotted name, in which * is one segment and ** any number");
  }
  return grant;
}

std::string to_string(const Grant& grant) {
  std::string out(row_of(grant.kind).name);
  if (grant.of.empty()) return out;
  return out + ":" + (grant.of == "$WORKSPACE" ? "workspace" : grant.of);
}

bool needs_kernel(const Grant& grant) {
  return is_path(grant.kind) || grant.kind == GrantKind::network || grant.kind == GrantKind::processes;
}

std::vector<Grant> effective_grants(const std::vector<Grant>& asked, const std::vector<Grant>& granted,
                                    const std::string& home) {
  std::vector<Grant> out;
  for (const auto& wish : asked) {
    for (const auto& leave : granted) {
      auto grant = both(at_home(wish, home), at_home(leave, home));
      if (grant && std::find(out.begin(), out.end(), *grant) == out.end()) out.push_back(std::move(*grant));
    }
  }
  return out;
}

std::vector<Grant> uncovered_grants(const std::vector<Grant>& asked, const std::vector<Grant>& granted,
                                    const std::string& home) {
  std::vector<Grant> out;
  for (const auto& wish : asked) {
    const bool covered = std::any_of(granted.begin(), granted.end(), [&](const Grant& leave) {
      const auto grant = both(at_home(wish, home), at_home(leave, home));
      return grant && *grant == at_home(wish, home);
    });
    if (!covered) out.push_back(wish);
  }
  return out;
}

bool has_grant(const std::vector<Grant>& grants, GrantKind kind) {
  return std::any_of(grants.begin(), grants.end(), [kind](const Grant& grant) { return grant.kind == kind; });
}

std::vector<GrantedPath> granted_paths(const std::vector<Grant>& grants, GrantKind kind, const GrantPlaces& places) {
  std::vector<GrantedPath> out;
  for (const auto& grant : grants) {
    if (grant.kind != kind) continue;
    const auto slash = grant.of.find('/');
    const std::string first = grant.of.substr(0, slash);
    const std::string rest = slash == std::string::npos ? "" : grant.of.substr(slash);
    const auto beneath = [&](const std::string& place) { out.push_back({place + rest, rest.empty() ? "" : place}); };
    if (first == "$WORKSPACE") {
      for (const auto& workspace : places.workspaces) beneath(workspace);
    } else if (first.empty()) {
      out.push_back({grant.of, ""});
    } else if (first == "$STATE" && !places.state.empty()) {
      beneath(places.state);
    } else if (first == "~" && !places.home.empty()) {
      out.push_back({places.home + rest, ""});
    }
  }
  return out;
}

}  // namespace gantry::host
