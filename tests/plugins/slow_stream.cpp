// SPDX-License-Identifier: Apache-2.0
//
// Streams slowly: an item each so many milliseconds of the host's clock, never more than the caller has asked for.
#include <gantry/plugin.hpp>
#include <memory>

struct SlowStream {
  explicit SlowStream(gantry::Host h) : host(std::move(h)) {}

  struct Count {
    gantry::Call call;
    gantry::Host host;
    int next;
    int end;
    gantry::Duration every;
    bool waits = false;
  };
  static void step(const std::shared_ptr<Count>& count) {
    if (count->call.cancelled()) return;  // the Call dies with the last of its timers
    if (count->next == count->end) {
      count->call.reply(gantry::json{{"counted", count->end}});
      return;
    }
    if (auto sent = count->call.item(gantry::json{{"i", count->next}}); !sent) return;
    ++count->next;
    (void)count->host.after(count->every, [count] { step(count); });
  }
  void run(gantry::Call call) {
    const auto params = call.params();
    const gantry::Duration every = std::chrono::milliseconds(params.value("every_ms", 10));
    auto count = std::make_shared<Count>(Count{std::move(call), host, 0, params["items"].get<int>(), every});
    count->call.on_credit([weak = std::weak_ptr(count)] {
      if (const auto c = weak.lock()) step(c);
    });
    step(count);
  }

  static void define(gantry::Definition<SlowStream>& d) {
    d.id("slow_stream").version("1.0.0").service("slow_stream");
    d.method("slow_stream.run", &SlowStream::run, {.summary = "A stream", .stream = true});
  }
  gantry::Host host;
};
GANTRY_PLUGIN(SlowStream)
