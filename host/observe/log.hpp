// SPDX-License-Identifier: Apache-2.0
//
// host/observe/log.hpp: the host's log, written to a bounded set of files and to stderr.
//
// One record is one line: `2026-01-31T12:00:00.123Z INFO  component: text`. Unprintable characters
//   in the component or the text become escapes (host/observe/printable.hpp), so no text can forge
//   a line or control the terminal.
//
// Thread rule: any thread; the log has no thread of its own. When write() returns, the kernel has
//   the record for the file.
// Bounds: a line has at most kMaxLogLine bytes, a longer text is cut and marked; at most `files`
//   files of at most `file_max_bytes` each. write() waits for the disk, but not for a reader of
//   stderr: a record that stderr does not take at once is dropped there.
// Never: an exception, or a failed write that stops the host. dropped() counts records that a sink
//   did not take. A sink that failed is tried again at the next record.
// The process must ignore SIGPIPE if stderr may be a pipe that is closed.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <gantry/plugin/host.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string_view>

namespace gantry::host {

inline constexpr std::size_t kMaxLogLine = 8192;  ///< with the newline
inline constexpr std::size_t kMaxLogComponent = 64;

struct LogOptions {
  std::filesystem::path file;  ///< empty: no file. Missing folders are made with mode 0700, the file with 0600
  Level level = Level::info;
  std::uint64_t file_max_bytes = std::uint64_t{8} << 20;  ///< at least kMaxLogLine
  std::uint32_t files = 4;                                ///< the current one included; at least 1
  bool to_stderr = true;
  int stderr_fd = 2;    ///< borrowed
  bool colours = true;  ///< on stderr, if that is a terminal
  std::function<std::chrono::system_clock::time_point()> clock = std::chrono::system_clock::now;
};

/// True: colours are wanted, by the values of NO_COLOR (https://no-color.org) and TERM; nullptr:
/// not set.
[[nodiscard]] bool colours_are_wanted(const char* no_color, const char* term);

/// `gantry.log`, `gantry.1.log`, `gantry.2.log`, ...: the newest first.
[[nodiscard]] std::filesystem::path log_file_name(const std::filesystem::path& file, std::uint32_t index);

class Log {
 public:
  /// `storage_failed` when the file cannot be opened for writing.
  [[nodiscard]] static Result<std::shared_ptr<Log>> open(LogOptions options);
  /// As open(), but if the file cannot be opened, the log writes to stderr, even if that was off;
  /// the first line there says why, and so does problem().
  [[nodiscard]] static std::shared_ptr<Log> open_or_stderr(LogOptions options);

  virtual ~Log() = default;
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  /// Cheap: one relaxed load. Ask before building an expensive line.
  [[nodiscard]] bool enabled(Level level) const noexcept {
    return static_cast<std::int32_t>(level) >= level_.load(std::memory_order_relaxed);
  }
  void set_level(Level level) noexcept { level_.store(static_cast<std::int32_t>(level), std::memory_order_relaxed); }

  /// Does nothing when `level` is not enabled.
  void write(Level level, std::string_view component, std::string_view line) noexcept {
    if (enabled(level)) record(level, component, line);
  }
  /// Forces the records onto the disk; no other function does.
  virtual void flush() noexcept = 0;

  /// The number of records that a sink did not take, counted once for each sink.
  [[nodiscard]] virtual std::uint64_t dropped() const noexcept = 0;
  /// Why there is no file, after open_or_stderr.
  [[nodiscard]] virtual std::optional<Error> problem() const = 0;

 protected:
  explicit Log(Level level) : level_(static_cast<std::int32_t>(level)) {}
  virtual void record(Level level, std::string_view component, std::string_view line) noexcept = 0;

 private:
  std::atomic<std::int32_t> level_;
};

}  // namespace gantry::host
