// SPDX-License-Identifier: Apache-2.0
//
// Calls, streams and events as a client of the Unix server sees them.
#include <sys/stat.h>

#include <map>

#include "host/protocols/rpc/listener.hpp"
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

TEST_CASE("rpc: credit from the client lets more items come") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request("s", "faulty.flood", {{"items", 3}, {"_meta", {{"stream", {{"credit", 1}}}}}})));
  REQUIRE(c.receive()["params"]["item"]["i"] == 0);
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/credit"}, {"params", {{"id", "s"}, {"n", 2}}}}));
  REQUIRE(c.receive()["params"]["item"]["i"] == 1);
  REQUIRE(c.receive()["params"]["item"]["i"] == 2);
  REQUIRE(c.answer()["result"]["sent"] == 3);
}

TEST_CASE("rpc: progress comes before the answer, under the call's id") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request("p", "faulty.progresses")));
  const auto progress = c.receive();
  REQUIRE(progress["method"] == "$/progress");
  REQUIRE(progress["params"] == json{{"id", "p"}, {"message", "half way"}, {"percentage", 50.0}});
  REQUIRE(c.receive()["id"] == "p");
}

TEST_CASE("rpc: rpc.discover names every method that can be called, with its params, and no other") {
  TestDaemon t([](Config& c) { c.plugins["busy"].enabled = false; });
  const auto document = t.call("rpc.discover");
  REQUIRE((*document)["openrpc"] == "1.3.2");
  std::map<std::string, json> methods;
  for (const auto& method : (*document)["methods"]) methods[method["name"]] = method;
  for (const char* name :
       {"host.hello", "host.status", "events.subscribe", "config.reload", "echo.say", "plain.echo"}) {
    CAPTURE(name);
    REQUIRE(methods.contains(name));
  }
  REQUIRE(methods["faulty.flood"]["x-gantry-stream"] == true);
  REQUIRE(methods["faulty.echo_stream"]["x-gantry-attach"] == true);
  REQUIRE(methods["events.unsubscribe"]["params"][0]["name"] == "subscription");
  REQUIRE(methods["events.unsubscribe"]["params"][0]["required"] == true);
  REQUIRE(!methods.contains("busy.attempts"));
  Raw c(t.socket());
  for (const auto& [name, method] : methods) {
    if (t.daemon().services().find(name) || name == "host.shutdown") continue;
    REQUIRE(c.line(request(name, name)));
    const auto answer = c.answer();
    INFO(answer.dump());
    REQUIRE((answer.contains("result") || kind_of(answer) != "method_not_found"));
  }
}

TEST_CASE("rpc: traceparent and idempotency_key of _meta reach the plugin") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.meta", {{"_meta", {{"traceparent", "00-ab-cd-01"}, {"idempotency_key", "k1"}}}})));
  REQUIRE(c.answer()["result"] == json{{"traceparent", "00-ab-cd-01"}, {"idempotency_key", "k1"}});
}

TEST_CASE("rpc: a connection has at most 64 subscriptions, and they end with it") {
  TestDaemon t;
  const auto subscriptions = [&] { return (*t.call("host.metrics"))["events"]["subscriptions"].get<int>(); };
  const int before = subscriptions();
  {
    Raw c(t.socket());
    for (int i = 0; i < 64; ++i) {
      REQUIRE(c.line(request(i, "events.subscribe", {{"topics", {"a.b"}}})));
      REQUIRE(c.answer().contains("result"));
    }
    REQUIRE(c.line(request(64, "events.subscribe", {{"topics", {"a.b"}}})));
    REQUIRE(kind_of(c.answer()) == "overloaded");
    REQUIRE(subscriptions() == before + 64);
    REQUIRE(c.line(request(65, "events.unsubscribe", {{"subscription", "7"}})));
    REQUIRE(c.answer().contains("result"));
    REQUIRE(subscriptions() == before + 63);
  }
  eventually("their end", [&] { return subscriptions() == before; });
}

TEST_CASE("rpc: streams work over the wire in both directions, with credits") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request("s", "faulty.echo_stream", {{"grant", 1}, {"_meta", {{"stream", {{"credit", 10}}}}}})));
  const auto credit = c.receive();
  REQUIRE(credit["method"] == "$/credit");
  REQUIRE(credit["params"] == json{{"id", "s"}, {"n", 1}});
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", "s"}, {"item", {{"x", 1}}}}}}));
  auto item = c.receive();
  if (item["method"] == "$/credit") item = c.receive();
  REQUIRE(item["method"] == "$/stream");
  REQUIRE(item["params"]["item"] == json{{"x", 1}});
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", "s"}, {"end", true}}}}));
  REQUIRE(c.answer()["result"]["seen"] == 1);
}

