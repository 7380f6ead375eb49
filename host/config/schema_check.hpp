// SPDX-License-Identifier: Apache-2.0
//
// host/config/schema_check.hpp: checks a value of a free-form table against a plugin's JSON Schema.
//
// It knows the part of JSON Schema 2020-12 that gantry/fields.hpp writes: type, const, enum,
// minimum, maximum, the lengths, properties, required, additionalProperties, items, and oneOf of
// objects that a constant member distinguishes. Other keywords are ignored.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <host/config/check.hpp>
#include <string>

namespace gantry::host {

/// A schema in words: "an integer from 1 to 10", "one of "a", "b"".
[[nodiscard]] std::string schema_text(const json& schema);

/// Adds every error of `value`, which is at `key` in the file of `config`.
void check_schema(const Config& config, const std::string& key, const json& value, const json& schema,
                  Diagnostics& diagnostics);

}  // namespace gantry::host
