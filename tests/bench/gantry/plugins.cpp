// SPDX-License-Identifier: Apache-2.0
//
// Calls with 64 bytes of params, from a worker of the host to a plugin and back to that worker.
#include "tests/bench/gantry/plugins.hpp"

#include <time.h>

#include <gantry/channel/oneshot.hpp>

#include "host/plugins/plugin.hpp"

namespace {

using namespace plugins;
using peer::Timer;
using peer::u64;
using Clock = std::chrono::steady_clock;

const std::string kParams = R"({"n":123456789,"text":"the quick brown fox jumps over the lazy"})";

/// So many calls at once until all are made; each is begun where the answer to one before came, on the worker.
class Load {
 public:
  /// `router`: they go through it; else to the plugin itself.
  Load(Plugin& plugin, Router* router, Worker& worker, std::string method, u64 depth, u64 ops)
      : plugin_(plugin),
        router_(router),
        worker_(worker),
        method_(std::move(method)),
        depth_(std::min(depth, ops)),
        left_(ops) {}

  void run(Timer* timer) {
    timer_ = depth_ == 1 ? timer : nullptr;
    auto [over, wait] = oneshot::channel<bool>();
    over_ = std::move(over);
    open_ = depth_;
    left_ -= depth_;
    worker_.post([this] {
      for (u64 i = 0; i < depth_; ++i) begin(std::make_shared<Slot>(*this));
    });
    (void)wait.recv();
  }

 private:
  struct Slot final : CallSink, std::enable_shared_from_this<Slot> {
    explicit Slot(Load& l) : load(l) {}
    void item(std::string_view /*payload*/) override {}
    void item_end() override {}
    void credit(std::uint32_t /*items*/) override {}
    void progress(std::string_view /*payload*/) override {}
    void answered(Result<Answer> answer) override {
      if (!answer || answer->text != kParams) peer::wrong("a wrong answer");
      if (Worker::current() == &load.worker_) return load.next(shared_from_this());
      load.worker_.post([self = shared_from_this()] { self->load.next(self); });
    }
    Load& load;
    Clock::time_point begun;
  };
  void begin(const std::shared_ptr<Slot>& slot) {
    if (timer_ != nullptr) slot->begun = Clock::now();
    CallRequest request;
    request.method = method_;
    request.params = kParams;
    request.origin = 1;
    if (router_ != nullptr) {
      (void)router_->call(std::move(request), slot);
    } else {
      (void)plugin_.open(new WithSink<PluginCall>(std::move(request), slot));
    }
  }
  // On the worker.
  void next(const std::shared_ptr<Slot>& slot) {
    if (timer_ != nullptr) timer_->sample(std::chrono::duration<double, std::nano>(Clock::now() - slot->begun).count());
    if (left_ > 0) {
      --left_;
      begin(slot);
    } else if (--open_ == 0) {
      (void)over_->send(true);
    }
  }

  Plugin& plugin_;
  Router* const router_;
  Worker& worker_;
  const std::string method_;
  const u64 depth_;
  u64 left_;
  u64 open_ = 0;
  Timer* timer_ = nullptr;
  std::optional<oneshot::Sender<bool>> over_;
};

[[nodiscard]] double cpu_of(std::optional<int> pid) {
  clockid_t clock{};
  timespec time{};
  if (!pid || ::clock_getcpuclockid(*pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

struct Mode {
  const char* name;
  const char* plugin;
  const char* file;
  bool child;
  const char* note;
  bool routed = false;
};

u64 calls(const Mode& mode, u64 depth, u64 ops, Timer& timer) {
  RunningHost running([&](Config& c) { use(c, mode.plugin, kPlugins / (std::string(mode.file) + ".so"), mode.child); });
  const auto plugin = running.plugin(mode.plugin);
  auto& worker = running.daemon().workers().first();
  const std::string method = std::string(mode.plugin) + ".echo";
  Router* const router = mode.routed ? &running.daemon().router() : nullptr;
  Load(*plugin, router, worker, method, depth, 1000).run(nullptr);
  const double before = cpu_of(plugin->pid());
  Load load(*plugin, router, worker, method, depth, ops);
  timer.start();
  load.run(&timer);
  timer.stop();
  timer.cpu_seconds += cpu_of(plugin->pid()) - before;
  return ops;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr Mode kModes[] = {
      {"thread", "echo_thread", "echo_thread", false, "a plugin with a thread of its own, behind the C ABI"},
      {"nonblocking", "echo", "echo_plugin", false, "a plugin on the worker that calls it, behind the C ABI"},
      {"nonblocking+router", "echo", "echo_plugin", false, "through the router: permit, deadline, counts", true},
      {"child", "echo", "echo_plugin", true, "a plugin in a confined process; CPU of both, memory of the host"},
      {"child+thread", "echo_thread", "echo_thread", true, "with a thread of its own there"},
  };
  auto all = ::plugin_life();
  for (const auto& mode : kModes) {
    all.push_back({std::string("plugin.call.") + mode.name, mode.note,
                   [mode](u64 ops, Timer& timer) { return calls(mode, 1, ops, timer); }});
    all.push_back({std::string("plugin.depth256.") + mode.name, std::string(mode.note) + "; 256 calls at once",
                   [mode](u64 ops, Timer& timer) { return calls(mode, 256, ops, timer); }});
  }
  return peer::run(all, argc, argv);
}
