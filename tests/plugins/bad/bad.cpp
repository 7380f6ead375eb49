// SPDX-License-Identifier: Apache-2.0
//
// A plugin that does wrong in every way that is known, when it is told to. It is no part of the product.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <gantry/plugin.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace gantry;

namespace {

// NOLINTBEGIN(misc-no-recursion): that is the point
[[gnu::noinline]] int deeper(volatile char* above) {
  volatile char here[4096];
  here[0] = above == nullptr ? 'x' : above[0];
  return here[0] == 'y' ? 0 : deeper(here) + here[0];
}
// NOLINTEND(misc-no-recursion)

class Bad {
 public:
  explicit Bad(Host host) : host_(std::move(host)) {}

  // "crashes only on every third load"
  Result<void> start(const PluginConfig& config) {
    if (!config.settings.value("third", false)) return {};
    const std::string file = config.state_dir + "/loads";
    std::ofstream(file, std::ios::app) << 'x' << std::flush;
    std::ifstream in(file);
    const std::string loads((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (loads.size() % 3 == 0) std::abort();
    return {};
  }

  // What ends a process.
  void segfault(Call) { *static_cast<volatile int*>(nullptr) = 1; }  // NOLINT: on purpose
  void aborts(Call) { std::abort(); }
  void exits(Call) { std::_Exit(3); }
  void overflows(Call) { (void)deeper(nullptr); }
  void allocates(Call) {
    while (true) {
      constexpr std::size_t kBlock = std::size_t{8} << 20;
      auto* const block = static_cast<char*>(std::malloc(kBlock));  // NOLINT: never freed
      if (block == nullptr) std::abort();
      std::memset(block, 1, kBlock);
    }
  }

  // What never comes back.
  void spins(Call) {
    for (volatile bool on = true; on;) {
    }
  }
  void deadlocks(Call) {
    std::timed_mutex mutex;
    mutex.lock();
    while (!mutex.try_lock_for(std::chrono::hours(1))) {
    }
  }
  void blocks(Call) { std::this_thread::sleep_for(std::chrono::minutes(1)); }

  // What breaks its word.
  void throws(Call) { throw std::runtime_error("thrown on purpose"); }
  void throws_a_number(Call) { throw 7; }  // NOLINT: on purpose
  void answers_twice(Call call) {
    answer(call.id(), R"("first")");
    call.reply(json("second"));
  }
  void never(Call call) {
    const auto id = call.id();
    held_[id] = std::make_shared<Call>(std::move(call));
  }
  // Answers all that `never` holds, though nobody may wait any more.
  Result<json> late(Call&) {
    const auto count = held_.size();
    for (auto& [id, call] : held_) call->reply(json("late"));
    held_.clear();
    return json{{"answered", count}};
  }
  Result<json> holds(Call&) { return held_.size(); }
  // Answers the calls around its own.
  Result<json> others(Call& call) {
    json said = json::object();
    for (std::uint64_t id = 0; id < call.id() + 100; ++id) {
      if (id == call.id() || held_.contains(id)) continue;
      if (answer(id, R"("not yours")") == GANTRY_OK) said["taken"] = id;
    }
    said["own bit"] = answer(GANTRY_OWN_CALL | 5U, "1");
    return said;
  }
  Result<json> garbage(Call& call) {
    json statuses = json::array();
    const auto send = [&](const gantry_msg& msg) { statuses.push_back(host_.raw()->send(host_.raw()->ctx, &msg)); };
    for (const int kind : {0, 1, 8, 9, 77, 0xFFFF}) {
      auto msg = detail::make_msg(GANTRY_ITEM, call.id());
      msg.kind = static_cast<std::uint16_t>(kind);
      send(msg);
    }
    auto msg = detail::make_msg(GANTRY_ITEM, call.id());
    msg.size = 3;
    send(msg);
    msg.size = sizeof msg;
    msg.encoding = 99;
    send(msg);
    msg.encoding = GANTRY_JSON;
    for (const std::string_view text : {"", "{", "\xff\xfe", "[1,]", "nul"}) {
      msg.payload = detail::to_bytes(text);
      send(msg);
    }
    const std::string deep(2000, '[');
    msg.payload = detail::to_bytes(deep);
    send(msg);
    const std::string large = "\"" + std::string(std::size_t{9} << 20, 'x') + "\"";
    msg.payload = detail::to_bytes(large);
    send(msg);
    msg = detail::make_msg(GANTRY_EVENT, 0);
    msg.payload = detail::to_bytes("{}");
    for (const std::string_view topic : {"", "..", "host.status", "not.in.the.manifest", "\xff"}) {
      msg.topic = detail::to_bytes(topic);
      send(msg);
    }
    return statuses;
  }
  // More of everything than anybody takes.
  Result<json> floods(Call&) {
    for (int i = 0; i < 11'000; ++i) {
      (void)host_.after(std::chrono::hours(1), [] {});
      (void)answer(static_cast<std::uint64_t>(i), "1");
      if (i % 9 != 0) continue;
      (void)host_.post([] {});
      (void)host_.publish("bad.noise", json{{"i", i}});
      (void)host_.call("bad.never", json::object(), {}, nullptr);
      host_.log(Level::info, "noise " + std::string(100, 'x'));
    }
    return json::object();
  }

  // What reaches outside of it.
  Result<json> forks(Call&) {
    const pid_t child = ::fork();
    if (child == 0) {
      while (true) ::pause();  // and holds whatever it was given
    }
    return json{{"pid", child}};
  }
  // Those of 0 to 2 too; in the host itself this would be the host's end.
  Result<json> closes(Call&) {
    for (int fd = 0; fd < 256; ++fd) (void)::close(fd);
    return json::object();
  }
  Result<json> leaves_threads(Call&) {
    for (int i = 0; i < 4; ++i) {
      std::thread([host = host_] {
        while (true) {
          host.log(Level::trace, "still here");
          std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
      }).detach();
    }
    return json::object();
  }
  Result<json> fine(Call&) { return "fine"; }
  void event(std::string_view, const json&) { throw std::runtime_error("an event is too much"); }

  static void define(Definition<Bad>& d) {
    d.id("bad").version("1.0.0").service("bad").settings("bad").publishes("bad.*").subscribes("to_bad.*");
    d.grant("processes");
    d.method("bad.segfault", &Bad::segfault).method("bad.aborts", &Bad::aborts).method("bad.exits", &Bad::exits);
    d.method("bad.overflows", &Bad::overflows).method("bad.allocates", &Bad::allocates);
    d.method("bad.spins", &Bad::spins).method("bad.deadlocks", &Bad::deadlocks).method("bad.blocks", &Bad::blocks);
    d.method("bad.throws", &Bad::throws).method("bad.throws_a_number", &Bad::throws_a_number);
    d.method("bad.answers_twice", &Bad::answers_twice).method("bad.never", &Bad::never).method("bad.late", &Bad::late);
    d.method("bad.others", &Bad::others).method("bad.garbage", &Bad::garbage).method("bad.floods", &Bad::floods);
    d.method("bad.forks", &Bad::forks).method("bad.closes", &Bad::closes);
    d.method("bad.holds", &Bad::holds);
    d.method("bad.leaves_threads", &Bad::leaves_threads).method("bad.fine", &Bad::fine);
  }

 private:
  std::int32_t answer(std::uint64_t id, std::string_view payload) {
    auto msg = detail::make_msg(GANTRY_RESPONSE, id);
    msg.payload = detail::to_bytes(payload);
    return host_.raw()->send(host_.raw()->ctx, &msg);
  }
  Host host_;
  std::map<std::uint64_t, std::shared_ptr<Call>> held_;
};

}  // namespace

GANTRY_PLUGIN(Bad)
