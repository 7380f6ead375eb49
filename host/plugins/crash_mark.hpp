// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/crash_mark.hpp: a file that a process leaves behind when it dies inside a plugin.
//
// A start is marked on the disk while it runs, so that SIGKILL and exit() leave the mark as well. A
// delivery is marked only in memory, in its thread; a fatal signal there writes the file. Threads
// of the plugin's own are not marked.
//
// A fatal signal that arose inside the plugin is evidence against the plugin. A process that ended
// while the plugin was being started is none: anything may have ended it. Two such processes in a
// row are.
//
// Thread rule: one StartMark for a plugin at a time, on any thread; a DeliveryMark stays on its
// thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace gantry::host {

/// The mark of a process that is gone.
struct CrashMark {
  pid_t pid = 0;
  int signal = 0;  ///< a fatal signal inside the plugin; 0: the process ended while the plugin was being started
  int starts = 0;  ///< starts in a row that the process did not outlive, up to this one; with a signal: 1 if in a start

  [[nodiscard]] bool is_evidence() const { return signal != 0 || starts >= 2; }
  /// The mark for people: "it was being started when ...".
  [[nodiscard]] std::string text() const;
};

class StartMark {
 public:
  /// An empty path: nothing is marked. A folder that cannot be written does not prevent the start.
  /// `old`: the mark that the file had before.
  explicit StartMark(std::filesystem::path file, const std::optional<CrashMark>& old = std::nullopt);
  ~StartMark();
  StartMark(const StartMark&) = delete;
  StartMark& operator=(const StartMark&) = delete;

 private:
  const std::filesystem::path file_;
};

class DeliveryMark {
 public:
  struct What {
    const char* file = nullptr;
    bool start = false;  ///< the plugin is being loaded or started
  };
  /// `file` outlives the mark; nullptr: nothing is marked.
  explicit DeliveryMark(const char* file, bool start = false) noexcept
      : before_(std::exchange(current(), What{file, start})) {}
  ~DeliveryMark() { current() = before_; }
  DeliveryMark(const DeliveryMark&) = delete;
  DeliveryMark& operator=(const DeliveryMark&) = delete;

  [[nodiscard]] static What& current() noexcept {
    static constinit thread_local What what;
    return what;
  }

 private:
  const What before_;
};

/// Empty: there is no mark, or its process still runs.
[[nodiscard]] std::optional<CrashMark> read_crash_mark(const std::filesystem::path& file);
/// Removes a mark that proves nothing any more.
void remove_crash_mark(const std::filesystem::path& file);

/// Called once, by a program before it has threads: fatal signals write the mark, then have their
/// former effect.
void mark_fatal_signals();

}  // namespace gantry::host