TEST_CASE("rpc: a client that sends beyond its credit loses that call and nothing else") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request("s", "faulty.echo_stream", {{"grant", 0}, {"_meta", {{"stream", {{"credit", 10}}}}}})));
  REQUIRE(c.line(request(1, "echo.say")));
  REQUIRE(c.answer()["id"] == 1);
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", "s"}, {"item", 1}}}}));
  REQUIRE(kind_of(c.answer()) == "cancelled");
  REQUIRE(c.line(request(2, "echo.say")));
  REQUIRE(c.answer()["id"] == 2);
}

TEST_CASE("rpc: events reach a subscriber in order with their log, and stop when it unsubscribes") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "events.subscribe", {{"topics", {"mine.*"}}})));
  const auto subscribed = c.answer()["result"];
  for (int i = 0; i < 3; ++i)
    REQUIRE(c.line(request(10 + i, "events.publish", {{"topic", "mine.x"}, {"payload", {{"i", i}}}})));
  std::vector<json> events;
  int answers = 0;
  while (events.size() < 3 || answers < 3) {
    const auto message = c.receive();
    if (message.contains("method")) {
      events.push_back(message["params"]);
    } else {
      REQUIRE(message.contains("result"));
      ++answers;
    }
  }
  for (std::size_t i = 0; i < 3; ++i) {
    CAPTURE(i);
    REQUIRE(events[i]["payload"]["i"] == i);
    REQUIRE(events[i]["epoch"] == subscribed["epoch"]);
    REQUIRE(events[i]["subscription"] == subscribed["subscription"]);
    if (i > 0) REQUIRE(events[i]["prev"] == events[i - 1]["seq"]);
  }
  REQUIRE(c.line(request(2, "events.unsubscribe", {{"subscription", subscribed["subscription"]}})));
  REQUIRE(c.answer()["result"] == json::object());
  REQUIRE(c.line(request(3, "events.publish", {{"topic", "mine.x"}, {"payload", 1}})));
  REQUIRE(c.answer()["id"] == 3);
  REQUIRE(c.line(request(4, "events.publish", {{"topic", "host.fake"}, {"payload", 1}})));
  REQUIRE(kind_of(c.answer()) == "permission_denied");
  REQUIRE(c.line(request(5, "events.publish", {{"topic", "faulty.flood"}, {"payload", 1}})));
  REQUIRE(kind_of(c.answer()) == "permission_denied");
}

TEST_CASE("rpc: host.hello names the client and its workspace to the plugins that it calls") {
  TestDaemon t;
  TempDir workspace;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "host.hello", {{"client", "editor"}, {"workspace", workspace.path().string()}})));
  const auto hello = c.answer()["result"];
  REQUIRE(hello["version"] == std::string(kVersion));
  REQUIRE(hello["epoch"].get<std::string>().size() == 32);
  REQUIRE(c.line(request(2, "faulty.who")));
  const auto who = c.answer()["result"];
  REQUIRE(who["client"] == "editor");
  REQUIRE(who["workspace"] == std::filesystem::canonical(workspace.path()).string());
  REQUIRE(c.line(request(3, "host.hello", {{"client", "editor"}, {"workspace", "/does/not/exist"}})));
  REQUIRE(kind_of(c.answer()) == "not_found");
}

TEST_CASE("rpc: timeout_ms of a call holds") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.never", {{"_meta", {{"timeout_ms", 1500}}}})));
  t.advance_to_next(1500ms);
  REQUIRE(kind_of(c.answer()) == "timeout");
}

TEST_CASE("rpc: more calls in flight than the limit are `overloaded`") {
  TestDaemon t([](Config& c) { c.host.max_calls_in_flight = 2; });
  Raw c(t.socket());
  for (int i = 0; i < 3; ++i) REQUIRE(c.line(request(i, "faulty.never")));
  const auto refused = c.answer();
  REQUIRE(refused["id"] == 2);
  REQUIRE(kind_of(refused) == "overloaded");
}

TEST_CASE("rpc: params in flight beyond the limit of bytes are `overloaded`, and there is room again after an answer") {
  TestDaemon t([](Config& c) { c.host.max_bytes_in_flight = 4096; });
  Raw c(t.socket());
  const std::string text(3000, 'x');
  REQUIRE(c.line(request(1, "faulty.never", {{"text", text}})));
  REQUIRE(c.line(request(2, "echo.say", {{"text", text}})));
  const auto refused = c.answer();
  REQUIRE(refused["id"] == 2);
  REQUIRE(kind_of(refused) == "overloaded");
  REQUIRE(refused["error"]["data"]["retry_after_ms"] == 100);
  Raw other(t.socket());
  REQUIRE(other.line(request(1, "echo.say", {{"text", text}})));
  REQUIRE(other.answer()["result"]["text"] == text);
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", 1}}}}));
  REQUIRE(kind_of(c.answer()) == "cancelled");
  REQUIRE(c.line(request(4, "faulty.never", {{"text", "short"}})));
  REQUIRE(c.line(request(2, "echo.say", {{"text", text}})));
  REQUIRE(c.answer()["result"]["text"] == text);
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", 4}}}}));
  REQUIRE(kind_of(c.answer()) == "cancelled");
  REQUIRE(c.line(request(3, "echo.say", {{"text", std::string(10000, 'y')}})));  // alone it may be as large as it likes
  REQUIRE(c.answer()["result"]["text"].get<std::string>().size() == 10000);
}

