// SPDX-License-Identifier: Apache-2.0
//
// host/processes/launcher.hpp: the helper processes of plugins (`process.*`), such as language
// servers. The launcher starts them for a plugin with the grant `processes`, under a profile of
// their own, and gives the plugin the descriptors that are connected to them. A plugin in a process
// of its own cannot start a process itself.
//
// A helper belongs to a plugin and has a name. It outlives the instance that asked for it: an
// instance that asks for the same name and command while the helper runs receives the same helper
// (`warm`). No process of a helper outlives the host, however the host ends, nor the helper's main
// process (helper_guard.hpp).
//
// Thread rule: any thread; nothing blocks but stop() and the destructor, which comes after the
// workers and the pool have ended. mutex_ is a leaf: nothing is called under it but the timers.
// Notes: an instance may leave a note with a helper, for the instance that comes after its death;
// that one receives it with the helper. The note of an instance in the host's process is dropped
// when it leaves, because a thread of it may still use the helper.
//
// Bounds: LauncherLimits of helpers (`overloaded`); a helper that no instance claims any more is
// killed after kUnclaimed; of each plugin the ends of the last kEnded are remembered for
// process.wait.
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
  std::size_t per_plugin = 112;  ///< the `lsp` plugin has at most 96 servers, and some that are ending
  std::size_t in_all = 256;
};

struct LauncherDeps {
  Workers& workers;
  Timers& timers;
  Spawner& spawner;
  WorkerPool& pool;
  EventBus& bus;
  Log& log;
  std::filesystem::path program;  ///< `gantry`, which is also the guard of each helper
  /// The rights that this plugin was granted, `processes` included. Any thread.
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
  /// Answers one of methods(). `permission_denied`: the origin is no plugin with the grant
  /// `processes`.
  void call(const CallRequest& request, const std::shared_ptr<CallSink>& sink);

  /// An instance of `plugin` makes calls under this origin, from now on until leave().
  /// `own_process`: no code of the instance runs after that.
  void join(OriginId origin, const std::string& plugin, bool own_process);
  void leave(OriginId origin);
  /// The plugin whose instance calls under this origin.
  [[nodiscard]] std::optional<std::string> plugin_of(OriginId origin) const;

  /// Starts no more helpers, and kills all. False: some had not ended within `budget`.
  bool stop(Duration budget);

 private:
  using Key = std::pair<std::string, std::string>;  ///< plugin, name of the helper
  struct Waiting {
    OriginId origin;
    std::shared_ptr<CallSink> sink;
    TimerKey deadline = 0;
  };
  /// Guarded by the launcher's lock, except for the name of its plugin.
  struct Entry {
    std::string name;
    HelperCommand command;
    std::shared_ptr<Helper> helper;  ///< nullptr: it is being started
    std::vector<Waiting> starters;   ///< the first caller has it started, the others find it warm
    std::vector<Waiting> waiters;
    std::set<OriginId> claims;
    std::string note;
    TimerKey unclaimed = 0;
    int signal = 0;       ///< to be sent as soon as it runs
    bool ending = false;  ///< it was killed
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
