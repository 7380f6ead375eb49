// SPDX-License-Identifier: Apache-2.0
//
// Streams that are open while a new build takes its plugin's place: one that hands over gives them to the next one.
#include <atomic>
#include <thread>

#include "tests/unit/services/swapping.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::vector<Isolation> kIsolations{Isolation::in_line, Isolation::child};

[[nodiscard]] Swapping handing_over(Isolation isolation) { return Swapping({"handover", isolation}); }

}  // namespace

TEST_CASE("reload: streams go on at the next instance, and none of thousands of items is lost, doubled or late") {
  for (const auto isolation : kIsolations) {
    for (const char* const method : {"swap.echo", "swap.echo_stream"}) {
      INFO(method << (isolation == Isolation::child ? " child" : " inline"));
      auto t = handing_over(isolation);
      REQUIRE(t.build() == 1);
      constexpr int kStreams = 3;
      // What may end by itself is given the grace to do so: each of those reloads takes 5 s.
      const int reloads_in_all = method == std::string_view("swap.echo") ? 3 : 1;
      const int items_in_all = 100 * (reloads_in_all + 1);
      std::vector<TestDaemon::Begun> streams;
      for (int i = 0; i < kStreams; ++i) streams.push_back(t.set.test().begin(method, {{"i", i}}, 4 * items_in_all));
      std::atomic<int> reloads{0};
      std::vector<std::thread> senders;
      for (const auto& stream : streams) {
        senders.emplace_back([&, stream] {
          for (int part = 0; part <= reloads_in_all; ++part) {
            for (int done = 0; (done = reloads) < part;) reloads.wait(done);
            Swapping::send_numbers(stream, 100 * part, 100 * (part + 1));
          }
        });
      }
      std::string wrong;
      for (int i = 0; i < reloads_in_all; ++i) {
        t.put_of_mode(i % 2 == 0 ? "2" : "1");
        if (const auto reloaded = t.reload(); !reloaded && wrong.empty()) wrong = reloaded.error().message;
        ++reloads;
        reloads.notify_all();
      }
      for (auto& sender : senders) sender.join();
      REQUIRE(wrong == "");
      for (const auto& stream : streams) stream.call->send_end();
      for (const auto& stream : streams) {
        const auto answer = stream.recorder->wait();
        INFO((answer ? "" : answer.error().message) << ", " << stream.recorder->items().size() << " items");
        REQUIRE(answer);
        REQUIRE((*answer)["seen"] == items_in_all);
        REQUIRE(Swapping::builds_of(*stream.recorder, items_in_all) == std::set<int>{1, 2});
        REQUIRE(stream.recorder->answers() == 1);
        REQUIRE_FALSE(stream.recorder->item_after_answer());
      }
      REQUIRE(t.set.call("swap.streams").value() == json{{"open", 0}, {"left", 0}});
    }
  }
}

TEST_CASE("reload: items that wait for the caller's credit go along with their stream") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    auto t = handing_over(isolation);
    const auto stream = t.set.test().begin("swap.echo", {}, 2);
    Swapping::send_numbers(stream, 0, 6);
    stream.recorder->wait_for_items(2);
    t.put_of_mode("2");
    REQUIRE(t.reload());
    REQUIRE(t.build() == 2);
    REQUIRE(stream.recorder->items().size() == 2);
    stream.call->give_credit(100);
    stream.call->send_end();
    const auto answer = stream.recorder->wait().value();
    REQUIRE(answer["seen"] == 6);
    REQUIRE(answer["build"] == 2);
    REQUIRE(Swapping::builds_of(*stream.recorder, 6).contains(1));
  }
}

TEST_CASE("reload: a stream that its caller cancels meanwhile is still told to the next instance, and ends there") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    auto t = handing_over(isolation);
    const auto kept = t.set.test().begin("swap.echo", {}, 100);
    Swapping::send_numbers(kept, 0, 3);
    kept.recorder->wait_for_items(3);
    // Two starts fail; what was given waits for the third.
    t.put_of_mode("bad");
    REQUIRE_FALSE(t.reload());
    Swapping::send_numbers(kept, 3, 5);
    kept.call->cancel();
    REQUIRE(kept.recorder->wait().error().kind == ErrorKind::cancelled);
    t.put_of_mode("2");
    REQUIRE(t.reload());
    eventually("its end", [&] { return t.set.call("swap.streams").value() == json{{"open", 0}, {"left", 0}}; });
  }
}

TEST_CASE("reload: a build that does not start leaves the streams with the one before it") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    auto t = handing_over(isolation);
    const auto stream = t.set.test().begin("swap.echo", {}, 100);
    Swapping::send_numbers(stream, 0, 3);
    t.put_of_mode("bad");
    REQUIRE_FALSE(t.reload());
    Swapping::send_numbers(stream, 3, 6);
    stream.call->send_end();
    REQUIRE(stream.recorder->wait().value() == json{{"seen", 6}, {"build", 1}});
    REQUIRE(Swapping::builds_of(*stream.recorder, 6) == std::set<int>{1});
  }
}

TEST_CASE("reload: a stream that nobody hands over ends with its instance, and says that it is to be opened again") {
  for (const auto& kind : kKinds) {
    CAPTURE(kind.mode, kind.isolation);
    if (kind.mode == "handover") continue;
    Swapping t(kind);
    const auto stream = t.set.test().begin("swap.echo", {}, 100);
    stream.recorder->wait_for_credit();
    t.put_of_mode("2");
    REQUIRE(t.reload());
    const auto error = stream.recorder->wait().error();
    REQUIRE(error.kind == ErrorKind::plugin_died);
    REQUIRE(error.message.find("open it again") != std::string::npos);
  }
}

TEST_CASE("reload: a restart by hand hands over no stream") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    auto t = handing_over(isolation);
    const auto stream = t.set.test().begin("swap.echo", {}, 100);
    stream.recorder->wait_for_credit();
    REQUIRE(t.set.call("plugin.restart", {{"name", "swap"}}));
    REQUIRE_FALSE(stream.recorder->wait());
    REQUIRE(t.set.call("swap.streams").value() == json{{"open", 0}, {"left", 0}});
  }
}
