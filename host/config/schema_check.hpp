// SPDX-License-Identifier: Apache-2.0
//
// host/config/schema_check.hpp: a value of a free-form table against the JSON Schema that a plugin gives for it.
//
// Of JSON Schema 2020-12 it knows what gantry/fields.hpp writes: type, const, enum, minimum, maximum, the lengths,
// properties, required, additionalProperties, items, and oneOf of objects that a constant member tells apart. What else
// there is it ignores.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <host/config/check.hpp>
#include <string>

namespace gantry::host {

/// What a schema asks for: "an integer from 1 to 10", "one of "a", "b"".
[[nodiscard]] std::string schema_text(const json& schema);

/// Adds every error of `value`, which stands at `key` in the file of `config`.
void check_schema(const Config& config, const std::string& key, const json& value, const json& schema,
                  Diagnostics& diagnostics);

}  // namespace gantry::host
