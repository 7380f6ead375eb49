// SPDX-License-Identifier: Apache-2.0
//
// last_failure.hpp: the facts about a server's last failure: for callers, for lsp.servers, and for
// the log.
//
// Thread rule: one thread at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <gantry/json.hpp>
#include <gantry/plugin/host.hpp>
#include <gantry/result.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

struct LastFailure {
  static constexpr std::size_t kMostLines = 20;

  std::string message;
  std::string stderr_tail;  ///< of the last process that ended

  [[nodiscard]] Error error() const {
    json data = json::object();
    if (!stderr_tail.empty()) data["stderr_tail"] = stderr_tail;
    return Error{ErrorKind::unavailable, message, dump_json(data)};
  }
  /// Logs the failure, because people look there first when a server does not work.
  void log(const Host& host, const std::string& server) const {
    host.log(Level::warn, message);
    std::vector<std::string_view> lines;
    for (std::string_view rest = stderr_tail; !rest.empty();) {
      const auto end = std::min(rest.find('\n'), rest.size());
      if (end != 0) lines.push_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (lines.size() > kMostLines) lines.erase(lines.begin(), lines.end() - kMostLines);
    for (const auto each : lines) host.log(Level::warn, server + " on stderr: " + std::string(each));
  }
};

}  // namespace gantry::lsp
