// SPDX-License-Identifier: Apache-2.0
//
// gantry/result.hpp: errors at run time are values.
//
// Result<T> is std::expected<T, Error>. An Error has a kind (docs/protocol.md lists them), a
// message that says what happened, to what, and what to do, and optional data (a JSON object as
// text).
//
// Thread rule: values; no shared state.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace gantry {

/// The kinds of errors, frozen as docs/protocol.md lists them; the value is the JSON-RPC code.
enum class ErrorKind : std::int32_t {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  internal = -32603,
  cancelled = -32800,
  timeout = -32001,
  overloaded = -32002,
  plugin_died = -32003,
  unavailable = -32004,
  permission_denied = -32005,
  conflict = -32006,
  not_found = -32007,
  too_large = -32008,
  storage_failed = -32009,
  upstream_failed = -32010,
};

struct ErrorKindName {
  ErrorKind kind;
  std::string_view name;
};

inline constexpr std::array<ErrorKindName, 16> kErrorKinds{{
    {ErrorKind::parse_error, "parse_error"},
    {ErrorKind::invalid_request, "invalid_request"},
    {ErrorKind::method_not_found, "method_not_found"},
    {ErrorKind::invalid_params, "invalid_params"},
    {ErrorKind::internal, "internal"},
    {ErrorKind::cancelled, "cancelled"},
    {ErrorKind::timeout, "timeout"},
    {ErrorKind::overloaded, "overloaded"},
    {ErrorKind::plugin_died, "plugin_died"},
    {ErrorKind::unavailable, "unavailable"},
    {ErrorKind::permission_denied, "permission_denied"},
    {ErrorKind::conflict, "conflict"},
    {ErrorKind::not_found, "not_found"},
    {ErrorKind::too_large, "too_large"},
    {ErrorKind::storage_failed, "storage_failed"},
    {ErrorKind::upstream_failed, "upstream_failed"},
}};

/// `data.kind` for a code; "internal" for a code that is no ErrorKind.
[[nodiscard]] constexpr std::string_view kind_name(ErrorKind kind) noexcept {
  for (const auto& entry : kErrorKinds) {
    if (entry.kind == kind) return entry.name;
  }
  return "internal";
}

/// True: the code is that of an ErrorKind.
[[nodiscard]] constexpr bool is_error_kind(std::int32_t code) noexcept {
  for (const auto& entry : kErrorKinds) {
    if (static_cast<std::int32_t>(entry.kind) == code) return true;
  }
  return false;
}

struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string message;
  /// Further members of the wire's `data`, as the text of one JSON object, or empty. Its `kind` is
  /// set by the host.
  std::string data;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = std::expected<T, Error>;

/// Example: `return fail(ErrorKind::not_found, "session 7 does not exist; list them with
/// state.session.list");`
[[nodiscard]] inline std::unexpected<Error> fail(ErrorKind kind, std::string message, std::string data = {}) {
  return std::unexpected<Error>(Error{kind, std::move(message), std::move(data)});
}

}  // namespace gantry
