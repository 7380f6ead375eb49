// SPDX-License-Identifier: Apache-2.0
//
// write_plan.hpp: writes what a plan says, all files or none.
//
// 1. Every file is compared with the plan, and every new content is written to a temporary file beside its target, with
//    the mode of the file that it replaces, and synced.
// 2. Each temporary file is exchanged with its target (renameat2), a deleted file is renamed to a temporary one. What
//    came out of the exchange is compared with the plan once more, so that a change in the last moment is not lost.
//    When a step fails, all exchanges before it are undone in reverse order.
// 3. Folders are synced; the old contents, which lay beside their files until now, are removed.
//
// A reader sees each file either old or new, and may see some files old and others new between the first exchange and
// the last. If the machine or the process dies between them, some files are old and some new, and the others' contents
// lie beside them, in files named kTemporary and a number.
//
// Nothing outside of `workspace` is touched: folders are opened one by one from there, and no symbolic link is followed
// on the way (the plan has real paths).
//
// A replaced file is another file of the same name: other hard links to the old one keep the old text. Extended
// attributes are not carried over.
//
// Thread rule: the worker; blocks on the file system.
// Bounds: those of the plan. A descriptor for each folder that has a file of the plan.
#pragma once

#include <functional>
#include <gantry/result.hpp>
#include <string>

#include "plugins/lsp/edits/plan.hpp"

namespace gantry::lsp {

inline constexpr const char* kTemporary = ".gantry-edit-";

/// `on_exchange` is called before each exchange of step 2, with the path of the file: for tests.
///
/// `permission_denied`: a file lies outside of `workspace`, or may not be written. `conflict`: a file is not as the
/// plan takes for granted. `storage_failed`: the file system refuses; the message says why, and that nothing was
/// changed, or which files could not be put back and where their old contents lie.
[[nodiscard]] Result<void> write_plan(const Plan& plan, const std::string& workspace,
                                      const std::function<void(const std::string& path)>& on_exchange = {});

}  // namespace gantry::lsp
