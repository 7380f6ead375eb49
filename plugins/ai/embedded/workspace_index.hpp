// SPDX-License-Identifier: Apache-2.0
//
// embedded/workspace_index.hpp: learns the workspaces, one after the other, on a thread of its own.
//
// While a workspace is read, the model so far is published each time it has doubled, so that early
// requests get answers; all this costs at most twice one sort. The thread has a low priority and
// sleeps when nothing is left to learn. A workspace that is named again after it was dropped is
// learned anew.
//
// Thread rule: set_workspaces and stop from one thread; find and list from any. The callbacks are
//   called on the index's thread, without a lock, and not after stop() has returned; those for a
//   workspace that cannot be learned are called by set_workspaces.
// Bounds: Limits; kMaxWorkspaces at once; further ones are not learned, which list() and the log
//   report.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin/host.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "plugins/ai/embedded/suffix_model.hpp"
#include "plugins/ai/embedded/walk.hpp"

namespace gantry::ai {

/// The model of one workspace so far.
struct Learned {
  std::shared_ptr<const SuffixModel> model;  ///< null: there is none yet
  bool ready = false;                        ///< the whole workspace is learned
};

struct IndexProgress {
  std::string workspace;
  std::size_t files = 0;
  std::size_t skipped = 0;
  std::size_t tokens = 0;
  bool done = false;
  bool truncated = false;  ///< a limit left files out
  double seconds = 0;
  std::string refused;  ///< why the workspace is not learned; else empty
};

class WorkspaceIndex {
 public:
  static constexpr std::size_t kMaxWorkspaces = 16;
  static constexpr Duration kProgressEvery = std::chrono::milliseconds(500);

  struct Hooks {
    std::function<void(const IndexProgress&)> progress;
    std::function<TimePoint()> now;
    std::function<void(Level, const std::string&)> log;
  };

  explicit WorkspaceIndex(Hooks hooks) : hooks_(std::move(hooks)) {}
  WorkspaceIndex(const WorkspaceIndex&) = delete;
  WorkspaceIndex& operator=(const WorkspaceIndex&) = delete;
  ~WorkspaceIndex() { stop(); }

  /// Learns new workspaces and forgets those that are not named. Starts the thread when there is
  /// something to do.
  void set_workspaces(const std::vector<std::string>& folders, std::size_t max_tokens);
  /// Abandons the present work and joins the thread.
  void stop();

  /// The known workspace that is `path` or the innermost one that contains it; empty: none.
  [[nodiscard]] std::string around(std::string_view path) const;
  [[nodiscard]] Learned find(const std::string& workspace) const;
  /// The last progress of each workspace, then the workspaces that are not learned.
  [[nodiscard]] std::vector<IndexProgress> list() const;

 private:
  struct Entry {
    Learned learned;
    IndexProgress progress;
  };
  // The work of the thread.
  struct Task;

  void run();
  void learn(const std::string& workspace, std::size_t max_tokens);
  void publish(Task& task, Corpus corpus, bool done);
  void report(Task& task, bool force);

  Hooks hooks_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Entry> entries_ GANTRY_GUARDED_BY(mutex_);
  std::vector<IndexProgress> refused_ GANTRY_GUARDED_BY(mutex_);  // bounded by the host's limit on workspaces
  std::vector<std::string> queue_ GANTRY_GUARDED_BY(mutex_);
  std::string current_ GANTRY_GUARDED_BY(mutex_);
  std::size_t max_tokens_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool quit_ GANTRY_GUARDED_BY(mutex_) = false;
  std::atomic<bool> abandon_{false};  // the present task is not wanted any more
  std::thread thread_;
};

}  // namespace gantry::ai
