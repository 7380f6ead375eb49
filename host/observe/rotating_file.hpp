// SPDX-License-Identifier: Apache-2.0
//
// host/observe/rotating_file.hpp: appends lines to a bounded set of files.
//
// Why not the rotating file of spdlog: when it cannot open the next file it sleeps (50 ms and more)
//   with its lock held, and a later, shorter line is then written through a null pointer (spdlog
//   1.10); and it cannot create its files with private permissions.
//
// Thread rule: one thread at a time.
// Bounds: at most `files` files of at most `max_bytes` each. A line longer than that is refused.
// Never: half a line in a file; a wait other than for the disk. After an error, and when the file
//   was deleted or renamed, the next append opens a new one under its name.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace gantry::host {

class RotatingFile {
 public:
  RotatingFile(std::filesystem::path file, std::uint64_t max_bytes, std::uint32_t files);
  ~RotatingFile();
  RotatingFile(const RotatingFile&) = delete;
  RotatingFile& operator=(const RotatingFile&) = delete;

  /// Makes missing folders (0700) and opens the file (0600; refuses links and files that are not
  /// regular).
  [[nodiscard]] std::error_code open();
  [[nodiscard]] std::error_code append(std::string_view line);
  [[nodiscard]] std::error_code sync();

 private:
  [[nodiscard]] bool is_in_place();
  [[nodiscard]] bool is_deleted() const;
  [[nodiscard]] std::error_code make_room(std::uint64_t bytes);
  [[nodiscard]] std::error_code rotate();
  void close();

  std::filesystem::path file_;
  std::uint64_t max_bytes_;
  std::uint32_t files_;
  int fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace gantry::host
