// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/crash_mark.hpp: a file that is left behind by a process that dies inside a plugin.
//
// A start is marked on the disk while it runs, so that also SIGKILL and exit() leave the mark. A delivery is marked in
// its thread only; a fatal signal there writes the file. What a plugin does on threads of its own is not marked.
//
// A fatal signal that arose inside the plugin is evidence against it. That its process ended while it was being started
// is none: anything may have ended that. Two processes in a row that ended so are.
//
// Thread rule: StartMark: one for a plugin at a time, any thread. DeliveryMark: its own thread.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace gantry::host {

/// What a process that is gone has left.
struct CrashMark {
  pid_t pid = 0;
  int signal = 0;  ///< a fatal one, inside the plugin; 0: the process ended while the plugin was being started
  int starts = 0;  ///< in a row, this one among them, that the process did not outlive; with a signal: 1 if in a start

  [[nodiscard]] bool is_evidence() const { return signal != 0 || starts >= 2; }
  /// For people: "it was being started when ...".
  [[nodiscard]] std::string text() const;
};

class StartMark {
 public:
  /// An empty path: nothing is marked. A folder that cannot be written is no reason not to start. `old`: the mark
  /// that its file had.
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
  /// `file` outlives it; nullptr: nothing is marked.
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

/// Empty: nothing was left there, or its process still runs.
[[nodiscard]] std::optional<CrashMark> read_crash_mark(const std::filesystem::path& file);
/// It proves nothing any more.
void remove_crash_mark(const std::filesystem::path& file);

/// Once, by a program before it has threads: fatal signals write the mark, then do what they did before.
void mark_fatal_signals();

}  // namespace gantry::host
