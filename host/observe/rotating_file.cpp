// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <host/observe/log.hpp>
#include <host/observe/private_folders.hpp>
#include <host/observe/rotating_file.hpp>

namespace gantry::host {
namespace {

std::error_code last_error() { return {errno, std::generic_category()}; }

}  // namespace

std::filesystem::path log_file_name(const std::filesystem::path& file, std::uint32_t index) {
  if (index == 0) return file;
  auto name = file.stem();
  name += "." + std::to_string(index);
  name += file.extension();
  return file.parent_path() / name;
}

RotatingFile::RotatingFile(std::filesystem::path file, std::uint64_t max_bytes, std::uint32_t files)
    : file_(std::move(file)), max_bytes_(max_bytes), files_(std::max(files, 1U)) {}

RotatingFile::~RotatingFile() { close(); }

void RotatingFile::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::error_code RotatingFile::open() {
  if (auto error = make_private_folders(file_.parent_path())) return error;
  // O_NONBLOCK: a named pipe in its place must not hold the host.
  const int fd = ::open(file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (fd < 0) return last_error();
  struct stat info{};
  std::error_code error;
  if (::fstat(fd, &info) != 0) {
    error = last_error();
  } else if (!S_ISREG(info.st_mode)) {
    error = std::make_error_code(std::errc::not_supported);
  } else if ((info.st_mode & 077U) != 0 && ::fchmod(fd, 0600) != 0) {
    error = last_error();
  }
  if (error) {
    ::close(fd);
    return error;
  }
  close();
  fd_ = fd;
  device_ = info.st_dev;
  inode_ = info.st_ino;
  size_ = static_cast<std::uint64_t>(info.st_size);
  return {};
}

// Also learns what others have made of the file: another host of this state folder may write to it, too.
bool RotatingFile::is_in_place() {
  struct stat info{};
  if (fd_ < 0 || ::lstat(file_.c_str(), &info) != 0 || info.st_dev != device_ || info.st_ino != inode_) return false;
  size_ = static_cast<std::uint64_t>(info.st_size);
  return true;
}

bool RotatingFile::is_deleted() const {
  struct stat info{};
  return fd_ < 0 || ::fstat(fd_, &info) != 0 || info.st_nlink == 0;
}

std::error_code RotatingFile::append(std::string_view line) {
  if (line.size() > max_bytes_) return std::make_error_code(std::errc::file_too_large);
  if (!is_in_place()) {
    // One that was only renamed, and whose name cannot be had again, still takes lines.
    if (auto error = open(); error && is_deleted()) return error;
  }
  if (auto error = make_room(line.size())) return error;
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t wrote = ::write(fd_, line.data() + done, line.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      const auto error = wrote < 0 ? last_error() : std::make_error_code(std::errc::io_error);
      // A full disk may have taken the beginning of the line.
      if (done > 0 && ::ftruncate(fd_, static_cast<off_t>(size_)) != 0) close();
      return error;
    }
    done += static_cast<std::size_t>(wrote);
  }
  size_ += line.size();
  return {};
}

std::error_code RotatingFile::make_room(std::uint64_t bytes) {
  if (size_ + bytes <= max_bytes_) return {};
  const auto error = rotate();
  if (!error) return {};
  // The bound holds even where files cannot be renamed: better an old record lost than a full disk.
  if (fd_ < 0 || ::ftruncate(fd_, 0) != 0) return error;
  size_ = 0;
  return {};
}

std::error_code RotatingFile::rotate() {
  if (files_ == 1) {
    if (::ftruncate(fd_, 0) != 0) return last_error();
    size_ = 0;
    return {};
  }
  for (std::uint32_t to = files_ - 1; to >= 1; --to) {
    const auto from_name = log_file_name(file_, to - 1);
    const auto to_name = log_file_name(file_, to);
    if (std::rename(from_name.c_str(), to_name.c_str()) != 0 && errno != ENOENT) return last_error();
  }
  close();  // nothing may go into the old one any more
  return open();
}

std::error_code RotatingFile::sync() {
  if (fd_ < 0 || ::fdatasync(fd_) == 0) return {};
  return last_error();
}

}  // namespace gantry::host
