// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/file_lock.hpp: a lock on a file (flock(2)). The kernel releases the lock when its
// holder dies, however it dies.
//
// Thread rule: a FileLock is used by one thread at a time. take() waits at most kTries times
// kMoment, and not at all with `waits` false.
#pragma once

#include <chrono>
#include <filesystem>
#include <gantry/deadline.hpp>
#include <gantry/result.hpp>

namespace gantry::host {

class FileLock {
 public:
  /// A process that checks whether the lock is free holds it for a moment, so one refusal is not
  /// yet an answer.
  static constexpr int kTries = 10;
  static constexpr Duration kMoment = std::chrono::milliseconds(10);

  /// Makes the file (0600) where it is missing; its folder must exist. `conflict`: another process
  /// holds the lock. `unavailable`: the file cannot be opened or locked; the error says why.
  [[nodiscard]] static Result<FileLock> take(const std::filesystem::path& file, bool waits = true);
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

  /// True: the path still names the locked file. False: another process can take a lock under that
  /// path.
  [[nodiscard]] bool in_place() const;
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

 private:
  FileLock(std::filesystem::path file, int fd) : file_(std::move(file)), fd_(fd) {}

  std::filesystem::path file_;
  int fd_;
};

}  // namespace gantry::host
