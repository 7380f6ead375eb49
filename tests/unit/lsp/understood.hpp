// SPDX-License-Identifier: Apache-2.0
//
// tests/unit/lsp/understood.hpp: clients that understand almost everything.
#pragma once

#include "plugins/lsp/capabilities/understood.hpp"
#include "tests/unit/lsp/support.hpp"

namespace lsp_test {

/// All capabilities but for the one at this JSON pointer.
[[nodiscard]] inline gantry::lsp::Understood without(const std::string& path, const json& value = {}) {
  json all = all_capabilities();
  all[json::json_pointer(path)] = value;
  return gantry::lsp::Understood(all);
}
[[nodiscard]] inline gantry::lsp::Understood all() { return gantry::lsp::Understood(all_capabilities()); }

}  // namespace lsp_test
