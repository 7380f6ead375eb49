// SPDX-License-Identifier: Apache-2.0
//
// context.hpp: what every session needs, in one place.
//
// Thread rule: any thread. stop() returns when neither thread of the plugin runs any more.
#pragma once

#include <atomic>
#include <gantry/permits.hpp>
#include <gantry/plugin/host.hpp>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "reactor.hpp"
#include "worker.hpp"

namespace gantry::lsp {

struct Context {
  /// Calls and editors that wait for a permit, over all clients.
  static constexpr std::size_t kMaxWaiting = 256;

  Context(Host host_in, std::unique_ptr<Reactor> reactor_in)
      : host(std::move(host_in)), reactor(std::move(reactor_in)), permits(PermitQueue::make(8, kMaxWaiting)) {}

  void stop() {
    worker.stop();
    reactor->stop();
  }
  [[nodiscard]] Duration timeout() const { return Duration(timeout_ns.load(std::memory_order_relaxed)); }
  /// For a helper process: none has ever had it.
  [[nodiscard]] std::string next_name(const std::string& server) {
    return server + " " + std::to_string(instance) + "-" + std::to_string(last_name.fetch_add(1) + 1);
  }
  /// Events are told, not guaranteed: a full bus loses them.
  void publish(const std::string& topic, const json& payload) const { (void)host.publish(topic, payload); }

  const Host host;
  const std::unique_ptr<Reactor> reactor;
  Worker worker;
  const std::shared_ptr<PermitQueue> permits;
  const unsigned instance = std::random_device()();
  std::atomic<unsigned> last_name{0};
  std::atomic<std::int64_t> timeout_ns{std::chrono::nanoseconds(std::chrono::seconds(10)).count()};
};

}  // namespace gantry::lsp
