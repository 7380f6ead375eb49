// SPDX-License-Identifier: Apache-2.0
//
// The plugins of tests/plugins, in both modes: a script for each.
#include "tests/folders.hpp"
#include "tests/integration/both_modes.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

[[nodiscard]] json deadline(int ms) { return {{"timeout_ms", ms}}; }
const json kAnything{
    {"text", "\u00e4\u20ac\U0001F600 \"\\\n"}, {"nested", {{"a", {1, 2.5, nullptr, true}}}}, {"empty", json::array()}};

}  // namespace

TEST_CASE("same in both modes: a plugin that echoes") {
  same_in_both_modes(stage_of({"echo"}), [](Talk& talk, Sandbox&) {
    (void)talk.call("echo.say");
    (void)talk.call("echo.say", kAnything);
    (void)talk.call("echo.say", {{"text", std::string(100'000, 'x')}});
    (void)talk.call("echo.say", json::array({1}));
    (void)talk.call("echo.sya");
    (void)talk.call("rpc.discover");
  });
}

TEST_CASE("same in both modes: typed handlers with checks and streams and a pool and settings") {
  Stage stage = stage_of({"typed"});
  stage.config = "[plugins.typed.settings]\nending = \"?!\"\n";
  same_in_both_modes(stage, [](Talk& talk, Sandbox&) {
    for (const char* method : {"typed.say", "typed.maybe", "typed.later", "typed.shout", "typed.lambda",
                               "typed.with_call", "typed.pooled_say"}) {
      for (const json& params :
           {json{{"text", "a"}, {"times", 2}}, json{{"text", "nothing"}}, json{{"times", 2}}, json{{"text", 1}},
            json{{"text", "a"}, {"times", 11}}, json{{"text", "a"}, {"more", 1}}})
        (void)talk.call(method, params);
    }
    for (const char* method : {"typed.ending", "typed.nothing", "typed.thread_name", "typed.pooled_throw"})
      (void)talk.call(method);
    (void)talk.answer(talk.open("typed.count", {{"to", 4}}, 8));
    const int count = talk.open("typed.count", {{"to", 4}}, 2);
    talk.hear_items(count, 2);
    talk.credit(count, 2);
    (void)talk.answer(count);
    (void)talk.answer(talk.open("typed.sends_serially", {{"to", 3}}, 10));
    (void)talk.call("typed.count");
    const int pooled = talk.open("typed.pooled_count", {{"to", 5}}, 1);
    talk.hear_items(pooled, 1);
    talk.credit(pooled, 2);
    talk.hear_items(pooled, 3);
    talk.credit(pooled, 9);
    (void)talk.answer(pooled);
    const int waits = talk.open("typed.pooled_wait");
    talk.hear_progress(waits);
    talk.cancel(waits);
    (void)talk.answer(waits);
    const int held = talk.open("typed.pooled_hold", {{"text", "x"}});
    talk.hear_progress(held);
    (void)talk.call("typed.release");
    (void)talk.answer(held);
    (void)talk.call("rpc.discover");
  });
}

TEST_CASE("same in both modes: coroutines and what they wait for") {
  same_in_both_modes(stage_of({"resumed", "typed"}), [](Talk& talk, Sandbox&) {
    (void)talk.call("resumed.twice", {{"n", 21}});
    (void)talk.call("resumed.sleeps", {{"n", 1}});
    (void)talk.call("resumed.sleeps", {{"n", 3'600'000}, {"_meta", deadline(1)}});
    const int sleeps = talk.open("resumed.sleeps", {{"n", 3'600'000}});
    talk.until("resumed.under_way", json::object(), [](const json& result) { return result["n"] == 1; });
    talk.cancel(sleeps);
    (void)talk.answer(sleeps);
    (void)talk.call("resumed.hops", {{"n", 3}});
    for (const char* method : {"typed.say", "typed.maybe", "typed.sya"})
      (void)talk.call("resumed.asks", {{"method", method}});
    for (const char* method : {"resumed.throws", "resumed.nothing"}) (void)talk.call(method);
    const int counts = talk.open("resumed.counts", {{"n", 4}}, 2);
    talk.hear_items(counts, 2);
    talk.credit(counts, 5);
    (void)talk.answer(counts);
    talk.until("resumed.under_way", json::object(), [](const json& result) { return result["n"] == 0; });
  });
}

TEST_CASE("same in both modes: a stream that is slow and waits for credit and is cancelled") {
  same_in_both_modes(stage_of({"slow_stream"}), [](Talk& talk, Sandbox&) {
    (void)talk.answer(talk.open("slow_stream.run", {{"items", 5}, {"every_ms", 1}}, 10));
    const int some = talk.open("slow_stream.run", {{"items", 3}, {"every_ms", 0}}, 1);
    talk.hear_items(some, 1);
    talk.credit(some, 1);
    talk.hear_items(some, 2);
    talk.credit(some, 1);
    (void)talk.answer(some);
    const int cancelled = talk.open("slow_stream.run", {{"items", 3}, {"every_ms", 1}}, 2);
    talk.hear_items(cancelled, 2);
    talk.cancel(cancelled);
    (void)talk.answer(cancelled);
    (void)talk.call("slow_stream.run", {{"items", 3}});
  });
}

TEST_CASE("same in both modes: a plugin that calls others and its client and passes streams and descriptors") {
  same_in_both_modes(stage_of({"lsp_shaped", "echo", "faulty"}), [](Talk& talk, Sandbox& box) {
    const auto relay = [](const std::string& method, const json& params) {
      return json{{"method", method}, {"params", params}};
    };
    for (const char* by : {"lsp_shaped.relay", "lsp_shaped.ask"}) {
      (void)talk.call(by, relay("echo.say", kAnything));
      (void)talk.call(by, relay("nobody.there", json::object()));
    }
    (void)talk.call("lsp_shaped.relay", relay("faulty.throws", json::object()));
    (void)talk.call("lsp_shaped.relay", relay("faulty.fail_times", {{"key", "a"}, {"times", 1}}));
    json late = relay("faulty.never", json::object());
    late["timeout_ms"] = 1;
    (void)talk.call("lsp_shaped.relay", late);
    const int open = talk.open("lsp_shaped.relay", relay("faulty.never", json::object()));
    talk.cancel(open);
    (void)talk.answer(open);
    const int tunnel = talk.open("lsp_shaped.tunnel",
                                 {{"method", "faulty.echo_stream"}, {"params", {{"grant", 2}}}, {"credit", 2}}, 10);
    talk.hear_credit(tunnel, 2);
    for (int i = 0; i < 2; ++i) talk.item(tunnel, {{"i", i}});
    talk.hear_items(tunnel, 2);
    talk.hear_credit(tunnel, 4);
    talk.end(tunnel);
    (void)talk.answer(tunnel);
    (void)talk.call("lsp_shaped.pipe", {{"text", "to a client"}});
    (void)talk.call("lsp_shaped.fetch", {{"text", "through a pipe"}});
    (void)talk.call("lsp_shaped.hand_out", {{"method", "lsp_shaped.read"}, {"count", 3}});
    for (const char* method : {"lsp_shaped.malformed", "lsp_shaped.caller"}) (void)talk.call(method);
    (void)talk.call("lsp_shaped.many", {{"count", 1100}});
    REQUIRE(box.connect().call("lsp_shaped.caller", json::object(), std::chrono::seconds(60)));
    talk.until("lsp_shaped.gone_ones", json::object(), [](const json& left) { return !left.empty(); });
  });
}

TEST_CASE("same in both modes: the owner of a database that is reloaded") {
  same_in_both_modes(stage_of({"ledger"}), [](Talk& talk, Sandbox&) {
    for (const json& n : {json(1), json(-5), json("x"), json(2'000'000)}) (void)talk.call("ledger.add", {{"n", n}});
    (void)talk.call("ledger.sum");
    (void)talk.call("plugin.reload", {{"name", "ledger"}});
    (void)talk.call("ledger.sum");
    (void)talk.call("ledger.add", {{"n", 7}});
    (void)talk.call("rpc.discover");
  });
}

TEST_CASE("same in both modes: a plugin in C") {
  same_in_both_modes(stage_of({"plain"}), [](Talk& talk, Sandbox&) {
    (void)talk.call("plain.echo", kAnything);
    (void)talk.call("plain.never", {{"_meta", deadline(1)}});
    const int never = talk.open("plain.never");
    talk.cancel(never);
    (void)talk.answer(never);
    const int items = talk.open("plain.items", json::object(), 1);
    talk.credit(items, 1);
    talk.hear_end(items);
    talk.cancel(items);
    (void)talk.answer(items);
    for (const char* method : {"plain.refuse", "plain.posts", "plain.timers", "plain.echo"}) (void)talk.call(method);
  });
}

TEST_CASE("same in both modes: the examples") {
  Stage stage;
  for (const char* const name : {"hello", "hello_c", "ticker", "greeter"})
    stage.plugins[name] = gantry::folders::build() + "/tests/examples/" + std::string(name) + ".so";
  same_in_both_modes(stage, [](Talk& talk, Sandbox&) {
    (void)talk.call("hello.greet", {{"name", "Ada"}});
    (void)talk.call("hello.greet", {{"name", 1}});
    (void)talk.call("hello_c.greet", {{"who", "Ada"}});
    (void)talk.call("hello_c.nothing");
    (void)talk.call("greeter.welcome", {{"names", {"Ada", "Grace"}}});
    const int counts = talk.open("ticker.count", {{"to", 5}}, 2);
    talk.hear_items(counts, 2);
    talk.credit(counts, 10);
    (void)talk.answer(counts);
    // So far that its first progress lies beyond what the host holds for a caller without credit.
    const int left = talk.open("ticker.count", {{"to", 1'000'000}}, 3);
    talk.hear_items(left, 3);
    talk.cancel(left);
    (void)talk.answer(left);
    (void)talk.call("rpc.discover");
  });
}

TEST_CASE("same in both modes: a plugin of the first version of the boundary") {
  same_in_both_modes(stage_of({"v1"}), [](Talk& talk, Sandbox&) {
    talk.subscribe({"v1.*", "host.plugin.ready"});
    (void)talk.call("v1.echo", kAnything);
    for (const char* method : {"v1.fail", "v1.later", "v1.posted", "v1.call", "v1.descriptor", "v1.who", "v1.publish"})
      (void)talk.call(method, {{"told", method}});
    for (const int credit : {5, 2}) {
      const int stream = talk.open("v1.stream", json::object(), credit);
      if (credit == 2) {
        talk.hear_items(stream, 2);
        talk.credit(stream, 3);
      }
      (void)talk.answer(stream);
    }
    const int both = talk.open("v1.both", json::object(), 4);
    talk.hear_credit(both, 10);
    talk.item(both, {{"n", 1}});
    talk.hear_items(both, 1);
    talk.end(both);
    (void)talk.answer(both);
    const int never = talk.open("v1.never");
    talk.hear_progress(never);
    (void)talk.call("v1.cancelled");
    talk.cancel(never);
    (void)talk.answer(never);
    (void)talk.call("events.publish", {{"topic", "to_v1.a"}, {"payload", kAnything}});
    (void)talk.call("events.publish", {{"topic", "v1.a"}, {"payload", 1}});
    // Clients of the test that have left it may hear of, or not: `gone` is not compared.
    talk.until("v1.seen", json::object(), [](const json& seen) { return seen["events"] == 1 && seen["cancels"] == 1; });
    (void)talk.call("v1.cancelled");
    talk.hear_events(2);
  });
}

TEST_CASE("same in both modes: a plugin that does wrong") {
  same_in_both_modes(stage_of({"faulty"}), [](Talk& talk, Sandbox&) {
    talk.subscribe({"faulty.**"});
    for (const char* method : {"faulty.fail_times", "faulty.fail_times_once"}) {
      (void)talk.call(method, {{"key", method}, {"times", 1}});
      (void)talk.call(method, {{"key", method}, {"times", 9}, {"code", -32006}});
      (void)talk.call("faulty.attempts", {{"key", method}});
    }
    for (const char* method :
         {"faulty.throws", "faulty.throws_a_number", "faulty.throws_holding", "faulty.drops", "faulty.twice",
          "faulty.garbage", "faulty.pretty", "faulty.progresses", "faulty.forbidden_event", "faulty.workspaces",
          "faulty.who", "faulty.answers_holding", "faulty.held_callbacks", "faulty.late"})
      (void)talk.call(method);
    (void)talk.call(
        "faulty.meta",
        {{"_meta",
          {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"idempotency_key", "k"}}}});
    (void)talk.call("faulty.fails_late", {{"delay_ms", 1}});
    (void)talk.call("faulty.late", {{"delay_ms", 3'600'000}, {"_meta", deadline(1)}});
    const int never = talk.open("faulty.never", json::object(), 1);
    talk.cancel(never);
    (void)talk.answer(never);
    const int flood = talk.open("faulty.flood", {{"items", 5}, {"size", 3}}, 2);
    talk.hear_items(flood, 2);
    talk.credit(flood, 2);
    talk.hear_items(flood, 4);
    talk.credit(flood, 9);
    (void)talk.answer(flood);
    talk.until("faulty.remembers_flood", json::object(), [](const json& remembers) { return remembers == false; });
    const int greedy = talk.open("faulty.echo_stream", {{"grant", 0}}, 1);
    talk.item(greedy, {{"beyond", "its credit"}});
    (void)talk.answer(greedy);
    const int echoes = talk.open("faulty.echo_stream", {{"grant", 2}}, 9);
    talk.hear_credit(echoes, 2);
    talk.item(echoes, kAnything);
    talk.hear_items(echoes, 1);
    talk.end(echoes);
    (void)talk.answer(echoes);
    const int ends = talk.open("faulty.answers_at_the_end", json::object(), 1);
    talk.end(ends);
    (void)talk.answer(ends);
    (void)talk.call("faulty.flood_events", {{"events", 3}});
    talk.hear_events(3);
    (void)talk.call("events.publish", {{"topic", "to_faulty.a"}, {"payload", json::object()}});
    const auto seen = [](const json& result) { return !result.at("topics").empty(); };
    talk.until("faulty.seen_events", json::object(), seen);
    (void)talk.call("faulty.seen_events");
  });
}
