// SPDX-License-Identifier: Apache-2.0
//
// host/config/grants.hpp: what a plugin may do besides answering its own calls. Its manifest asks, the configuration
// grants; what both say is in force.
//
//   network             sockets of IPv4 and IPv6
//   processes           having the host start helper processes (process.spawn)
//   client              calling back to the client that called it
//   read:PATH           reading a file, or a folder and all that is in it
//   write:PATH          that, and changing it
//   call:PATTERN        calling methods of the host and of other plugins
//   publish:PATTERN     publishing on topics, and
//   subscribe:PATTERN   hearing them
//
// PATH is absolute, or begins with `~` (the user's home), `$STATE` (the host's state folder) or `$WORKSPACE` (every
// workspace; `read:workspace` is short for `read:$WORKSPACE`). PATTERN is one of methods or topics, with `*` and `**`.
// A plugin's own state folder and its library's folder need no grant.
//
// Thread rule: values; pure functions.
#pragma once

#include <gantry/result.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host {

enum class GrantKind : std::uint8_t { network, processes, client, read, write, call, publish, subscribe };

struct Grant {
  GrantKind kind;
  std::string of;  ///< a path or a pattern; empty where there is none
  bool operator==(const Grant&) const = default;
};

/// `invalid_params` with what is wrong and the nearest grant there is.
[[nodiscard]] Result<Grant> parse_grant(std::string_view text);
[[nodiscard]] std::string to_string(const Grant& grant);

/// Whether nothing but the kernel can hold a plugin to it, and so only in a process of its own.
[[nodiscard]] bool needs_kernel(const Grant& grant);

/// What both say: of two paths or patterns of which one lies within the other, the inner one. `home` is what `~` is.
[[nodiscard]] std::vector<Grant> effective_grants(const std::vector<Grant>& asked, const std::vector<Grant>& granted,
                                                  const std::string& home);

/// Those of `asked` that nothing in `granted` holds all of.
[[nodiscard]] std::vector<Grant> uncovered_grants(const std::vector<Grant>& asked, const std::vector<Grant>& granted,
                                                  const std::string& home);

[[nodiscard]] bool has_grant(const std::vector<Grant>& grants, GrantKind kind);

/// A folder or file behind a grant, absolute.
struct GrantedPath {
  std::string path;
  std::string within;  ///< of $STATE/... and $WORKSPACE/...: what it must not lead out of; else empty
  bool operator==(const GrantedPath&) const = default;
};
/// The folders and files behind all grants of this kind. What has no place (no home, no workspace) is left out.
struct GrantPlaces {
  std::string home;
  std::string state;
  std::vector<std::string> workspaces;
};
[[nodiscard]] std::vector<GrantedPath> granted_paths(const std::vector<Grant>& grants, GrantKind kind,
                                                     const GrantPlaces& places);

}  // namespace gantry::host
