// SPDX-License-Identifier: Apache-2.0
//
// A method that streams: `gantry call ticker.count to:=5 --stream`. The caller's credit sets the pace, and it may
// cancel.
#include <gantry/plugin.hpp>
#include <gantry/plugin/pool.hpp>

namespace {

struct CountParams {
  std::uint32_t to = 10;
};
BOOST_DESCRIBE_STRUCT(CountParams, (), (to))
constexpr auto gantry_fields(const CountParams*) {
  return gantry::fields(gantry::field(&CountParams::to, "how far to count").range(1, 1'000'000));
}

struct Tick {
  std::uint32_t n = 0;
};
BOOST_DESCRIBE_STRUCT(Tick, (), (n))

struct Counted {
  std::uint32_t ticks = 0;
};
BOOST_DESCRIBE_STRUCT(Counted, (), (ticks))

class Ticker {
 public:
  explicit Ticker(gantry::Host host) : host_(std::move(host)) {}

  // On the pool, so that it may wait: what it shares with other handlers would need a lock. A Host needs none.
  gantry::Result<Counted> count(const CountParams& params, gantry::Stream<Tick>& stream) {
    for (std::uint32_t n = 1; n <= params.to; ++n) {
      // Waits while the caller gives no credit, and ends when it cancels or has gone.
      if (auto sent = stream.send({n}); !sent) return std::unexpected(sent.error());
      if (const auto tenth = params.to / 10; tenth != 0 && n % tenth == 0)
        stream.progress("counting", 100.0 * n / params.to);
    }
    (void)host_.publish("ticker.counted", {{"ticks", params.to}});  // nobody waits for it: it may be refused
    return Counted{params.to};
  }

  static void define(gantry::Definition<Ticker>& d) {
    d.id("ticker").version("1.0.0").service("ticker").publishes("ticker.*");
    d.method("ticker.count", gantry::on_pool(&Ticker::count), {.summary = "Counts, one item for each number"});
  }

 private:
  gantry::Host host_;
};

}  // namespace

GANTRY_PLUGIN(Ticker)
