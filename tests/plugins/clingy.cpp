// SPDX-License-Identifier: Apache-2.0
//
// A plugin that clings to what it has begun: threads that its destructor joins, which wait for answers and for room in
// streams until then, and calls that hold each other. It is no part of the product.
#include <gantry/plugin.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "tests/waiting.hpp"

namespace {

using namespace gantry;

class Clingy {
 public:
  explicit Clingy(Host host) : host_(std::move(host)) {}
  ~Clingy() {
    // The one that asks goes on asking for a while.
    if (const int before = asked_; asks_) (void)test::polled([&] { return asked_ >= before + 2; });
    ending_ = true;
    for (auto& thread : threads_) thread.join();
  }
  Clingy(const Clingy&) = delete;
  Clingy& operator=(const Clingy&) = delete;

  /// `calls`: a method that it calls then, as a stream; afterwards it may be told to refuse.
  Result<void> start(const PluginConfig& config) {
    const std::string method = config.settings.value("calls", "");
    CallOptions stream;
    stream.stream_credit = 1;
    if (!method.empty()) (void)host_.call(method, json::object(), std::move(stream), nullptr);
    if (config.settings.value("refuses", false)) return fail(ErrorKind::unavailable, "told to refuse");
    return {};
  }

  /// A thread that asks another service again and again, whatever it is answered, until this object ends.
  Result<json> asks_on(Call&) {
    asks_ = true;
    threads_.emplace_back([this] {
      for (; !ending_; ++asked_) (void)host_.ask("echo.say", json::object()).recv();
    });
    return json::object();
  }
  /// A thread that sends items until that fails.
  void sends_on(Call call) {
    threads_.emplace_back([call = std::move(call)]() mutable {
      while (call.send_raw("1")) {
      }
    });
  }
  /// Of two calls one is held by a callback of the other, which holds itself.
  void pairs(Call call) {
    if (!first_) {
      first_ = std::make_shared<Call>(std::move(call));
      return;
    }
    auto second = std::make_shared<Call>(std::move(call));
    second->on_cancel([first = std::move(first_), second] {});
  }

  static void define(Definition<Clingy>& d) {
    d.id("clingy").version("1.0.0").service("clingy").grant("call:**");
    d.method("clingy.asks_on", &Clingy::asks_on).method("clingy.sends_on", &Clingy::sends_on, {.stream = true});
    d.method("clingy.pairs", &Clingy::pairs);
  }

 private:
  const Host host_;
  std::atomic<bool> ending_{false};
  std::atomic<bool> asks_{false};
  std::atomic<int> asked_{0};
  std::vector<std::thread> threads_;
  std::shared_ptr<Call> first_;
};

}  // namespace

GANTRY_PLUGIN(Clingy)