TEST_CASE("rpc: more connections than the limit are told so and closed") {
  TestDaemon t([](Config& c) { c.host.max_connections = 1; });
  Raw first(t.socket());
  REQUIRE(first.line(request(1, "echo.say")));
  REQUIRE(first.answer()["id"] == 1);
  Raw second(t.socket());
  REQUIRE(kind_of(second.answer()) == "overloaded");
  REQUIRE(second.receive().is_null());
}

TEST_CASE("rpc: exactly one host serves a socket, and the leftovers of a dead one are replaced") {
  TestDaemon t;
  REQUIRE(t.opened());
  const auto second = Listener::open(t.socket());
  REQUIRE(!second);
  REQUIRE(second.error().kind == ErrorKind::conflict);
  TempDir dir;
  const auto socket = dir.path() / "run" / "host.sock";
  std::filesystem::create_directory(dir.path() / "run");
  ::chmod((dir.path() / "run").c_str(), 0700);
  std::ofstream(socket) << "left behind";
  std::ofstream(socket.string() + ".lock") << "";
  REQUIRE(Listener::open(socket));
  REQUIRE(!std::filesystem::exists(socket));
}

TEST_CASE("rpc: a socket folder that others may enter, or that is a link, is refused") {
  TempDir dir;
  const auto open_folder = dir.path() / "open";
  std::filesystem::create_directory(open_folder);
  ::chmod(open_folder.c_str(), 0755);
  REQUIRE(check_socket_folder(open_folder).error().kind == ErrorKind::permission_denied);
  const auto link = dir.path() / "link";
  std::filesystem::create_directory(dir.path() / "real");
  ::chmod((dir.path() / "real").c_str(), 0700);
  std::filesystem::create_symlink(dir.path() / "real", link);
  REQUIRE(check_socket_folder(link).error().message.find("symbolic link") != std::string::npos);
  REQUIRE(check_socket_folder(dir.path() / "real"));
}

TEST_CASE(
    "rpc: a client's subscription that asked for it is ended with the reason when it is full, and the client lives "
    "on") {
  TestDaemon t([](Config& c) { c.async.event_bus_buffer_size = 100; });
  auto client = t.connect();
  const auto subscribed = client.call(
      "events.subscribe", {{"topics", {"test.*"}}, {"policy", "disconnect"}, {"buffer", 3}}, std::chrono::seconds(10));
  REQUIRE(subscribed);
  // The worker that writes is kept busy while they are published.
  t.daemon().workers().first().post([&] {
    for (int i = 0; i < 5; ++i) (void)t.daemon().bus().publish("test.a", std::to_string(i));
  });
  std::vector<json> got;
  while (got.empty() || !got.back().contains("end"))
    got.push_back((*client.receive(std::chrono::seconds(10)))["params"]);
  REQUIRE(got.size() == 4);
  REQUIRE(got[2]["payload"] == 2);
  REQUIRE(got[3]["end"]["kind"] == "overloaded");
  REQUIRE(got[3]["subscription"] == (*subscribed)["subscription"]);
  REQUIRE(client.call("host.status", json::object(), std::chrono::seconds(10)));
  REQUIRE(client.call("events.unsubscribe", {{"subscription", (*subscribed)["subscription"]}}, std::chrono::seconds(10))
              .error()
              .kind == ErrorKind::not_found);
}

TEST_CASE("rpc: a coalescing subscription gets the newest of each topic, and a policy that is none is refused") {
  TestDaemon t;
  auto client = t.connect();
  REQUIRE(client.call("events.subscribe", {{"topics", {"test.*"}}, {"policy", "newest"}}, std::chrono::seconds(10))
              .error()
              .kind == ErrorKind::invalid_params);
  REQUIRE(
      client.call("events.subscribe", {{"topics", {"test.*"}}, {"buffer", 0}}, std::chrono::seconds(10)).error().kind ==
      ErrorKind::invalid_params);
  REQUIRE(client.call("events.subscribe", {{"topics", {"test.*"}}, {"policy", "coalesce"}}, std::chrono::seconds(10)));
  t.daemon().workers().first().post([&] {
    for (int i = 0; i < 5; ++i) {
      (void)t.daemon().bus().publish("test.a", std::to_string(i));
      (void)t.daemon().bus().publish("test.b", std::to_string(i));
    }
  });
  std::vector<json> got;
  while (got.size() < 2) got.push_back((*client.receive(std::chrono::seconds(10)))["params"]);
  REQUIRE(got[0]["topic"] == "test.a");
  REQUIRE(got[0]["payload"] == 4);
  REQUIRE(got[1]["topic"] == "test.b");
  REQUIRE(got[1]["payload"] == 4);
}
