// SPDX-License-Identifier: Apache-2.0
//
// provider_words.hpp: finds the error message of a server, in the many forms that servers use.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/json.hpp>
#include <string>
#include <string_view>

namespace gantry::ai {

/// A provider's text in a form that may be shown: one line, valid UTF-8, at most 500 bytes, without
/// `secret`.
[[nodiscard]] std::string sanitised(std::string_view words, std::string_view secret);

/// The message of an error document: {"error": ...}, {"message": ...}, {"detail": ...}, each a text
/// or an object with one, also as the only element of an array. Empty: `doc` is no error document.
[[nodiscard]] std::string error_message(const json& doc);

/// True: a document with status 200 is an error, by a member `error` or by its kind.
[[nodiscard]] bool is_error(const json& doc);

/// The error text of any body: for JSON, also behind `data:` or `error:`, its message; for a web
/// page its title and that it is a page; else the body itself.
[[nodiscard]] std::string provider_words(std::string_view body);

/// True: neither null, false, 0, nor an empty text, array or object.
[[nodiscard]] bool truthy(const json& value);

/// The member, or null when it is absent or `object` is no object.
[[nodiscard]] const json& member(const json& object, const char* name);

/// `text` without the white space around it.
[[nodiscard]] std::string_view trimmed(std::string_view text);

}  // namespace gantry::ai
