// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/subscriptions.hpp: what a client wants to be told of: lists that change, and
// resources that change. Legacy: resources/subscribe, and lists without being asked. 2026-07-28:
// subscriptions/listen, a request that stays open.
//
// Thread rule: one thread.
// Bounds: kMaxUris URIs of a client's resources/subscribe, and of one subscriptions/listen;
//   kMaxListens open subscriptions/listen.
// Never: an event is told before its subscription was acknowledged.
#pragma once

#include <functional>
#include <gantry/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "host/protocols/mcp/catalog.hpp"
#include "host/protocols/mcp/host_calls.hpp"
#include "host/protocols/mcp/requests.hpp"

namespace gantry::host::mcp {

class Subscriptions {
 public:
  static constexpr std::size_t kMaxUris = 256;
  static constexpr std::size_t kMaxListens = 64;

  Subscriptions(HostCalls& host, Requests& requests, ClientLink& client)
      : host_(host), requests_(requests), client_(client) {}

  /// The legacy client is initialized: it may be told of lists that change.
  void tell_lists() { tells_lists_ = true; }
  /// resources/subscribe and resources/unsubscribe; answer the request.
  void subscribe(const RequestPtr& request, const std::string& uri, const Catalog& catalog);
  void unsubscribe(const RequestPtr& request, const std::string& uri);
  /// subscriptions/listen: acknowledges, and leaves the request open.
  void listen(const RequestPtr& request, const json& filter, const Catalog& catalog);

  void list_changed(Catalog::List list);
  /// An event of the host. It counts if the resource that it names says that its changes are on that
  /// topic.
  void event(std::string_view topic, const json& payload, const Catalog& catalog);
  /// Follows the topics that the catalog has and that are not followed yet.
  void follow(const Catalog& catalog);
  /// The host is gone. When follow() has reached another, the client is told of all resources that were subscribed to:
  /// changes may have been missed.
  void host_lost();
  [[nodiscard]] bool awaits_changes() const { return tells_lists_ || !uris_.empty() || !listens_.empty(); }
  /// Ends the open subscriptions/listen by their result.
  void end();
  [[nodiscard]] std::size_t listening() const { return listens_.size(); }

 private:
  struct Listen {
    RequestPtr request;
    bool tools = false;
    bool prompts = false;
    bool resources = false;
    std::set<std::string> uris{};
    bool acknowledged = false;
  };
  using ListenPtr = std::shared_ptr<Listen>;
  struct Waiting {
    RequestPtr request;  ///< for whom; null: for the catalog
    std::vector<std::string> topics;
    std::function<void(Result<void>)> then;
  };
  /// Calls `then` when the host has subscribed to `topics`, with the host's error if it could not.
  void follow(Waiting wanted);
  void forget(const Request* request);
  void notify(const Listen& listen, std::string_view method, json params);
  void updated(const std::string& uri);
  [[nodiscard]] std::set<std::string> all_uris() const;
  void acknowledge(const ListenPtr& listen);

  HostCalls& host_;
  Requests& requests_;
  ClientLink& client_;
  bool tells_lists_ = false;
  std::set<std::string> uris_;  ///< of resources/subscribe
  std::vector<ListenPtr> listens_;
  std::set<std::string> followed_;
  bool missed_ = false;           ///< changes, perhaps
  bool asking_ = false;           ///< the host has not answered an events.subscribe
  std::vector<Waiting> waiting_;  ///< for that answer; one of each open request at most
};

}  // namespace gantry::host::mcp
