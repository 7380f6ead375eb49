// SPDX-License-Identifier: Apache-2.0
//
// host/processes/key_commands.hpp: runs the `api_key_command` of a provider for the plugin that
// receives the table of models (`config.secret`). A plugin in a process of its own could not run
// it, and one inside the host need not: both ask here.
//
// The command is a line for sh from the user's configuration. It has the environment of the host,
// but none of its descriptors; its first line of output is the answer. A plugin that asks for a
// line that runs waits for that run; no output is kept.
//
// Thread rule: any thread; nothing blocks but stop() and the destructor. Each command has a thread
//   that waits for it. mutex_ is a leaf.
// Bounds: kMaxRunning commands at once (`overloaded`), kMaxOutput bytes of output and kTimeout of
//   real time each; then the process group of the command is killed. A command that no plugin waits
//   for any more is killed, too.
// Never: its output is in a log, an event or an error.
#pragma once

#include <chrono>
#include <functional>
#include <gantry/descriptor.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "host/calls/call.hpp"
#include "host/plugins/library/manifest.hpp"
#include "host/runtime/spawner.hpp"
#include "host/trust/plugin_rights.hpp"

namespace gantry::host {

class KeyCommands {
 public:
  static constexpr std::string_view kMethod = kKeyMethod;
  static constexpr std::size_t kMaxRunning = 8;
  static constexpr std::size_t kMaxOutput = 16 * 1024;
  static constexpr Duration kTimeout = std::chrono::seconds(10);
  /// The command line of this provider, if the plugin may ask for it. Any thread.
  using LineOf = std::function<Result<std::string>(OriginId, const std::string& provider)>;

  KeyCommands(Spawner& spawner, LineOf line_of, Duration timeout = kTimeout)
      : spawner_(spawner), line_of_(std::move(line_of)), timeout_(timeout) {}
  KeyCommands(const KeyCommands&) = delete;
  KeyCommands& operator=(const KeyCommands&) = delete;
  ~KeyCommands() { stop(); }

  [[nodiscard]] static ManifestMethod method();
  void call(const CallRequest& request, const std::shared_ptr<CallSink>& sink);
  /// The plugin with this origin has gone: it receives no more answers.
  void leave(OriginId origin);
  /// Refuses further commands, kills those that run, and blocks until all callers are answered.
  void stop();

 private:
  struct Asker {
    OriginId origin;
    std::shared_ptr<CallSink> sink;
  };
  struct Run {
    Run() = default;
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;
    ~Run() {
      if (thread.joinable()) thread.join();
    }
    Descriptor stop;  ///< readable: the run is to end
    std::vector<Asker> askers;
    bool over = false;  ///< its thread touches nothing any more
    std::thread thread;
  };
  using Runs = std::map<std::string, std::unique_ptr<Run>, std::less<>>;
  [[nodiscard]] Result<void> ask(const CallRequest& request, const std::shared_ptr<CallSink>& sink);
  void serve(const std::string& line, Run& run);
  void end(const std::string& line, const Run& run) GANTRY_REQUIRES(mutex_);
  [[nodiscard]] std::vector<std::unique_ptr<Run>> take_over() GANTRY_REQUIRES(mutex_);

  Spawner& spawner_;
  const LineOf line_of_;
  const Duration timeout_;
  mutable Mutex mutex_;
  bool stopping_ GANTRY_GUARDED_BY(mutex_) = false;
  Runs runs_ GANTRY_GUARDED_BY(mutex_);  ///< by their lines: a call for one of these waits for it
  std::vector<std::unique_ptr<Run>> ended_ GANTRY_GUARDED_BY(mutex_);  ///< that end, or have ended; not joined yet
};

}  // namespace gantry::host
