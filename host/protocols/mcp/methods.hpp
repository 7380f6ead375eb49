// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/methods.hpp: the requests about tools, resources, prompts and completion, which
// all revisions have alike, and the catalog that they read.
//
// The catalog is read at the first request, and again when a plugin starts or ends, when the
// configuration was read anew, when another host is there, and when a client names something that the
// catalog does not have.
//
// Thread rule: one thread.
// Bounds: those of Requests, Subscriptions and Invocations.
#pragma once

#include <functional>
#include <gantry/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/protocols/mcp/catalog.hpp"
#include "host/protocols/mcp/host_calls.hpp"
#include "host/protocols/mcp/invocations.hpp"
#include "host/protocols/mcp/questions.hpp"
#include "host/protocols/mcp/requests.hpp"
#include "host/protocols/mcp/subscriptions.hpp"
#include "host/protocols/rpc/envelope.hpp"

namespace gantry::host::mcp {

class Methods {
 public:
  static constexpr int kListTtlMs = 30'000;
  static constexpr std::size_t kMaxCompletions = 100;  ///< MCP's own limit

  Methods(HostCalls& host, Requests& requests, Questions& questions, ClientLink& client, EnvelopeParser& parser,
          Seal seal);

  /// Answers the request, now or later. False: there is no such method.
  [[nodiscard]] bool serve(const RequestPtr& request);
  /// An event that `events.subscribe` was called for.
  void event(std::string_view topic, const json& payload);
  /// Reads the catalog, and reads it again whenever it may have changed.
  void begin();
  void host_lost() { subscriptions_.host_lost(); }
  void host_is_new() {
    if (std::exchange(begun_, false)) begin();
  }
  [[nodiscard]] bool awaits_changes() const { return subscriptions_.awaits_changes(); }
  [[nodiscard]] Subscriptions& subscriptions() { return subscriptions_; }
  /// The number of open subscriptions/listen.
  [[nodiscard]] std::size_t listening() const { return subscriptions_.listening(); }

 private:
  /// Answers the request and returns true; or, unless `last`, returns false to be called again with
  /// a catalog that was read in between.
  using Use = std::function<bool(bool last)>;
  struct Waiting {
    RequestPtr request;
    Use use;
  };

  void with_catalog(const RequestPtr& request, Use use);
  void read_catalog();
  void take_catalog(const Result<std::string_view>& document);
  void tell_changes(const Catalog& before);

  void list(const RequestPtr& request, Catalog::List list);
  void call_tool(const RequestPtr& request);
  void get_prompt(const RequestPtr& request);
  void read_resource(const RequestPtr& request);
  void complete(const RequestPtr& request);
  void complete_by(const RequestPtr& request, const std::string& method, const json& argument, const json& context);
  void subscribe(const RequestPtr& request);
  void unsubscribe(const RequestPtr& request);
  void listen(const RequestPtr& request);

  [[nodiscard]] json member(const Request& request, const char* name);
  /// The text of the member `arguments`, `{}` where it is absent or null; an error: it is no object,
  /// or has a member `_meta`.
  [[nodiscard]] Result<std::string> arguments(const Request& request);
  [[nodiscard]] json input(const Request& request);
  [[nodiscard]] bool unknown(const RequestPtr& request, bool last, Failure failure);

  HostCalls& host_;
  Requests& requests_;
  EnvelopeParser& parser_;
  const Seal seal_;
  Invocations invocations_;
  Subscriptions subscriptions_;
  Catalog catalog_;
  bool begun_ = false;
  bool loaded_ = false;   ///< catalog_ was read
  bool reading_ = false;  ///< the host was asked for it
  bool again_ = false;    ///< it may have changed since
  std::vector<Waiting> waiting_;
};

}  // namespace gantry::host::mcp
