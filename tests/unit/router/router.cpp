// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

TEST_CASE("router: an idempotent call is tried again until it succeeds, with growing delays on the host's clock") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.fail_times", {{"key", "a"}, {"times", 2}});
  t.advance_to_next(1s);
  t.advance_to_next(1s);
  const auto result = recorder->wait();
  REQUIRE(result);
  REQUIRE((*result)["attempts"] == 3);
  REQUIRE(t.log_text().find("faulty.fail_times failed (attempt 1)") != std::string::npos);
  REQUIRE(t.log_text().find("faulty.fail_times failed (attempt 2)") != std::string::npos);
}

TEST_CASE("router: a call that waits for its next attempt is answered also when nobody holds it") {
  TestDaemon t;
  const auto recorder = t.begin("faulty.fail_times", {{"key", "held"}, {"times", 1}}).recorder;
  t.advance_to_next(1s);
  REQUIRE((*recorder->wait())["attempts"] == 2);
}

TEST_CASE("router: after max_retries + 1 attempts the last error is the answer") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.fail_times", {{"key", "b"}, {"times", 100}});
  for (int i = 0; i < Router::kRetry.max_retries; ++i) t.advance_to_next(1s);
  const auto result = recorder->wait();
  REQUIRE(result.error().kind == ErrorKind::unavailable);
  REQUIRE(result.error().message == "attempt 3 fails");
  REQUIRE((*t.call("faulty.attempts", {{"key", "b"}}))["attempts"] == 3);
}

TEST_CASE("router: a call that is not idempotent is tried once") {
  TestDaemon t;
  const auto result = t.call("faulty.fail_times_once", {{"key", "c"}, {"times", 1}});
  REQUIRE(result.error().message == "attempt 1 fails");
}

TEST_CASE("router: a stream is tried once, however idempotent its method is") {
  TestDaemon t;
  const auto stream = t.begin("faulty.fail_times_stream", {{"key", "s"}, {"times", 1}}, 1).recorder;
  REQUIRE(stream->wait().error().message == "attempt 1 fails");
  const auto plain = t.begin("faulty.fail_times_stream", {{"key", "p"}, {"times", 1}}).recorder;
  t.advance_to_next(1s);
  REQUIRE((*plain->wait())["attempts"] == 2);
}

TEST_CASE("router: an attempt that ends with `plugin_died`, or whose plugin does not start, has failed as any other") {
  TestDaemon t([](Config& c) { c.plugins["busy"].settings = {{"refuse_to_start", true}}; });
  const auto died = static_cast<int>(ErrorKind::plugin_died);
  const auto mended = t.begin("faulty.fail_times", {{"key", "a"}, {"times", 1}, {"code", died}}).recorder;
  t.advance_to_next(1s);
  REQUIRE((*mended->wait())["attempts"] == 2);
  const auto refused = t.begin("busy.fail_times", {{"key", "a"}, {"times", 0}}).recorder;
  eventually("its answer", [&] {  // its plugin may back off for longer than the call
    if (const auto next = t.timers.next_in(); next && *next <= 1s) t.timers.advance(*next);
    return refused->done();
  });
  REQUIRE(refused->wait().error().message.find("told to refuse") != std::string::npos);
  REQUIRE((*t.call("host.metrics"))["methods"]["busy.fail_times"]["retries"] == Router::kRetry.max_retries);
}

TEST_CASE("router: a call that was given up is not tried again, whatever its attempt still says", "[clock]") {
  TestDaemon t;
  const auto [recorder, call] = t.begin("faulty.fails_late", {{"delay_ms", 500}});
  REQUIRE(t.call("faulty.attempts", {{"key", "x"}}));  // answered after it: the call is with the plugin
  call->cancel();
  REQUIRE(recorder->wait().error().kind == ErrorKind::cancelled);
  t.advance_to_next(500ms);
  REQUIRE(t.call("faulty.attempts", {{"key", "x"}}));
  REQUIRE((*t.call("host.metrics"))["methods"]["faulty.fails_late"]["retries"] == 0);
}

TEST_CASE("router: an error that another attempt would not mend is answered at once") {
  TestDaemon t;
  const auto conflict = static_cast<int>(ErrorKind::conflict);
  const auto error = t.call("faulty.fail_times", {{"key", "c"}, {"times", 1}, {"code", conflict}}).error();
  REQUIRE(error.kind == ErrorKind::conflict);
  REQUIRE((*t.call("faulty.attempts", {{"key", "c"}}))["attempts"] == 1);
}

TEST_CASE("router: no retry begins that could not end before the deadline") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.fail_times", {{"key", "d"}, {"times", 5}}, {}, 10ms);
  REQUIRE(recorder->wait().error().message == "attempt 1 fails");
}

