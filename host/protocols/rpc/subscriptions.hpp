// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/subscriptions.hpp: the subscriptions of one JSON-RPC client: those that
// events.subscribe begins, and those that the answer of a plugin's method begins (`follow`, as of
// state.subscribe). What a subscriber of a plugin's log has missed is read from the plugin
// (LogFollower).
//
// Thread rule: the connection's worker; follow_soon() by any thread.
// Bounds: kMaxSubscriptions, for which EventBus::kMaxWaitingBytes may wait together, and for each a
// page of a log.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/params.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/bus/event_bus.hpp"
#include "host/protocols/rpc/log_follower.hpp"
#include "host/protocols/rpc/session_deps.hpp"

namespace gantry::host {

class RpcSubscriptions : public std::enable_shared_from_this<RpcSubscriptions> {
 public:
  static constexpr std::size_t kMax = 64;
  /// Between two messages that tell a subscriber of a log how far the log is.
  static constexpr Duration kHeartbeat = std::chrono::seconds(10);

  RpcSubscriptions(SessionDeps& deps, std::weak_ptr<SessionWire> wire, OriginId origin)
      : deps_(deps), wire_(std::move(wire)), origin_(origin) {}

  /// Answers a call, once.
  using Reply = std::function<void(Result<std::string>)>;

  /// Answers a call of events.subscribe; perhaps when plugins have said what they know of a log.
  void subscribe(const json& params, Reply reply);
  [[nodiscard]] Result<json> unsubscribe(const json& params);
  /// A plugin has answered with `answer`, which may begin a subscription that its method `reader`
  /// reads for: the next deliver() replies.
  void follow_soon(std::string reader, std::string answer, Reply reply);
  /// Sends what there is while there is room.
  void deliver(SessionWire& wire);
  [[nodiscard]] bool empty() const { return subscriptions_.empty(); }
  void close();

 private:
  struct ClientSubscription {
    std::shared_ptr<Subscription> subscription;
    std::vector<std::shared_ptr<LogFollower>> logs{};
    bool heartbeat = false;
    Reply opening{};  ///< is called with `answer` when it is known which logs are followed
    json answer{};
  };
  struct Followed {
    std::string reader;
    std::string answer;
    Reply reply;
  };

  [[nodiscard]] static Result<SubscribeOptions> read_options(Params& p);
  /// Returns the id of the subscription, and what the bus says.
  [[nodiscard]] Result<std::pair<std::string, Subscribed>> add(std::vector<std::string> topics,
                                                               SubscribeOptions options);
  [[nodiscard]] std::shared_ptr<LogFollower> follower(LogFollower::Spec spec);
  void follow(const Followed& begun);
  /// True: the answer was given.
  [[nodiscard]] static bool try_open(ClientSubscription& subscribed);
  /// Sends what there is for a subscription while there is room. Its end; empty: it goes on.
  [[nodiscard]] std::optional<Error> deliver(const std::string& id, ClientSubscription& subscribed, SessionWire& wire);
  void write_event(SessionWire& wire, const std::string& id, const Event& event, std::uint64_t prev);
  void write_heartbeats(SessionWire& wire);
  void schedule_heartbeat();

  SessionDeps& deps_;
  const std::weak_ptr<SessionWire> wire_;
  const OriginId origin_;
  const std::shared_ptr<bus::Share> share_ = EventBus::share();  ///< of the events that wait for them
  std::uint64_t next_ = 1;
  std::map<std::string, ClientSubscription> subscriptions_;
  bool heartbeat_scheduled_ = false;
  std::atomic<bool> heartbeat_due_{false};

  Mutex mutex_{"subscriptions"};
  bool closed_ GANTRY_GUARDED_BY(mutex_) = false;
  std::vector<Followed> followed_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
