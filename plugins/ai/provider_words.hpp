// SPDX-License-Identifier: Apache-2.0
//
// provider_words.hpp: what a server says went wrong, out of the many forms in which servers say it.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <string_view>

namespace gantry::ai {

/// A provider's words as they may be shown: one line, valid UTF-8, at most 500 bytes, without
/// `secret`.
[[nodiscard]] std::string sanitised(std::string_view words, std::string_view secret);

/// The message of an error document: {"error": ...}, {"message": ...}, {"detail": ...}, each a text
/// or an object with one, also as the only element of an array. Empty: `doc` is none.
[[nodiscard]] std::string error_message(const json& doc);

/// Whether a document that came under status 200 says that it is an error: by a member `error`, or
/// by its kind.
[[nodiscard]] bool is_error(const json& doc);

/// The words of any body: of JSON, also behind `data:` or `error:`, its message; of a web page that
/// it is one, and its title; else the text itself.
[[nodiscard]] std::string provider_words(std::string_view body);

/// Neither null, false, 0, nor an empty text, array or object.
[[nodiscard]] bool truthy(const json& value);

/// Null when it is absent, or `object` is none.
[[nodiscard]] const json& member(const json& object, const char* name);

/// Without the white space around it.
[[nodiscard]] std::string_view trimmed(std::string_view text);

}  // namespace gantry::ai
