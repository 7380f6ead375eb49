// SPDX-License-Identifier: Apache-2.0
//
// cut.hpp: what a shared server says, in the form that a client understands.
//
// The server was offered a superset (superset.hpp), so its messages may have forms that a client has not declared.
// Each has an older form that says the same, or less; docs/lsp.md has the table. A workspace edit has none when it
// creates, renames or deletes files, or when its parts build on each other: that is an error, and nothing is applied.
//
// Thread rule: pure functions. They do not throw, whatever the server says: what has not the form of the protocol
// passes as it is.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <string_view>

#include "plugins/lsp/capabilities/understood.hpp"

namespace gantry::lsp {

/// `said`: the result of a request of the client, else the params. `method`: see Understood::cuts; a partial result
/// has the method of its request. `uri`: of the document that a request of the client names.
[[nodiscard]] Result<json> cut(std::string_view method, json said, const Understood& understood,
                               const std::string& uri = {});

/// Puts what the server has registered into its answer to `initialize`, if the client takes no such registration.
void announce(json& initialize_result, const json& registration, const Understood& understood);

// ---- the parts, by kind (cut_completion.cpp, cut_edits.cpp, cut_diagnostics.cpp)

[[nodiscard]] json cut_completion(json list, const Understood& understood);
void cut_completion_item(json& item, const Understood& understood);
[[nodiscard]] Result<json> cut_edit(json edit, const Understood& understood, bool annotations);
[[nodiscard]] json cut_actions(json actions, const Understood& understood);
[[nodiscard]] Result<json> cut_action(json action, const Understood& understood);
void cut_diagnostic(json& diagnostic, const Understood::Diagnostics& understood);
/// The diagnostics in the context of a `textDocument/codeAction` as the server has published them: `published`, of
/// which the client was shown cut forms. A server may know a diagnostic only as it was.
void restore_diagnostics(json& context, const json& published, const Understood& understood);
/// MarkupContent becomes plain text; other values stay.
void cut_markup(json& object, const char* member);

}  // namespace gantry::lsp
