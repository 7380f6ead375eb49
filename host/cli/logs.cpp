// SPDX-License-Identifier: Apache-2.0
//
// `gantry logs`: reads the host's log file, also while it grows and is rotated away (host/observe/rotating_file.hpp
// renames it and begins a new one under the old name).
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"
#include "host/observe/log.hpp"

namespace gantry::host {

namespace {

constexpr off_t kTail = 64 * 1024;

class LogTail {
 public:
  explicit LogTail(std::filesystem::path path) : path_(std::move(path)) {}
  LogTail(const LogTail&) = delete;
  LogTail& operator=(const LogTail&) = delete;
  ~LogTail() { close(); }

  /// Begins at the last lines of the file. False: there is no file.
  bool open_at_tail() {
    if (!open()) return false;
    const off_t size = ::lseek(fd_, 0, SEEK_END);
    (void)::lseek(fd_, size > kTail ? size - kTail : 0, SEEK_SET);
    in_half_a_line_ = size > kTail;
    return true;
  }
  /// Prints what is there, and goes on with the next file when this one was rotated away. False: nobody reads.
  bool print() {
    while (true) {
      if (!print_file()) return false;
      if (!was_replaced()) return true;
      if (!print_file()) return false;  // what came between the end that was seen and the renaming
      const bool was_last = names(log_file_name(path_, 1));
      if (!was_last)
        std::fprintf(
            stderr,
            "gantry: the log was renamed by others, or rotated faster than it was read; lines may be missing\n");
      if (!open()) return true;
      in_half_a_line_ = false;
    }
  }

 private:
  bool open() {
    const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    close();
    fd_ = fd;
    return true;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] bool names(const std::filesystem::path& path) const {
    struct stat ours{};
    struct stat there{};
    return ::fstat(fd_, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
  }
  [[nodiscard]] bool was_replaced() const { return ::access(path_.c_str(), F_OK) == 0 && !names(path_); }
  bool print_file() {
    struct stat info{};
    // A single file is emptied when it is full.
    if (::fstat(fd_, &info) == 0 && info.st_size < ::lseek(fd_, 0, SEEK_CUR)) (void)::lseek(fd_, 0, SEEK_SET);
    std::array<char, 8192> buffer{};
    while (true) {
      const ssize_t got = ::read(fd_, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return output_is_written();
      std::string_view text(buffer.data(), static_cast<std::size_t>(got));
      if (in_half_a_line_) {
        const auto end = text.find('\n');
        if (end == std::string_view::npos) continue;
        text.remove_prefix(end + 1);
        in_half_a_line_ = false;
      }
      if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) return false;
    }
  }

  const std::filesystem::path path_;
  int fd_ = -1;
  bool in_half_a_line_ = false;
};

/// Waits for something to happen in a folder. Where the system gives no inotify, a second goes by instead, as with
/// `tail -f`.
class LogWatch {
 public:
  explicit LogWatch(const std::filesystem::path& folder) : fd_(::inotify_init1(IN_CLOEXEC)) {
    if (fd_ >= 0 && ::inotify_add_watch(fd_, folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) >= 0) return;
    std::fprintf(stderr, "gantry: %s cannot be watched (%s); the log is looked at each second\n", folder.c_str(),
                 std::system_category().message(errno).c_str());
    close();
  }
  LogWatch(const LogWatch&) = delete;
  LogWatch& operator=(const LogWatch&) = delete;
  ~LogWatch() { close(); }

  void wait() {
    constexpr int kSecond = 1000;
    std::array<char, 4096> events{};
    if (fd_ < 0) {
      (void)::poll(nullptr, 0, kSecond);
    } else if (::read(fd_, events.data(), events.size()) < 0 && errno != EINTR) {
      close();
    }
  }

 private:
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd_;
};

// The log of the host that answers on the socket, else the one of this environment's state folder.
[[nodiscard]] std::filesystem::path log_path(const Common& common) {
  if (auto client = find_host(connect_options(common, "gantry logs"))) {
    const auto status = client->call("host.status", json::object(), std::chrono::seconds(2));
    if (status && status->contains("state_dir"))
      return std::filesystem::path(status->value("state_dir", "")) / "gantry.log";
  }
  return state_dir() / "gantry.log";
}
}  // namespace

int logs(const Common& common, bool follow) {
  const auto path = log_path(common);
  std::optional<LogWatch> watch;  // before the log is read: what is added in between wakes at once
  if (follow) watch.emplace(path.parent_path());
  LogTail tail(path);
  if (!tail.open_at_tail())
    return complain(Error{ErrorKind::not_found, "there is no log " + path.string() + " yet", {}});
  while (tail.print() && watch) watch->wait();
  return std::ferror(stdout) == 0 ? 0 : 1;
}

}  // namespace gantry::host
