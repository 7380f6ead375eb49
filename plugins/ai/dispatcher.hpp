// SPDX-License-Identifier: Apache-2.0
//
// dispatcher.hpp: the open requests, and the limit on how many of them run at each provider.
//
// Thread rule: the plugin's serial thread.
// Bounds: at each provider, the embedded one included, `max_concurrent` requests run, kMaxWaiting
//   wait for a permit in the order of their arrival, further ones are `overloaded`. So a provider
//   that hangs uses up only its own places. Requests that pause between attempts do not count; each
//   has a timer, of which the host gives a plugin 10,000.
#pragma once

#include <cstddef>
#include <cstdint>
#include <gantry/permits.hpp>
#include <gantry/plugin.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plugins/ai/config.hpp"
#include "plugins/ai/job.hpp"
#include "plugins/ai/model_manager.hpp"

namespace gantry::ai {

class Request;

class Dispatcher {
 public:
  static constexpr std::size_t kMaxWaiting = 256;

  Dispatcher(Host host, ModelManager& manager) : host_(std::move(host)), manager_(manager) {}
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;
  ~Dispatcher() { cancel_all("the ai plugin was ended"); }

  /// The limit holds from now on; a time-out holds for later requests.
  void configure(std::shared_ptr<const AiConfig> config);
  /// Answers the call, now or later, in every case.
  void submit(Call call, std::shared_ptr<const Job> job, std::vector<Target> targets);
  /// Cancels the requests of that client.
  void gone(std::uint64_t origin);
  /// Answers all open requests with `cancelled`.
  void cancel_all(const char* why);

  [[nodiscard]] const Host& host() const { return host_; }
  /// Without timers nothing is retried, and only the router bounds the time.
  [[nodiscard]] bool has_timers() const {
    return host_.raw()->extension(host_.raw()->ctx, GANTRY_TIMERS_EXT) != nullptr;
  }
  [[nodiscard]] ModelManager& manager() { return manager_; }
  [[nodiscard]] std::shared_ptr<PermitQueue> permits(const std::string& provider);
  void remove(std::uint64_t id) { open_.erase(id); }

 private:
  template <class F>
  void cancel_if(F&& chosen, const char* why);

  Host host_;
  ModelManager& manager_;
  std::shared_ptr<const AiConfig> config_ = std::make_shared<AiConfig>();
  std::map<std::string, std::shared_ptr<PermitQueue>> permits_;  ///< by provider name
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Request>> open_;
};

}  // namespace gantry::ai
