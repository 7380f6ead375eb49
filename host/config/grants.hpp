// SPDX-License-Identifier: Apache-2.0
//
// host/config/grants.hpp: grants: what a plugin may do besides answering its own calls. Its
// manifest asks for grants, the configuration gives them; only grants in both are in force.
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
// PATH is absolute, or begins with `~` (the user's home), `$STATE` (the host's state folder) or
// `$WORKSPACE` (every workspace; `read:workspace` is short for `read:$WORKSPACE`). PATTERN matches
// methods or topics, with `*` and `**`. A plugin's own state folder and the folder of its library
// need no grant.
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
  std::string of;  ///< the path or pattern; empty for a grant without one
  bool operator==(const Grant&) const = default;
};

/// `invalid_params` says what is wrong, and names the nearest valid grant.
[[nodiscard]] Result<Grant> parse_grant(std::string_view text);
[[nodiscard]] std::string to_string(const Grant& grant);

/// True: only the kernel can enforce the grant, so only for a plugin in a process of its own.
[[nodiscard]] bool needs_kernel(const Grant& grant);

/// The grants that are in both lists: of two paths or patterns, one within the other, the inner
/// one. `home` replaces `~`.
[[nodiscard]] std::vector<Grant> effective_grants(const std::vector<Grant>& asked, const std::vector<Grant>& granted,
                                                  const std::string& home);

/// The grants of `asked` that nothing in `granted` covers fully.
[[nodiscard]] std::vector<Grant> uncovered_grants(const std::vector<Grant>& asked, const std::vector<Grant>& granted,
                                                  const std::string& home);

[[nodiscard]] bool has_grant(const std::vector<Grant>& grants, GrantKind kind);

/// A folder or file behind a grant, absolute.
struct GrantedPath {
  std::string path;
  std::string within;  ///< for $STATE/... and $WORKSPACE/...: the folder that links must not lead out of; else empty
  bool operator==(const GrantedPath&) const = default;
};
/// The folders and files of all grants of one kind. A grant whose place does not exist (no home, no
/// workspace) is left out.
struct GrantPlaces {
  std::string home;
  std::string state;
  std::vector<std::string> workspaces;
};
[[nodiscard]] std::vector<GrantedPath> granted_paths(const std::vector<Grant>& grants, GrantKind kind,
                                                     const GrantPlaces& places);

}  // namespace gantry::host
