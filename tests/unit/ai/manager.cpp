// SPDX-License-Identifier: Apache-2.0
//
// The worker by itself: its channel, its oneshots, and what is left when it is gone.
#include <catch2/catch.hpp>

#include "plugins/ai/dispatcher.hpp"
#include "plugins/ai/model_manager.hpp"
#include "tests/unit/ai/fault_server.hpp"

using namespace gantry;
using namespace gantry::ai;

namespace {

struct Started {
  Result<void> sent;
  Inlet inlet;
};

Target embedded() {
  auto provider = std::make_shared<ProviderConfig>();
  provider->kind = ProviderKind::embedded;
  return Target{"embedded", provider, "embedded"};
}

Target at(const std::string& url) {
  auto provider = std::make_shared<ProviderConfig>();
  provider->name = "local";
  provider->base_url = url;
  return Target{"m", provider, "m"};
}

Started start(ModelManager& manager, Target target, std::function<void()> notify = [] {}) {
  auto job = std::make_shared<Job>();
  job->prefix = "one two one two one ";
  auto channel = attempt_channel(std::move(notify));
  auto sent = manager.start(StartAttempt{job, std::move(target), std::move(channel.outlet)});
  return Started{std::move(sent), std::move(channel.inlet)};
}

// As much of a host as a request needs: it keeps what is sent, and runs what is posted when the test says so.
class SmallHost {
 public:
  SmallHost() {
    host_.size = sizeof host_;
    host_.ctx = this;
    host_.send = [](void* ctx, const gantry_msg* msg) -> std::int32_t {
      Lock lock(self(ctx).mutex_);
      if (msg->kind == GANTRY_RESPONSE) {
        self(ctx).answers_.emplace_back(static_cast<ErrorKind>(msg->status), gantry::detail::to_view(msg->payload));
      }
      return GANTRY_OK;
    };
    host_.post = [](void* ctx, void (*fn)(void*), void* arg) -> std::int32_t {
      Lock lock(self(ctx).mutex_);
      self(ctx).posted_.emplace_back(fn, arg);
      return GANTRY_OK;
    };
    host_.log = [](void*, std::int32_t, gantry_bytes) {};
    host_.cancelled = [](void*, std::uint64_t) -> std::int32_t { return 0; };
    host_.extension = [](void*, const char*) -> const void* { return nullptr; };
  }
  SmallHost(const SmallHost&) = delete;
  SmallHost& operator=(const SmallHost&) = delete;
  ~SmallHost() { (void)run_posted(); }

  [[nodiscard]] Host host() { return Host(&host_); }
  [[nodiscard]] Call call(std::uint64_t id) {
    return Call(std::make_shared<gantry::detail::CallState>(host(), gantry::detail::make_msg(GANTRY_CALL, id)));
  }
  // False: nothing was posted.
  bool run_posted() {
    std::vector<std::pair<void (*)(void*), void*>> posted;
    {
      Lock lock(mutex_);
      posted.swap(posted_);
    }
    for (const auto& [fn, arg] : posted) fn(arg);
    return !posted.empty();
  }
  [[nodiscard]] std::vector<std::pair<ErrorKind, std::string>> answers() {
    Lock lock(mutex_);
    return answers_;
  }

 private:
  static SmallHost& self(void* ctx) { return *static_cast<SmallHost*>(ctx); }
  gantry_host host_{};
  Mutex mutex_;
  std::vector<std::pair<void (*)(void*), void*>> posted_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::pair<ErrorKind, std::string>> answers_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace

TEST_CASE("ai worker: each command gets its own outcome through its own oneshot") {
  ModelManager manager([](Level, const std::string&) {}, {});
  std::vector<Started> started;
  for (int i = 0; i < 50; ++i) started.push_back(start(manager, embedded()));
  for (auto& one : started) {
    CAPTURE(&one - started.data());
    REQUIRE(one.sent);
    const auto outcome = one.inlet.answer.recv();
    REQUIRE(outcome);
    REQUIRE(*outcome);
    REQUIRE((**outcome)["text"].get<std::string>().starts_with("two"));
  }
}

TEST_CASE("ai worker: when it is gone, new commands are refused and say so") {
  ModelManager manager([](Level, const std::string&) {}, {});
  manager.shutdown();
  const auto late = start(manager, embedded());
  REQUIRE(!late.sent);
  REQUIRE(late.sent.error().kind == ErrorKind::unavailable);
  REQUIRE(json::parse(late.sent.error().data)["reason"] == "worker_channel_closed");
}

TEST_CASE("ai worker: when it goes, open attempts see their oneshot closed, which is no time-out") {
  fault::Server server({{fault::hold()}});
  ModelManager manager([](Level, const std::string&) {}, {});
  std::atomic<int> notified{0};
  auto open = start(manager, at(server.url()), [&] { ++notified; });
  server.wait_holding(1);
  manager.shutdown();
  REQUIRE(open.inlet.answer.recv_for(std::chrono::seconds(1)).error().kind == ErrorKind::unavailable);
  REQUIRE(open.inlet.items.drained());
  REQUIRE(notified == 1);
  server.wait_disconnects(1);
}

TEST_CASE("ai worker: requests that it leaves behind, and those that come later, answer worker_channel_closed") {
  fault::Server server({{fault::hold()}});
  SmallHost host;
  ModelManager manager([](Level, const std::string&) {}, {});
  Dispatcher dispatcher(host.host(), manager);
  const auto job = std::make_shared<Job>();
  dispatcher.submit(host.call(1), job, {at(server.url())});
  server.wait_holding(1);
  REQUIRE(host.answers().empty());
  manager.shutdown();
  REQUIRE(host.run_posted());
  dispatcher.submit(host.call(2), job, {at(server.url())});
  const auto answers = host.answers();
  REQUIRE(answers.size() == 2);
  for (const auto& [kind, payload] : answers) {
    CAPTURE(kind, payload);
    REQUIRE(kind == ErrorKind::unavailable);
    REQUIRE(json::parse(payload)["data"]["reason"] == "worker_channel_closed");
  }
}

TEST_CASE("ai worker: an attempt whose control says cancelled is dropped") {
  fault::Server server({{fault::hold()}});
  ModelManager manager([](Level, const std::string&) {}, {});
  auto open = start(manager, at(server.url()));
  server.wait_holding(1);
  open.inlet.control->cancelled.store(true);
  manager.wake();
  server.wait_disconnects(1);
  REQUIRE(!open.inlet.answer.recv());
}

TEST_CASE("ai worker: a machine that does not answer cannot be reached, and may be asked again") {
  const fault::Blackhole hole;
  Target target = at(hole.url());
  auto provider = std::make_shared<ProviderConfig>(*target.provider);
  REQUIRE(provider->connect_timeout == std::chrono::seconds(5));
  provider->connect_timeout = std::chrono::milliseconds(20);
  target.provider = provider;
  ModelManager manager([](Level, const std::string&) {}, {});
  auto started = start(manager, target);
  REQUIRE(started.sent);
  const auto outcome = started.inlet.answer.recv();
  REQUIRE(outcome);
  REQUIRE(!*outcome);
  REQUIRE(outcome->error().retryable);
  REQUIRE(outcome->error().error.message.find("cannot be reached") != std::string::npos);
}