TEST_CASE(
    "router: a call that is never answered times out at its deadline, is cancelled, and its late answer is dropped") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.never", json::object(), {}, 5s);
  REQUIRE(t.call("faulty.attempts", {{"key", "x"}}));  // answered after it: the call is with the plugin
  t.advance_to_next(5s);
  REQUIRE(recorder->wait().error().kind == ErrorKind::timeout);
  eventually("the cancel", [&] { return (*t.call("faulty.cancelled"))["count"] == 1; });
  REQUIRE(t.call("faulty.release"));
  REQUIRE(recorder->answers() == 1);
}

TEST_CASE("router: the default deadline holds for a call that names none") {
  TestDaemon t([](Config& c) { c.host.default_call_timeout_seconds = 7; });
  auto [recorder, call] = t.begin("faulty.never");
  t.timers.advance(6s);
  REQUIRE(!recorder->done());
  t.timers.advance(1s);
  REQUIRE(recorder->wait().error().kind == ErrorKind::timeout);
}

TEST_CASE("router: new limits hold from the next call on, and for those that wait") {
  TestDaemon t([](Config& c) { c.host.max_calls_per_service = 1; });
  const auto first = t.begin("faulty.never");
  const auto waits = t.begin("faulty.attempts", {{"key", "x"}}).recorder;
  REQUIRE(!waits->done());
  t.daemon().router().set_limits({.max_calls_per_service = 2, .default_timeout = 3s});
  REQUIRE(waits->wait());
  const auto second = t.begin("faulty.never");
  t.timers.advance(3s);
  REQUIRE(second.recorder->wait().error().kind == ErrorKind::timeout);
  REQUIRE(!first.recorder->done());
  first.call->cancel();
}

TEST_CASE("router: a plugin that keeps the time itself has as long as it takes, unless the caller says otherwise") {
  TestDaemon t([](Config& c) { c.host.default_call_timeout_seconds = 1; });
  auto patient = t.begin("faulty.slow");
  auto hasty = t.begin("faulty.slow", json::object(), {}, std::chrono::seconds(2));
  REQUIRE(t.call("faulty.attempts", {{"key", "x"}}));
  t.timers.advance(std::chrono::hours(1));
  REQUIRE(hasty.recorder->wait().error().kind == ErrorKind::timeout);
  REQUIRE(!patient.recorder->done());
  REQUIRE(t.call("faulty.release"));
  REQUIRE(patient.recorder->wait());
}

TEST_CASE("router: whoever has an answer can call again at once, though only one may") {
  TestDaemon t([](Config& c) {
    c.host.max_calls_per_service = 1;
    c.host.max_waiting_per_service = 0;
  });
  for (int i = 0; i < 500; ++i) REQUIRE(t.call("echo.say"));
}

TEST_CASE("router: an answer that comes late on the clock, but in time, is an answer", "[clock]") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.late", {{"delay_ms", 2000}}, {}, 5s);
  t.advance_to_next(2s);
  REQUIRE((*recorder->wait())["late"] == true);
}

TEST_CASE("router: whatever a handler does, the call is answered exactly once") {
  TestDaemon t;
  for (const auto& [method, words] :
       std::map<std::string, std::string>{{"faulty.throws", "thrown on purpose"},
                                          {"faulty.throws_holding", "thrown with the call in hand"},
                                          {"faulty.throws_a_number", "an exception of unknown type"},
                                          {"faulty.drops", "dropped the call"},
                                          {"faulty.garbage", "not valid JSON"}}) {
    auto [recorder, call] = t.begin(method);
    const auto result = recorder->wait();
    REQUIRE(!result);
    REQUIRE(result.error().kind == ErrorKind::internal);
    INFO(result.error().message);
    REQUIRE(result.error().message.find(words) != std::string::npos);
    REQUIRE(t.call("echo.say"));
    REQUIRE(recorder->answers() == 1);
  }
  auto [recorder, call] = t.begin("faulty.twice");
  REQUIRE((*recorder->wait())["answer"] == 1);
  REQUIRE(t.call("faulty.cancelled"));
  REQUIRE(recorder->answers() == 1);
}

TEST_CASE("router: a call that is answered lets go of what its callbacks hold, also where they hold the call") {
  TestDaemon t;
  REQUIRE(t.call("faulty.answers_holding"));
  REQUIRE((*t.call("faulty.held_callbacks"))["count"] == 0);
  auto [recorder, call] = t.begin("faulty.answers_at_the_end", json::object(), 0);
  REQUIRE((*t.call("faulty.held_callbacks"))["count"] == 2);
  call->send_end();
  REQUIRE(recorder->wait());
  eventually("the end of its callbacks", [&] { return (*t.call("faulty.held_callbacks"))["count"] == 0; });
}

