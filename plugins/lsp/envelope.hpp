// SPDX-License-Identifier: Apache-2.0
//
// envelope.hpp: finds the kind of a JSON-RPC message, and the place of its id, without parsing the
// rest.
//
// The scanner finds the top-level members of one JSON object and steps over their values; it builds
// nothing. It never reads outside the text, even if that is malformed: either `ok` is false, or the
// spans are within the text. The host has checked each payload where it entered, so skipped values
// are well-formed.
//
// Thread rule: values; the views point into the scanned text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gantry::lsp {

struct Envelope {
  bool ok = false;
  std::string_view id;      ///< the raw text of the id, quotes included; empty: absent
  std::string_view params;  ///< raw values; empty: absent
  std::string_view result;
  std::string_view error;  ///< null, which some libraries write beside each result, counts as absent

  [[nodiscard]] std::string_view method() const { return decoded_method.empty() ? raw_method : decoded_method; }
  [[nodiscard]] bool is_request() const { return ok && !id.empty() && !method().empty(); }
  [[nodiscard]] bool is_notification() const { return ok && id.empty() && !method().empty(); }
  [[nodiscard]] bool is_response() const { return ok && !id.empty() && method().empty(); }

  std::string_view raw_method;
  std::string decoded_method;  // set only when the method was written with escapes
};

enum class Scan {
  route,  ///< stops as soon as kind and id are known: `params`, `result` and `error` may be missing or a lone mark
  full
};

[[nodiscard]] Envelope scan(std::string_view text, Scan how);

/// True: this JSON is nested deeper. Documents are copied, compared and written by recursion.
[[nodiscard]] bool is_deeper_than(std::string_view text, std::size_t levels);

/// The raw value of a member of one JSON object; empty: absent, or the text before it is malformed.
[[nodiscard]] std::string_view member(std::string_view object, std::string_view name);

/// True: this raw value is an array without elements.
[[nodiscard]] bool is_empty_array(std::string_view value);

/// `object`, the text of one JSON object, with the member of this name, if there is one, set to
/// null.
[[nodiscard]] std::string with_null(std::string_view object, std::string_view name);

/// Appends `text` with the id token `id` (a view into it) replaced by `new_id`.
void append_with_id(std::string& out, std::string_view text, std::string_view id, std::string_view new_id);

/// The value of a raw number token, if that is a whole number of 64 bits, however it is spelt: 3,
/// 3.0, 30e-1.
[[nodiscard]] std::optional<long long> whole_number(std::string_view raw);

/// The plugin's own integer in a raw id, or -1. Some libraries write 1.0 or 1e0 for 1.
[[nodiscard]] long long own_id(std::string_view raw);

/// True: two raw ids are equal: numbers of the same value, of any size and with any fraction, or
/// strings of the same characters.
[[nodiscard]] bool same_id(std::string_view a, std::string_view b);

}  // namespace gantry::lsp
