// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/message.hpp: makes and reads messages of gantry/abi.h.
//
// Thread rule: values.
#pragma once

#include <gantry/abi.h>

#include <array>
#include <cstdint>
#include <gantry/descriptor.hpp>
#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <string>
#include <string_view>

namespace gantry::detail {

[[nodiscard]] inline gantry_bytes to_bytes(std::string_view text) { return gantry_bytes{text.data(), text.size()}; }
[[nodiscard]] inline std::string_view to_view(gantry_bytes bytes) {
  return bytes.size == 0 ? std::string_view() : std::string_view(bytes.data, bytes.size);
}
[[nodiscard]] inline gantry_msg make_msg(gantry_kind kind, std::uint64_t id) {
  gantry_msg msg{};
  msg.size = sizeof msg;
  msg.kind = static_cast<std::uint16_t>(kind);
  msg.id = id;
  msg.budget_ns = -1;
  return msg;
}

/// The payload of an answer that is an error: {"message", "data"?}.
[[nodiscard]] inline std::string error_payload(const Error& error) {
  json object{{"message", error.message}};
  if (!error.data.empty()) {
    if (auto data = parse_json(error.data); data && data->is_object()) object["data"] = std::move(*data);
  }
  return dump_json(object);
}

/// The inverse of error_payload(). `who` is the name of the plugin or service that answered.
[[nodiscard]] inline Error parse_error(std::int32_t status, std::string_view payload, const std::string& who) {
  const ErrorKind kind = is_error_kind(status) ? static_cast<ErrorKind>(status) : ErrorKind::internal;
  const auto doc = parse_json(payload);
  if (!doc || !doc->is_object()) return Error{kind, who + " answered with an error that is no object", {}};
  const auto text = doc->find("message");
  Error error{kind, text != doc->end() && text->is_string() ? text->get<std::string>() : who + " failed", {}};
  if (const auto data = doc->find("data"); data != doc->end() && data->is_object()) error.data = dump_json(*data);
  return error;
}

/// Returns enum gantry_sent. The host duplicates the descriptors; without `ext` it takes no
/// descriptors.
[[nodiscard]] inline std::int32_t send_msg(const gantry_host* host, const gantry_descriptors* ext,
                                           const gantry_msg& msg, const Descriptors& descriptors) {
  if (descriptors.empty()) return host->send(host->ctx, &msg);
  if (ext == nullptr || descriptors.size() > GANTRY_MAX_DESCRIPTORS) return GANTRY_INVALID;
  std::array<std::int32_t, GANTRY_MAX_DESCRIPTORS> fds{};
  for (std::size_t i = 0; i < descriptors.size(); ++i) fds[i] = descriptors[i].get();
  return ext->send(host->ctx, &msg, fds.data(), static_cast<std::uint32_t>(descriptors.size()));
}

/// The descriptors of the message that is being delivered.
[[nodiscard]] inline Descriptors take_descriptors(const gantry_host* host, const gantry_descriptors* ext) {
  Descriptors out;
  if (ext == nullptr) return out;
  std::array<std::int32_t, GANTRY_MAX_DESCRIPTORS> fds{};
  const std::uint32_t count = ext->take(host->ctx, fds.data(), GANTRY_MAX_DESCRIPTORS);
  for (std::uint32_t i = 0; i < count; ++i) out.emplace_back(fds[i]);
  return out;
}

}  // namespace gantry::detail