TEST_CASE("router: a cancelled call is answered `cancelled` and the plugin is told") {
  TestDaemon t;
  auto [recorder, call] = t.begin("faulty.never");
  REQUIRE(t.call("faulty.cancelled"));
  call->cancel();
  REQUIRE(recorder->wait().error().kind == ErrorKind::cancelled);
  eventually("the cancel", [&] { return (*t.call("faulty.cancelled"))["count"] == 1; });
}

TEST_CASE("router: permits bound a service, those behind wait in order, and a full queue is `overloaded`") {
  TestDaemon t([](Config& c) {
    c.host.max_calls_per_service = 2;
    c.host.max_waiting_per_service = 1;
  });
  auto a = t.begin("faulty.never");
  auto b = t.begin("faulty.never");
  auto waits = t.begin("faulty.attempts", {{"key", "x"}});
  auto refused = t.begin("faulty.attempts", {{"key", "x"}});
  const auto error = refused.recorder->wait().error();
  REQUIRE(error.kind == ErrorKind::overloaded);
  REQUIRE(error.data.find("retry_after_ms") != std::string::npos);
  REQUIRE(!waits.recorder->done());
  REQUIRE(t.call("echo.say"));  // another service has permits of its own
  a.call->cancel();
  REQUIRE(waits.recorder->wait());
  b.call->cancel();
}

TEST_CASE("router: a call that is cancelled while it waits for a permit never reaches the plugin") {
  TestDaemon t([](Config& c) { c.host.max_calls_per_service = 1; });
  auto holds = t.begin("faulty.never");
  auto waits = t.begin("faulty.fail_times_once", {{"key", "w"}, {"times", 0}});
  waits.call->cancel();
  REQUIRE(waits.recorder->wait().error().kind == ErrorKind::cancelled);
  holds.call->cancel();
  REQUIRE((*t.call("faulty.attempts", {{"key", "w"}}))["attempts"] == 0);
}

TEST_CASE("router: a call that is cancelled while it waits leaves its place to another") {
  TestDaemon t([](Config& c) {
    c.host.max_calls_per_service = 1;
    c.host.max_waiting_per_service = 1;
  });
  auto holds = t.begin("faulty.never");
  auto waits = t.begin("faulty.attempts", {{"key", "x"}});
  waits.call->cancel();
  auto next = t.begin("faulty.attempts", {{"key", "x"}});
  REQUIRE(!next.recorder->done());
  holds.call->cancel();
  REQUIRE(next.recorder->wait());
}

TEST_CASE("router: an unknown method is `method_not_found` with the nearest name") {
  TestDaemon t;
  const auto unknown = t.call("host.statsu").error();
  REQUIRE(unknown.kind == ErrorKind::method_not_found);
  REQUIRE(unknown.message.find("host.status") != std::string::npos);
  REQUIRE(t.call("faulty.thorws").error().message.find("faulty.throws") != std::string::npos);
  const auto near_two = t.call("faulty.cancelle").error().message;  // and task.cancel is not far
  REQUIRE(near_two.ends_with("faulty has no method faulty.cancelle; did you mean faulty.cancelled?"));
  REQUIRE(t.call("state.turn.create").error().kind == ErrorKind::method_not_found);
  // Also where the service is mistyped, and of one that nobody could mean nothing is said.
  REQUIRE(t.call("fualty.throws").error().message.ends_with("did you mean faulty.throws?"));
  REQUIRE(t.call("fauly.something_else").error().message.ends_with("did you mean a method of faulty?"));
  REQUIRE(t.call("echo.something_else").error().message.find("; there is echo.") != std::string::npos);
  REQUIRE(t.call("quite.different").error().message.find("did you mean") == std::string::npos);
}

TEST_CASE("router: a stopping host refuses calls and answers those that are open") {
  auto t = std::make_unique<TestDaemon>([](Config& c) { c.host.stop_budget_seconds = 10; });
  auto open = t->begin("faulty.never");
  REQUIRE(t->call("echo.say"));
  t->daemon().request_stop("test");
  eventually("the refusal", [&] {
    const auto refused = t->begin("echo.say").recorder->wait();
    return !refused && refused.error().kind == ErrorKind::unavailable;
  });
  REQUIRE(t->call("host.status").error().kind == ErrorKind::unavailable);
  REQUIRE(!open.recorder->done());  // it has half of the budget to end by itself
  REQUIRE(open.recorder->wait().error().kind == ErrorKind::cancelled);
  t.reset();
  REQUIRE(open.recorder->answers() == 1);
}

TEST_CASE("router: a stopping host waits for no attach stream, and long enough for what ends by itself", "[clock]") {
  auto t = std::make_unique<TestDaemon>([](Config& c) { c.host.stop_budget_seconds = 3600; });
  auto attached = t->begin("faulty.echo_stream", {{"grant", 1}}, 10);
  REQUIRE(t->call("faulty.attempts", {{"key", "x"}}));
  auto late = t->begin("faulty.late", {{"delay_ms", 1000}});
  t->daemon().request_stop("test");
  REQUIRE(attached.recorder->wait().error().kind == ErrorKind::cancelled);
  REQUIRE(!late.recorder->done());
  t->advance_to_next(std::chrono::seconds(1));
  REQUIRE(late.recorder->wait());
  t.reset();
}

