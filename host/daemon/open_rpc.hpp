// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/open_rpc.hpp: builds the answer of rpc.discover, an OpenRPC 1.3.2 document.
//
// The schemas are those of the manifests: JSON Schema 2020-12. Besides OpenRPC's own members a
// method has, where they apply, `x-gantry-stream`, `x-gantry-item` (the schema of its items),
// `x-gantry-attach` and `x-gantry-idempotent`.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <string_view>
#include <vector>

#include "host/plugins/library/manifest.hpp"

namespace gantry::host {

[[nodiscard]] json open_rpc(const std::vector<ManifestMethod>& methods, std::string_view version);

}  // namespace gantry::host
