// SPDX-License-Identifier: Apache-2.0
//
// context.hpp: the objects that every session needs, in one place.
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

#include "plugins/lsp/capabilities/used_features.hpp"
#include "plugins/lsp/reactor.hpp"
#include "plugins/lsp/worker.hpp"

namespace gantry::lsp {

struct Context {
  /// The number of calls and editors of all clients that may wait for a permit.
  static constexpr std::size_t kMaxWaiting = 256;

  Context(Host host_in, std::unique_ptr<Reactor> reactor_in, std::size_t max_message_bytes_in)
      : host(std::move(host_in)),
        reactor(std::move(reactor_in)),
        max_message_bytes(max_message_bytes_in),
        permits(PermitQueue::make(8, kMaxWaiting)),
        editor_permits(PermitQueue::make(1, kMaxWaiting)) {}

  void stop() {
    worker.stop();
    reactor->stop();
  }
  /// The time limit for callers that are no editor.
  [[nodiscard]] Duration timeout() const { return Duration(timeout_ns.load(std::memory_order_relaxed)); }
  /// When a new request of an editor has to be answered; max(): no limit.
  [[nodiscard]] TimePoint editor_deadline() const {
    const Duration time(editor_timeout_ns.load(std::memory_order_relaxed));
    return time == Duration::zero() ? TimePoint::max() : host.now() + time;
  }
  /// After this time a server that nobody asks ends; zero: never.
  [[nodiscard]] Duration idle_stop() const { return Duration(idle_stop_ns.load(std::memory_order_relaxed)); }
  /// A name for a helper process that none has had before.
  [[nodiscard]] std::string next_name(const std::string& server) {
    return server + " " + std::to_string(instance) + "-" + std::to_string(last_name.fetch_add(1) + 1);
  }
  /// An id for an editor that none has had before.
  [[nodiscard]] std::uint64_t next_client() { return last_client.fetch_add(1) + 1; }
  /// Events are not guaranteed: a full bus loses them.
  void publish(const std::string& topic, const json& payload) const { (void)host.publish(topic, payload); }

  const Host host;
  const std::unique_ptr<Reactor> reactor;
  const std::size_t max_message_bytes;  ///< the host's limit; 0: unknown
  Worker worker;
  const std::shared_ptr<PermitQueue> permits;         ///< for callers that are no editor
  const std::shared_ptr<PermitQueue> editor_permits;  ///< for editors, if they need permits
  UsedFeatures used_features;
  const unsigned instance = std::random_device()();
  std::atomic<unsigned> last_name{0};
  std::atomic<std::uint64_t> last_client{0};
  std::atomic<bool> editors_need_permits{false};
  std::atomic<std::int64_t> editor_timeout_ns{0};
  std::atomic<std::int64_t> idle_stop_ns{0};
  std::atomic<std::int64_t> timeout_ns{std::chrono::nanoseconds(std::chrono::seconds(10)).count()};
};

}  // namespace gantry::lsp