TEST_CASE("router: a stopping host takes no new connection, and tells those it has", "[clock]") {
  auto t = std::make_unique<TestDaemon>([](Config& c) { c.host.stop_budget_seconds = 3600; });
  auto late = t->begin("faulty.late", {{"delay_ms", 1000}});
  auto client = t->connect();
  t->daemon().request_stop("test");
  eventually("the closed server", [&] { return !Client::connect(t->socket()); });
  const auto hello = client.call("host.hello", {{"client", "test"}}, std::chrono::seconds(20));
  REQUIRE(hello.error().kind == ErrorKind::unavailable);
  t->advance_to_next(std::chrono::seconds(1));
  REQUIRE(late.recorder->wait());
  t.reset();
}

TEST_CASE(
    "router: a method's calls, errors, retries, open calls and times are counted, and no method never called is "
    "listed",
    "[clock]") {
  TestDaemon t;
  const auto counts = [&](const std::string& method) {
    return (*t.call("host.metrics"))["methods"].value(method, json());
  };
  REQUIRE(counts("faulty.late").is_null());
  for (const int delay_ms : {2000, 1000}) {
    CAPTURE(delay_ms);
    const auto late = t.begin("faulty.late", {{"delay_ms", delay_ms}}).recorder;
    REQUIRE(counts("faulty.late")["in_flight"] == 1);
    t.advance_to_next(std::chrono::milliseconds(delay_ms));
    REQUIRE(late->wait());
  }
  REQUIRE(
      counts("faulty.late") ==
      json{{"calls", 2}, {"errors", 0}, {"retries", 0}, {"in_flight", 0}, {"seconds", 3.0}, {"longest_seconds", 2.0}});
  const auto mended = t.begin("faulty.fail_times", {{"key", "a"}, {"times", 1}}).recorder;
  t.advance_to_next(1s);
  REQUIRE(mended->wait());
  REQUIRE(counts("faulty.fail_times")["retries"] == 1);
  REQUIRE(counts("faulty.fail_times")["errors"] == 0);
  REQUIRE(!t.call("faulty.fail_times_once", {{"key", "b"}, {"times", 1}}));
  REQUIRE(counts("faulty.fail_times_once")["errors"] == 1);
}

// A timer for deadlines may be left; it runs once, for all of them.
TEST_CASE("router: what is answered leaves no timer that is set again, also when it waited for its next attempt") {
  // It starts with the host, which sets it a limit.
  TestDaemon t([](Config& c) { c.plugins["plain"].enabled = false; });
  // The host's own clean-up is later than a call's default deadline.
  const auto next = [&] { return t.timers.next_in().value_or(1h); };
  for (int i = 0; i < 20; ++i) REQUIRE(t.call("echo.say"));
  REQUIRE(next() == 60s);
  t.timers.advance(60s);
  REQUIRE(next() > 60s);
  const auto failed = t.begin("faulty.fail_times", {{"key", "a"}, {"times", 1}});
  eventually("the wait for the next attempt", [&] { return next() < 1s; });
  failed.call->cancel();
  eventually("no timer but that of the deadline", [&] { return next() == 60s; });
  t.timers.advance(60s);
  REQUIRE(next() > 60s);
}

TEST_CASE("router: a call whose time is over when it comes is answered so, and never reaches its plugin") {
  TestDaemon t;
  Raw client(t.socket());
  for (int i = 0; i < 20; ++i) {
    CAPTURE(i);
    REQUIRE(
        client.line(request(i, "faulty.fail_times", {{"key", "late"}, {"times", 0}, {"_meta", {{"timeout_ms", 0}}}})));
    REQUIRE(kind_of(client.answer()) == "timeout");
  }
  REQUIRE((*t.call("faulty.attempts", {{"key", "late"}}))["attempts"] == 0);
}

TEST_CASE("router: a worker that rests keeps no instance alive that it has called before") {
  TestDaemon t;
  Raw client(t.socket());
  for (const int id : {1, 2}) {  // the first one waits for the start
    CAPTURE(id);
    REQUIRE(client.line(request(id, "echo.say")));
    REQUIRE(client.answer().contains("result"));
  }
  const std::weak_ptr<Plugin> before = t.daemon().services().instance("echo")->peek();
  REQUIRE_FALSE(before.expired());
  REQUIRE(t.call("plugin.restart", {{"name", "echo"}}));
  eventually("the end of the instance", [&] { return before.expired(); });
}
