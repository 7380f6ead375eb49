// SPDX-License-Identifier: Apache-2.0
//
// folder.hpp: the files of the store's folder, except for the database itself.
//
//   state.lock      held (flock) by the one process that uses the folder; holds its pid
//   state.identity  JSON {store_id}: written once; says that a database was here, so that an empty or missing one is
//                   seen as a loss and never taken for a first run
//   state.recovering
//                   JSON {reason, backup, lost_after_seq, quarantine}: a recovery has begun and is not complete
//   state.clean     JSON {epoch, seq}: written at an orderly close, removed at open; absent: the last end was a crash
//
// Thread rule: one thread. A FolderLock excludes other processes and other locks of this process.
// Errors: `storage_failed` for conditions that may pass (read-only, full, no permission);
//   `unavailable` for those that do not pass by themselves (held by another process, not a file of
//   the expected kind).
#pragma once

#include <cstdint>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <utility>

namespace gantry::state {

class FolderLock {
 public:
  [[nodiscard]] static Result<FolderLock> take(const std::string& folder);
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

struct CleanMark {
  std::string epoch;
  std::uint64_t seq = 0;
};

/// What a person may do about this errno, behind the message: "; ..."
[[nodiscard]] std::string advice_about(int code);
/// Creates the folder (0700) where it is missing, and returns its canonical path. Errors as above.
[[nodiscard]] Result<std::string> prepare_folder(const std::string& folder);

/// Empty: no identity was written. A damaged one is `unavailable`.
[[nodiscard]] Result<std::optional<std::string>> read_identity(const std::string& folder);
/// The file is durable when this returns.
[[nodiscard]] Result<void> write_identity(const std::string& folder, const std::string& store_id);

/// Empty: there is no mark, or it is damaged.
[[nodiscard]] Result<std::optional<CleanMark>> read_clean_mark(const std::string& folder);
[[nodiscard]] Result<void> write_clean_mark(const std::string& folder, const CleanMark& mark);
[[nodiscard]] Result<void> remove_clean_mark(const std::string& folder);

/// A recovery that has begun: JSON, in state.recovering, until the store that came of it is in use.
[[nodiscard]] Result<std::optional<std::string>> read_recovery_mark(const std::string& folder);
[[nodiscard]] Result<void> write_recovery_mark(const std::string& folder, const std::string& text);
[[nodiscard]] Result<void> remove_recovery_mark(const std::string& folder);

/// Creates the file (0600) where it is missing: SQLite would create it by the umask, and a confined process must not
/// change the mode of a file.
[[nodiscard]] Result<void> touch_private(const std::string& file);
/// A copy (0600), written over whatever is there, and durable.
[[nodiscard]] Result<void> copy_private(const std::string& from, const std::string& to);
/// What was written is durable when these return.
[[nodiscard]] Result<void> sync_folder(const std::string& folder);
[[nodiscard]] Result<void> sync_file(const std::string& file);

/// 128 random bits in hexadecimal.
[[nodiscard]] std::string random_id();

}  // namespace gantry::state
