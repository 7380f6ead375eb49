// SPDX-License-Identifier: Apache-2.0
//
// A plugin with handlers of every shape. It is no part of the product.
#include <condition_variable>
#include <gantry/channel/mpsc.hpp>
#include <gantry/plugin.hpp>
#include <gantry/plugin/pool.hpp>
#include <gantry/plugin/thread.hpp>

#include "tests/waiting.hpp"

namespace {

using namespace gantry;

struct SayParams {
  std::string text;
  int times = 1;
};
BOOST_DESCRIBE_STRUCT(SayParams, (), (text, times))
constexpr auto gantry_fields(const SayParams*) {
  return fields(field(&SayParams::text, "what to say").required().max_length(1000),
                field(&SayParams::times, "how often").range(1, 10));
}

struct Said {
  std::string said;
  std::optional<std::uint64_t> origin;
};
BOOST_DESCRIBE_STRUCT(Said, (), (said, origin))

struct Limits {
  std::uint32_t most = 1000;
};
BOOST_DESCRIBE_STRUCT(Limits, (), (most))
constexpr auto gantry_fields(const Limits*) { return fields(field(&Limits::most, "ticks of a count").max(10'000)); }
struct Settings {
  std::string ending = "!";
  std::optional<std::string> refuse;
  std::vector<std::string> words;
  Limits limits;
};
BOOST_DESCRIBE_STRUCT(Settings, (), (ending, refuse, words, limits))
constexpr auto gantry_fields(const Settings*) {
  return fields(field(&Settings::ending, "what follows what is said").max_length(3));
}

struct CountParams {
  std::uint32_t to = 3;
};
BOOST_DESCRIBE_STRUCT(CountParams, (), (to))
struct Tick {
  std::uint32_t n = 0;
};
BOOST_DESCRIBE_STRUCT(Tick, (), (n))

Said shout(const SayParams& params) { return {params.text + "!", {}}; }

class Typed {
 public:
  explicit Typed(Host host) : host_(std::move(host)) {}

  // The plugin's own thread hands what it is told to whoever asks.
  Result<void> start(const PluginConfig& config, const Settings& settings) {
    if (settings.refuse) return fail(ErrorKind::unavailable, *settings.refuse);
    reconfigure(config, settings);
    auto started = PluginThread::start(host_, "typed-own-thread-with-a-long-name",
                                       [rx = std::move(told_.rx), this](const CancelToken& token) mutable {
                                         char name[16] = {};
                                         (void)pthread_getname_np(pthread_self(), name, sizeof name);
                                         while (auto reply = rx.recv({.until = {}, .token = token}))
                                           (void)reply->send(name);
                                         test::wait_until_cancelled(token);
                                         host_.log(Level::info, "the thread has ended");
                                       },
                                       {.real_time_priority = 1});
    if (!started) return std::unexpected(started.error());
    thread_ = std::move(*started);
    return {};
  }
  void reconfigure(const PluginConfig&, const Settings& settings) { settings_ = settings; }
  Said ending() { return {settings_.ending, {}}; }
  Result<Said> thread_name() {
    auto [reply, answer] = oneshot::channel<std::string>();
    if (auto sent = told_.tx.send(std::move(reply)); !sent) return std::unexpected(sent.error());
    return Said{answer.recv().value_or(""), {}};
  }

  Result<Said> say(const SayParams& params) {
    if (params.text == "nothing") return fail(ErrorKind::not_found, "there is nothing to say");
    Said out;
    for (int i = 0; i < params.times; ++i) out.said += params.text;
    return out;
  }
  Said with_call(const SayParams& params, const Call& call) const { return {params.text, call.origin()}; }
  void nothing() {}
  Result<void> maybe(const SayParams& params) {
    if (params.times > 1) return fail(ErrorKind::conflict, "once is enough");
    return {};
  }
  void later(SayParams params, Call call) {
    auto held = std::make_shared<Call>(std::move(call));
    (void)host_.post([held, text = std::move(params.text)] { held->reply(to_json(Said{text, {}})); });
  }
  Result<Said> count(const CountParams& params, Stream<Tick>& stream) {
    for (std::uint32_t i = 0; i < params.to; ++i) {
      if (auto sent = stream.item({i}); !sent) return std::unexpected(sent.error());
    }
    return Said{"done", {}};
  }

  Result<Said> pooled_count(const CountParams& params, Stream<Tick>& stream) {
    for (std::uint32_t i = 0; i < params.to; ++i) {
      if (auto sent = stream.send({i}); !sent) return std::unexpected(sent.error());
      ++counted_;
    }
    return Said{"done", {}};
  }
  Said counted() { return {std::to_string(counted_), {}}; }
  // Waits until it is cancelled; then says so. Before that it says that it runs.
  Result<Said> pooled_wait(Call& call) {
    call.progress("runs");
    test::wait_until_cancelled(call.cancel_token());
    host_.log(Level::info, "the wait has ended");
    return Said{call.cancelled() ? "cancelled" : "not cancelled", {}};
  }
  // Until it is released; or cancelled, unless it is to be stubborn.
  Said pooled_hold(const SayParams& params, Call& call) {
    call.progress("runs");
    const CancelToken token = params.text == "stubborn" ? CancelToken() : call.cancel_token();
    std::unique_lock lock(hold_);
    return {changed_.wait(lock, token, [this] { return released_; }) ? "released" : "cancelled", {}};
  }
  void release() {
    {
      const std::lock_guard lock(hold_);
      released_ = true;
    }
    changed_.notify_all();
  }
  Result<Said> pooled_fail(Call& call) {
    const int run = ++runs_;
    call.progress("run " + std::to_string(run));
    if (run <= call.params().value("fails", 0)) return fail(ErrorKind::conflict, "it fails");
    return Said{"at last", {}};
  }
  // Has the host run one of its methods in the background: {name, method, params, restart, deadline_ms}.
  void task(Call call) {
    const json params = call.params();
    BackgroundTask task{.name = params.value("name", ""), .method = params.value("method", "")};
    task.params = params.value("params", json::object());
    if (params.value("restart", "") == "on_failure") task.restart = BackgroundTask::Restart::on_failure;
    if (params.value("restart", "") == "always") task.restart = BackgroundTask::Restart::always;
    if (const auto ms = params.value("deadline_ms", 0); ms > 0) task.deadline = std::chrono::milliseconds(ms);
    pass_on(std::move(call), [&](auto done) { return run_task(host_, task, std::move(done)); });
  }
  void end_task(Call call) {
    const std::string name = call.params().value("name", "");
    pass_on(std::move(call), [&](auto done) { return stop_task(host_, name, std::move(done)); });
  }
  template <class F>
  void pass_on(Call call, F make) {
    auto held = std::make_shared<Call>(std::move(call));
    const Result<void> made = make([held](Result<void> done) {
      held->reply(done ? Result<json>(json::object()) : std::unexpected(std::move(done.error())));
    });
    if (!made) held->reply_error(made.error());
  }
  Said pooled_throw() { throw std::runtime_error("thrown on the pool"); }
  // On the plugin's own thread send() cannot wait.
  Result<Said> sends_serially(const CountParams& params, Stream<Tick>& stream) { return pooled_count(params, stream); }
  // Learns of its cancelling while it runs on the plugin's own thread. Params that it must have keep it from that where
  // they are wrong: a check waits long for the thread then.
  Result<Said> spins(const SayParams&, const Call& call) const {
    host_.log(Level::info, "spins");
    (void)test::polled([&] { return call.cancelled(); });
    return Said{"heard", {}};
  }

  static void define(Definition<Typed>& d) {
    d.id("typed").version("1.0.0").service("typed");
    d.method("typed.say", &Typed::say,
             {.summary = "Says it",
              .errors = {ErrorKind::not_found},
              .idempotent = true,
              .tool = Tool{.title = "Say", .read_only = true, .open_world = false}});
    d.method("typed.ending", &Typed::ending);
    d.method("typed.with_call", &Typed::with_call).method("typed.nothing", &Typed::nothing);
    d.method("typed.maybe", &Typed::maybe).method("typed.later", &Typed::later);
    d.method("typed.shout", &shout).method("typed.lambda", [](Typed& self, const SayParams& params) {
      return self.say(params);
    });
    d.method("typed.count", &Typed::count).method("typed.spins", &Typed::spins);
    d.method("typed.sends_serially", &Typed::sends_serially);
    d.method("typed.thread_name", &Typed::thread_name);
    d.method("typed.counted", &Typed::counted);
    d.method("typed.pooled_count", on_pool(&Typed::pooled_count)).method("typed.pooled_say", on_pool(&Typed::say));
    d.method("typed.pooled_hold", on_pool(&Typed::pooled_hold)).method("typed.release", &Typed::release);
    d.method("typed.pooled_wait", on_pool(&Typed::pooled_wait))
        .method("typed.pooled_throw", on_pool(&Typed::pooled_throw));
    d.method("typed.pooled_fail", on_pool(&Typed::pooled_fail));
    d.method("typed.task", &Typed::task).method("typed.end_task", &Typed::end_task);
  }

 private:
  Host host_;
  Settings settings_;
  std::atomic<int> runs_{0};
  std::atomic<std::uint64_t> counted_{0};
  std::mutex hold_;
  std::condition_variable_any changed_;
  bool released_ = false;
  mpsc::Channel<oneshot::Sender<std::string>> told_ = mpsc::channel<oneshot::Sender<std::string>>(4);
  PluginThread thread_;
};

}  // namespace

GANTRY_PLUGIN(Typed)
