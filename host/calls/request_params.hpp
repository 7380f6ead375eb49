// SPDX-License-Identifier: Apache-2.0
//
// host/calls/request_params.hpp: the params of a call to one of the host's own methods.
//
// Thread rule: pure functions.
#pragma once

#include <gantry/params.hpp>
#include <string>
#include <utility>

#include "host/calls/call.hpp"

namespace gantry::host {

[[nodiscard]] inline Result<Params> params_of(const CallRequest& request) {
  auto params = parse_json(request.params);
  if (!params) return std::unexpected(params.error());
  return Params(std::move(*params));
}

/// The params of a method that takes one string, `name`, and nothing else.
[[nodiscard]] inline Result<std::string> only_param(const CallRequest& request, const char* name) {
  auto params = params_of(request);
  if (!params) return std::unexpected(params.error());
  std::string value = params->string(name);
  if (auto ok = params->done(); !ok) return std::unexpected(ok.error());
  return value;
}

}  // namespace gantry::host
