// SPDX-License-Identifier: Apache-2.0
//
// An McpServer between a host whose answers the test gives, and a client whose messages the test keeps.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include "host/protocols/mcp/server.hpp"

namespace gantry::host::mcp::test {

/// What rpc.discover has of one method.
inline json offered(const std::string& name, const char* offer, json what, json more = json::object()) {
  json out{{"name", name},
           {"summary", "Summary of " + name},
           {"params", json::array()},
           {"result", {{"name", "result"}, {"schema", {{"type", "object"}}}}},
           {offer, std::move(what)}};
  out.update(more);
  return out;
}
inline json tool(const std::string& name, json more = json::object()) {
  json what{{"name", name}, {"annotations", {{"readOnlyHint", true}}}, {"inputSchema", {{"type", "object"}}}};
  what.update(more);
  return offered("svc." + name, "x-gantry-tool", std::move(what));
}

class Talk final : public HostLink, public ClientLink {
 public:
  struct Made {
    std::uint64_t key;
    std::string method;
    json params;
  };

  explicit Talk(json methods = json::array({tool("find")}), Limits limits = {})
      : offers(std::move(methods)), server(*this, *this, limits, Seal("key", [this] { return now; })) {}

  /// The client sends a message; the host answers what is about the catalog and about events.
  void say(const json& message) { say_text(message.dump()); }
  void say_text(std::string text) {
    text.reserve(text.size() + 64);
    server.receive(text);
    settle();
  }
  void settle() {
    while (true) {
      const auto it = std::ranges::find_if(made, [this](const Made& m) {
        return (m.method == "rpc.discover" && !holds_catalog) || (m.method == "events.subscribe" && !holds_events);
      });
      if (it == made.end()) return;
      const Made call = *it;
      made.erase(it);
      if (call.method == "events.subscribe") topics.push_back(call.params["topics"]);
      answer(call.key, call.method == "rpc.discover" ? json{{"methods", offers}} : json::object());
    }
  }
  void initialize(const std::string& version = "2025-11-25", json capabilities = json::object()) {
    say({{"jsonrpc", "2.0"},
         {"id", "init"},
         {"method", "initialize"},
         {"params",
          {{"protocolVersion", version},
           {"capabilities", capabilities},
           {"clientInfo", {{"name", "t"}, {"version", "1"}}}}}});
    opened = take("init")["result"];
    say({{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}});
  }
  void request(json id, const std::string& method, json params = json::object()) {
    say({{"jsonrpc", "2.0"}, {"id", std::move(id)}, {"method", method}, {"params", std::move(params)}});
  }
  void say_cancelled(const json& id) {
    say({{"jsonrpc", "2.0"}, {"method", "notifications/cancelled"}, {"params", {{"requestId", id}}}});
  }
  /// The response to a request that was answered at once.
  json ask(const std::string& method, json params = json::object()) {
    const int id = ++last_id;
    request(id, method, std::move(params));
    return take(id);
  }

  /// Takes the response with this id out of what was sent; null: there is none.
  json take(const json& id) {
    return take_if([&](const json& m) { return !m.contains("method") && m.value("id", json()) == id; });
  }
  /// Takes the first notification or request with this method.
  json take_method(const std::string& method) {
    return take_if([&](const json& m) { return m.value("method", "") == method; });
  }

  /// The one open call of this method.
  Made& call_of(const std::string& method) {
    const auto it = std::ranges::find(made, method, &Made::method);
    REQUIRE(it != made.end());
    return *it;
  }
  void answer(std::uint64_t key, const json& result) {
    const std::string text = result.dump();
    server.answered(key, std::string_view(text));
    settle();
  }
  /// The host answers the open call of this method, and the call is no longer open.
  void answer(const std::string& method, const json& result) { answer(take_call(method), result); }
  void fail_call(const std::string& method, ErrorKind kind, const std::string& message, const std::string& data = "") {
    server.answered(take_call(method), gantry::fail(kind, message, data));
    settle();
  }
  std::uint64_t take_call(const std::string& method) {
    const std::uint64_t key = call_of(method).key;
    std::erase_if(made, [&](const Made& m) { return m.key == key; });
    return key;
  }

  json offers;  ///< what rpc.discover has
  json opened;
  std::deque<json> sent;
  std::vector<Made> made;
  std::vector<json> topics;
  std::vector<std::uint64_t> cancelled;
  std::vector<std::string> belongs;  ///< the request of each message that was sent
  bool holds_catalog = false;        ///< rpc.discover is not answered
  bool holds_events = false;
  int last_id = 1000;
  std::chrono::system_clock::time_point now{std::chrono::hours(1)};
  McpServer server;

 private:
  template <class F>
  json take_if(F&& wanted) {
    const auto it = std::ranges::find_if(sent, std::forward<F>(wanted));
    if (it == sent.end()) return {};
    json out = *it;
    sent.erase(it);
    return out;
  }
  void call(std::uint64_t key, std::string_view method, std::string_view params) override {
    made.push_back({key, std::string(method), json::parse(params)});
  }
  void cancel(std::uint64_t key) override {
    cancelled.push_back(key);
    std::erase_if(made, [&](const Made& m) { return m.key == key; });
  }
  void credit(std::uint64_t /*key*/, std::uint32_t /*items*/) override {}
  void send(std::string_view message, std::string_view request) override {
    REQUIRE(message.find('\n') == std::string_view::npos);
    sent.push_back(json::parse(message));
    belongs.emplace_back(request);
  }
};

/// The `_meta` of 2026-07-28.
inline json modern(json capabilities = json::object(), json more = json::object()) {
  json out{{"io.modelcontextprotocol/protocolVersion", "2026-07-28"},
           {"io.modelcontextprotocol/clientCapabilities", std::move(capabilities)}};
  out.update(more);
  return out;
}
/// The params of a modern request.
inline json with_modern(json params = json::object(), json capabilities = json::object(), json more = json::object()) {
  params["_meta"] = modern(std::move(capabilities), std::move(more));
  return params;
}

}  // namespace gantry::host::mcp::test
