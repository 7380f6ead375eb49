// SPDX-License-Identifier: Apache-2.0
//
// file_watch.hpp: tells one language server of the files that have changed behind its back, if the server has
// registered for them (workspace/didChangeWatchedFiles): a checkout, a generator, an agent that writes.
//
// Compared is what the server knows with what the disk has: a file that came and went between two messages is not told,
// a file that was replaced by renaming another has changed. Within kQuiet of the first change the server is told of all
// changes until then, in messages of at most kMaxInMessage.
//
// Editors that watch files themselves report the same changes. A report that is passed on to the server is not told
// again (reported()); a report of a change that the server was told of is not news (is_news()).
//
// When the kernel has lost changes (its queue overflows), the trees are walked anew, and the files that are missing,
// are new, or have changed since the last time that all was known, are told. So are files that have changed since
// `since` when the watch begins: the server may have read them before. A workspace folder that is gone is looked for
// every kRetry.
//
// Thread rule: all functions for any thread; none blocks. The trees are walked by the worker, for kWalkTime at a time,
// so
//   that other work of the worker need not wait; one folder is never walked in parts.
// Bounds: kMaxFolders, or what the kernel grants: files in further folders are not seen, and the log says so. The paths
//   of kMaxFiles files that the server wants are kept (about 100 bytes each); of further ones it is not known whether
//   they are new, nor, when changes are lost, which of them are gone. kMaxChanges are kept for a server that takes
//   nothing; with more the trees are walked anew later. kMaxRemembered reports; of others the server may be told twice.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <gantry/mutex.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugins/lsp/context.hpp"
#include "plugins/lsp/watch.hpp"
#include "plugins/lsp/watched_globs.hpp"

namespace gantry::lsp {

class FileWatch : public std::enable_shared_from_this<FileWatch> {
 public:
  using WallTime = std::chrono::system_clock::time_point;
  using Files = std::vector<std::pair<std::string, FileChange>>;
  /// Tells the server of at most kMaxInMessage files. Called by the worker. False: the server takes nothing for now,
  /// and go_on() is called when it does.
  using Tell = std::function<bool(const Files& files)>;

  static constexpr std::chrono::milliseconds kQuiet{100};
  static constexpr std::chrono::seconds kEcho{10};  ///< within which editors report what the server was told of
  static constexpr std::chrono::seconds kRetry{5};
  static constexpr std::chrono::milliseconds kWalkTime{20};
  static constexpr std::size_t kMaxInMessage = 1000;
  static constexpr std::size_t kMaxFolders = 65536;
  static constexpr std::size_t kMaxFiles = 300'000;
  static constexpr std::size_t kMaxChanges = 200'000;
  static constexpr std::size_t kMaxRemembered = 4096;
  static constexpr std::size_t kLookBytes = std::size_t{1} << 20;  ///< of the kernel's reports, at a time

  /// `name`: of the server, for the log.
  FileWatch(std::shared_ptr<Context> context, std::string name, Tell tell);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;
  ~FileWatch();

  /// From now on these files below these folders are watched. `since`: of the first call only.
  void look_for(WatchedGlobs wanted, std::vector<std::string> folders, WallTime since);
  /// The server takes messages again.
  void go_on();
  /// The server was told of all changes until then. Called when no other thread of the plugin runs.
  [[nodiscard]] std::optional<WallTime> told_until() const { return complete_; }

  /// The server is told of this change by another.
  void reported(const std::string& path, FileChange change);
  /// False: the server was told just now, and will be if the file changes again.
  [[nodiscard]] bool is_news(const std::string& path) const;

 private:
  /// The files that are watched: those below the folders that match.
  struct Scope {
    WatchedGlobs wanted;
    std::vector<std::string> folders;
    [[nodiscard]] bool has(const std::string& path) const;
    [[nodiscard]] bool operator==(const Scope&) const = default;
  };
  struct Task {
    Scope scope;
    WallTime since;
  };
  struct Report {
    FileChange change;
    WallTime at;
  };

  void post_step();
  void step_in(Duration time, void (FileWatch::*then)());
  void step();
  void take_task();
  void begin();
  void release_tree();
  void walk();
  void found(const std::string& path);
  void end_walk();
  void look();
  void touch(const Changes& changes);
  void tell_later();
  void tell();
  [[nodiscard]] std::optional<FileChange> difference(const std::string& path);
  [[nodiscard]] bool was_reported(const std::string& path, FileChange change, const std::optional<WallTime>& changed);
  void note_told(const Files& files);
  void warn();
  void retry() { begins_ = true, post_step(); }

  const std::shared_ptr<Context> context_;
  const std::string name_;
  const Tell tell_;
  std::atomic<bool> posted_{false};     ///< a step that has not begun
  std::atomic<bool> due_{false};        ///< kQuiet is over, or the server takes messages again
  std::atomic<bool> begins_{false};     ///< the trees are to be walked anew
  std::atomic<bool> releasing_{false};  ///< a tree of before still has its watches

  mutable Mutex mutex_;
  std::optional<Task> task_ GANTRY_GUARDED_BY(mutex_);  ///< that no step has taken yet
  std::map<std::string, Report> reported_ GANTRY_GUARDED_BY(mutex_);
  std::map<std::string, TimePoint> told_ GANTRY_GUARDED_BY(mutex_);

  // The worker's.
  Scope scope_;
  std::optional<Scope> covered_;  ///< of the last walk that came to its end: known_ has all files of it
  std::unique_ptr<TreeWatch> tree_;
  std::map<std::string, unsigned>
      known_;                      ///< files that the server knows to be there, with the walk that saw them last
  std::set<std::string> touched_;  ///< files of which the server may have to be told
  Files unsent_;                   ///< of which the server is told next
  unsigned walk_ = 0;
  bool walking_ = false;
  bool missed_ = false;   ///< changes were not seen: another walk follows
  bool crowded_ = false;  ///< there are more files than known_ takes
  WallTime looked_{};
  std::optional<WallTime> complete_;  ///< the server was told of all changes until then
  bool waits_ = false;                ///< for kQuiet, or for the server
  bool retries_ = false;              ///< a timer runs
  bool warned_ = false;
};

}  // namespace gantry::lsp
