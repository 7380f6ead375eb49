// SPDX-License-Identifier: Apache-2.0
//
// host/processes/launcher.hpp: the helper processes of plugins (`process.*`): language servers,
// say. A plugin with the grant `processes` has them started, under a profile of their own, and gets
// the descriptors that lead to them. It need not, and in a process of its own cannot, start one
// itself.
//
// A helper belongs to its plugin and a name. It outlives the instance that asked for it: an instance that asks for the
// same name and command while it runs is handed the same one (`warm`). Nothing of it outlives the host, however that
// ends, nor its own main process (helper_guard.hpp).
//
// Thread rule: any thread; nothing blocks but stop() and the destructor, which comes after the
// workers and the pool have ended. mutex_ is a leaf: nothing is called under it but the timers.
// An instance may leave a note with a helper, for the one that comes after its own death: it goes with the answer that
// hands the helper out. What an instance in the host's process has noted goes when it leaves, since a thread of it may
// still speak with the helper.
//
// Bounds: LauncherLimits of helpers (`overloaded`); a helper that no instance claims any more is
// killed after kUnclaimed; of each plugin the ends of the last kEnded are remembered for process.wait.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/worker_pool.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/bus/event_bus.hpp"
#include "host/calls/call.hpp"
#include "host/observe/log.hpp"
#include "host/plugins/library/manifest.hpp"
#include "host/processes/helper.hpp"
#include "host/runtime/spawner.hpp"
#include "host/runtime/timers.hpp"
#include "host/runtime/workers.hpp"

namespace gantry::host {

struct LauncherLimits {
  std::size_t per_plugin = 112;  ///< the `lsp` plugin has 96 servers at most, and some that are ending
  std::size_t in_all = 256;
};

struct LauncherDeps {
  Workers& workers;
  Timers& timers;
  Spawner& spawner;
  WorkerPool& pool;
  EventBus& bus;
  Log& log;
  std::filesystem::path program;  ///< `gantry`: the guard of each helper
  /// What this plugin may, `processes` among it. Any thread.
  std::function<Result<Confinement>(const std::string& plugin)> granted;
  LauncherLimits limits{};
};

class Launcher {
 public:
  static constexpr std::size_t kEnded = 64;
  static constexpr std::size_t kMaxNote = std::size_t{64} << 10;
  static constexpr Duration kUnclaimed = std::chrono::seconds(60);

  explicit Launcher(LauncherDeps deps) : deps_(std::move(deps)) {}
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;
  ~Launcher();

  [[nodiscard]] static std::vector<ManifestMethod> methods();
  /// One of methods(). `permission_denied`: its origin is no plugin with the grant `processes`.
  void call(const CallRequest& request, const std::shared_ptr<CallSink>& sink);

  /// An instance of `plugin` makes calls under this origin, from now on and until it has left. `own_process`: nothing
  /// of it runs any more then.
  void join(OriginId origin, const std::string& plugin, bool own_process);
  void leave(OriginId origin);
  /// Whose instance calls under this origin.
  [[nodiscard]] std::optional<std::string> plugin_of(OriginId origin) const;

  /// No helper is started any more; kills all of them. False: some had not ended within `budget`.
  bool stop(Duration budget);

 private:
  using Key = std::pair<std::string, std::string>;  ///< plugin, name
  struct Waiting {
    OriginId origin;
    std::shared_ptr<CallSink> sink;
    TimerKey deadline = 0;
  };
  /// Under the launcher's lock, but for the name of its plugin.
  struct Entry {
    std::string name;
    HelperCommand command;
    std::shared_ptr<Helper> helper;  ///< none: it is being started
    std::vector<Waiting> starters;   ///< the first one has it started, the others find it warm
    std::vector<Waiting> waiters;
    std::set<OriginId> claims;
    std::string note;
    TimerKey unclaimed = 0;
    int signal = 0;       ///< as soon as it runs
    bool ending = false;  ///< it is killed
  };
  struct Watch;
  struct Ended {
    std::string name;
    HelperEnd end;
  };
  struct HelperRequest {
    std::string name;
    HelperCommand command;
  };
  struct Caller {
    OriginId origin;
    std::string plugin;
    Confinement granted;
  };
  [[nodiscard]] Result<Caller> caller(const CallRequest& request) const;
  [[nodiscard]] static Result<HelperRequest> parse_request(const CallRequest& request);
  void spawn(const Caller& caller, const CallRequest& request, const std::shared_ptr<CallSink>& sink);
  void started(const Key& key, const std::shared_ptr<Entry>& entry, Result<std::shared_ptr<Helper>> helper);
  void watch(const Key& key, const std::shared_ptr<Entry>& entry, const std::shared_ptr<Helper>& helper);
  void ended(const Key& key, const std::shared_ptr<Entry>& entry);
  void unclaimed(const std::shared_ptr<Entry>& entry) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] Result<void> kill(const Caller& caller, const CallRequest& request);
  [[nodiscard]] Result<void> note(const Caller& caller, const CallRequest& request);
  [[nodiscard]] Result<std::string> list(const Caller& caller, const CallRequest& request) const;
  void wait(const Caller& caller, const CallRequest& request, const std::shared_ptr<CallSink>& sink);
  void give_up(const std::weak_ptr<Entry>& entry, const std::shared_ptr<CallSink>& sink);
  void remember(const Key& key, const HelperEnd& end) GANTRY_REQUIRES(mutex_);

  const LauncherDeps deps_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  struct Member {
    std::string plugin;
    bool own_process;
  };
  std::map<OriginId, Member> plugins_ GANTRY_GUARDED_BY(mutex_);
  std::map<Key, std::shared_ptr<Entry>> entries_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::string, std::deque<Ended>> ended_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
