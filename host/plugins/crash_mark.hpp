// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/crash_mark.hpp: a file that is left behind by a process that dies inside a plugin.
//
// A start is marked on the disk while it runs, so that also SIGKILL and exit() leave the mark. A delivery is marked in
// its thread only; a fatal signal there writes the file. What a plugin does on threads of its own is not marked.
//
// Thread rule: StartMark: one for a plugin at a time, any thread. DeliveryMark: its own thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace gantry::host {

class StartMark {
 public:
  /// An empty path: nothing is marked. A folder that cannot be written is no reason not to start.
  explicit StartMark(std::filesystem::path file);
  ~StartMark();
  StartMark(const StartMark&) = delete;
  StartMark& operator=(const StartMark&) = delete;

 private:
  const std::filesystem::path file_;
};

class DeliveryMark {
 public:
  /// `file` outlives it; nullptr: nothing is marked.
  explicit DeliveryMark(const char* file) noexcept : before_(std::exchange(current(), file)) {}
  ~DeliveryMark() { current() = before_; }
  DeliveryMark(const DeliveryMark&) = delete;
  DeliveryMark& operator=(const DeliveryMark&) = delete;

  [[nodiscard]] static const char*& current() noexcept {
    static thread_local const char* file = nullptr;
    return file;
  }

 private:
  const char* before_;
};

/// What a process that is gone has left there, in words; empty: nothing, or its process still runs.
[[nodiscard]] std::optional<std::string> read_crash_mark(const std::filesystem::path& file);

/// Once, by a program before it has threads: fatal signals write the mark, then do what they did before.
void mark_fatal_signals();

}  // namespace gantry::host
