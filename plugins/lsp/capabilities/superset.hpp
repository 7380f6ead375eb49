// SPDX-License-Identifier: Apache-2.0
//
// superset.hpp: what the broker tells a shared language server of its client, and what decides who may share one.
//
// A server is offered one fixed superset of the client capabilities of LSP 3.18, whoever is first: all that can be cut
// down for a client that lacks a capability (cut.hpp), or that concerns only what a client sends. To the superset
// `initialize` adds what cannot be cut down and so is the same for all clients of the server: `experimental`,
// capabilities that the protocol does not have.
//
// Three capabilities change what a server does in a way that no cutting makes good, but only some servers use them: the
// features below. They are offered until a server is found to use one that a client of its lacks. That client then
// goes to a server that is not offered the feature.
//
// Not offered to any server, since nothing but the server can do without: see kSuperset, where such a member is null.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

/// A set of features.
using Features = unsigned;
namespace feature {
inline constexpr Features kLazyCompletion = 1;   ///< additionalTextEdits come with completionItem/resolve
inline constexpr Features kLazyActions = 2;      ///< the edit of a code action comes with codeAction/resolve
inline constexpr Features kPullDiagnostics = 4;  ///< the client asks for diagnostics, so they need not be published
/// Not a capability: the server takes no change of its workspace folders. No client has a way around that.
inline constexpr Features kFixedFolders = 16;
}  // namespace feature

/// The features that a client with these capabilities lacks.
[[nodiscard]] Features lacking_in(const json& client_capabilities);
/// The features that a server with these capabilities uses.
[[nodiscard]] Features features_used_by(const json& server_capabilities);

/// A WorkspaceFolder.
[[nodiscard]] json folder_entry(const std::string& path);

/// What two clients of one server have in common, besides the server and the root. `folders`: those that `initialize`
/// names, as paths. They are no part if all are paths of this machine.
[[nodiscard]] json common_part(const json& initialize_params, const std::vector<std::string>& folders);

/// The params of `initialize` for a shared server. `common`: of common_part(); `without`: the features that are not
/// offered.
[[nodiscard]] json superset_params(const json& initialize_params, const json& common,
                                   const std::vector<std::string>& folders, Features without);

}  // namespace gantry::lsp
