// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/host_calls.hpp: the open calls to the host, and what is to be done with their
// answers, items and progress.
//
// Thread rule: one thread.
// Never: a handler is called after its call was answered or cancelled.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/result.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "host/protocols/mcp/links.hpp"

namespace gantry::host::mcp {

struct HostCall {
  /// The text of the result, valid until the handler returns.
  std::function<void(Result<std::string_view>)> answered;
  std::function<void(std::string_view message, std::optional<double> percentage)> progress{};
  std::function<void(std::string_view item)> item{};
};

class HostCalls {
 public:
  explicit HostCalls(HostLink& link) : link_(link) {}

  std::uint64_t call(std::string_view method, std::string_view params, HostCall call) {
    const std::uint64_t key = ++last_;
    open_.emplace(key, std::move(call));
    link_.call(key, method, params);
    return key;
  }
  void cancel(std::uint64_t key) {
    if (open_.erase(key) != 0) link_.cancel(key);
  }

  /// The host is gone: all open calls fail. Those that their handlers make are the next host's.
  void lost(const Error& error) {
    auto open = std::exchange(open_, {});
    for (auto& [key, call] : open) call.answered(std::unexpected(error));
  }

  void answered(std::uint64_t key, const Result<std::string_view>& answer) {
    if (auto node = open_.extract(key)) node.mapped().answered(answer);
  }
  void progress(std::uint64_t key, std::string_view message, std::optional<double> percentage) {
    const auto it = open_.find(key);
    if (it != open_.end() && it->second.progress) it->second.progress(message, percentage);
  }
  void item(std::uint64_t key, std::string_view item) {
    const auto it = open_.find(key);
    if (it == open_.end()) return;
    if (it->second.item) it->second.item(item);
    link_.credit(key, 1);
  }

 private:
  HostLink& link_;
  std::uint64_t last_ = 0;
  std::unordered_map<std::uint64_t, HostCall> open_;
};

}  // namespace gantry::host::mcp
