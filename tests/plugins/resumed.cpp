// SPDX-License-Identifier: Apache-2.0
//
// A plugin whose handlers are coroutines. It is no part of the product.
#include <gantry/channel/watch.hpp>
#include <gantry/plugin.hpp>
#include <gantry/plugin/coro.hpp>
#include <stdexcept>
#include <thread>

namespace {

using namespace gantry;

struct Numbers {
  int n = 0;
};
BOOST_DESCRIBE_STRUCT(Numbers, (), (n))

struct Question {
  std::string method;
};
BOOST_DESCRIBE_STRUCT(Question, (), (method))
struct Said {
  std::string said;
};
BOOST_DESCRIBE_STRUCT(Said, (), (said))

class Resumed {
 public:
  explicit Resumed(Host host) : host_(std::move(host)) {}

  Task<Result<Numbers>> twice(Numbers params) { co_return Numbers{co_await doubled(params.n)}; }
  Task<Result<Numbers>> sleeps(Numbers params, Call call) {
    ++under_way_;
    auto slept = co_await sleep_for(host_, std::chrono::milliseconds(params.n), call.cancel_token());
    --under_way_;
    if (!slept) co_return std::unexpected(slept.error());
    co_return params;
  }
  // Waits for other threads, which wake it; goes on where it was.
  Task<Result<Numbers>> hops(Numbers params) {
    const auto home = std::this_thread::get_id();
    for (int i = 0; i < params.n; ++i) {
      auto [reply, answer] = oneshot::channel<int>();
      std::thread([r = std::move(reply)]() mutable { (void)r.send(1); }).detach();
      (void)co_await answer.async_recv();
      if (std::this_thread::get_id() != home) co_return fail(ErrorKind::internal, "it goes on on another thread");
    }
    co_return params;
  }
  // Asks another plugin, which may never answer.
  Task<Result<Said>> asks(Question params) {
    auto answer = host_.ask(params.method, {{"text", "asked"}});
    auto came = co_await answer.async_recv();
    if (!came) co_return fail(ErrorKind::unavailable, "there was no answer");
    if (!*came) co_return std::unexpected(came->error());
    co_return from_json<Said>((*came)->value);
  }
  Task<Numbers> throws(Numbers) {
    co_await gantry::yield();
    throw std::runtime_error("thrown after a wait");
  }
  Task<> nothing() { co_return; }
  Task<Result<Numbers>> counts(Numbers params, Stream<Numbers> stream) {
    for (int i = 0; i < params.n; ++i) {
      if (auto sent = co_await async_send(stream, Numbers{i}); !sent) co_return std::unexpected(sent.error());
    }
    co_return params;
  }
  Numbers under_way() { return {under_way_}; }

  static void define(Definition<Resumed>& d) {
    d.id("resumed").version("1.0.0").service("resumed").method("resumed.twice", &Resumed::twice).grant("call:**");
    d.method("resumed.sleeps", &Resumed::sleeps).method("resumed.hops", &Resumed::hops);
    d.method("resumed.asks", &Resumed::asks);
    d.method("resumed.throws", &Resumed::throws).method("resumed.nothing", &Resumed::nothing);
    d.method("resumed.counts", &Resumed::counts).method("resumed.under_way", &Resumed::under_way);
  }

 private:
  static Task<int> doubled(int n) { co_return 2 * n; }

  Host host_;
  int under_way_ = 0;
};

}  // namespace

GANTRY_PLUGIN(Resumed)
