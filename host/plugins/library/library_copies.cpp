// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/library/library_copies.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

namespace gantry::host {

namespace fs = std::filesystem;

namespace {

/// Of NAME.PID.NUMBER.so: does that process run? One of this very process's number is gone: it has taken none yet.
[[nodiscard]] bool is_in_use(const fs::path& copy) {
  const std::string stem = copy.stem();  // without .so
  const auto number = stem.rfind('.');
  const auto before = number == std::string::npos || number == 0 ? std::string::npos : stem.rfind('.', number - 1);
  pid_t pid = 0;
  if (before == std::string::npos) return false;
  const auto read = std::from_chars(stem.data() + before + 1, stem.data() + number, pid);
  if (read.ec != std::errc() || read.ptr != stem.data() + number || pid <= 0 || pid == ::getpid()) return false;
  return ::kill(pid, 0) == 0 || errno == EPERM;
}

/// Another host may share the folder.
void remove_leftovers(const fs::path& folder) {
  std::error_code failed;  // what cannot be removed is in nobody's way
  for (auto it = fs::directory_iterator(folder, failed); !failed && it != fs::directory_iterator();
       it.increment(failed)) {
    std::error_code ignored;
    if (!is_in_use(it->path())) fs::remove_all(it->path(), ignored);
  }
}

[[nodiscard]] bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_ino == b.st_ino && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

/// Whatever `from` has. What went wrong with which of the two: errno.
enum class Copied : std::uint8_t { whole, not_read, not_written };
[[nodiscard]] Copied copy_bytes(int from, int into) {
  std::vector<char> buffer(std::size_t{256} << 10U);
  if (::ftruncate(into, 0) != 0 || ::lseek(into, 0, SEEK_SET) != 0) return Copied::not_written;
  while (true) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0 ? Copied::whole : Copied::not_read;
    for (ssize_t at = 0; at < got;) {
      const ssize_t put = ::write(into, buffer.data() + at, static_cast<std::size_t>(got - at));
      if (put < 0 && errno != EINTR) return Copied::not_written;
      at += std::max<ssize_t>(put, 0);
    }
  }
}

/// All of `library`, as it is at one time, into the file `into`.
[[nodiscard]] Result<void> copy_whole(const fs::path& library, int into) {
  const auto unreadable = [&](int why) {
    return fail(ErrorKind::unavailable, library.string() + " cannot be read: " + std::strerror(why) +
                                            "; make it readable for this user, and its folders accessible");
  };
  constexpr int kTimes = 3;
  for (int i = 0; i < kTimes; ++i) {
    const Descriptor from(::open(library.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat before{};
    struct stat after{};
    if (from.get() < 0 || ::fstat(from.get(), &before) != 0) return unreadable(errno);
    if (!S_ISREG(before.st_mode)) return fail(ErrorKind::unavailable, library.string() + " is no file");
    const auto copied = copy_bytes(from.get(), into);
    if (copied == Copied::not_read) return unreadable(errno);
    if (copied == Copied::not_written) {
      return fail(ErrorKind::storage_failed, "a copy of " + library.string() + " cannot be written: " +
                                                 std::strerror(errno) + "; look at the disk's space and `ulimit -f`");
    }
    if (::stat(library.c_str(), &after) == 0 && is_same(before, after)) return {};
  }
  return fail(ErrorKind::conflict, library.string() + " is being written all the time; try again when that has ended");
}

}  // namespace

LibraryCopies::LibraryCopies(fs::path folder) : folder_(std::move(folder)) {
  if (!folder_.empty()) remove_leftovers(folder_);
}

Result<fs::path> LibraryCopies::take(const std::string& name, const fs::path& library) {
  const auto refuse = [&](const std::string& why) {
    return fail(ErrorKind::storage_failed,
                library.string() + " cannot be copied into " + folder_.string() + ": " + why);
  };
  if (folder_.empty()) return fail(ErrorKind::storage_failed, "this host has no folder for copies of libraries");
  std::uint64_t number = 0;
  {
    const Lock lock(mutex_);
    number = ++taken_;
  }
  std::error_code failed;
  fs::create_directories(folder_, failed);
  if (!failed) fs::permissions(folder_, fs::perms::owner_all, failed);
  if (failed) return refuse(failed.message());
  struct statvfs system{};
  if (::statvfs(folder_.c_str(), &system) == 0 && (system.f_flag & ST_NOEXEC) != 0)
    return refuse("nothing may be run from its file system (noexec)");
  fs::path copy = folder_ / (name + "." + std::to_string(::getpid()) + "." + std::to_string(number) + ".so");
  const Descriptor into(::open(copy.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0700));
  if (into.get() < 0) return refuse(std::strerror(errno));
  const auto copied = copy_whole(library, into.get());
  if (copied) return copy;
  drop(copy);
  return copied.error().kind == ErrorKind::storage_failed ? refuse(copied.error().message)
                                                          : std::unexpected(copied.error());
}

Result<fs::path> LibraryCopies::take_anywhere(const std::string& name, const fs::path& library) {
  auto copy = take(name, library);
  if (copy || copy.error().kind != ErrorKind::storage_failed) return copy;
  return take_in_memory(name, library);
}

Result<fs::path> LibraryCopies::take_in_memory(const std::string& name, const fs::path& library) {
  Descriptor into(::memfd_create(name.c_str(), MFD_CLOEXEC));
  if (into.get() < 0)
    return fail(ErrorKind::storage_failed,
                library.string() + " cannot be copied into memory: " + std::string(std::strerror(errno)));
  if (auto copied = copy_whole(library, into.get()); !copied) return std::unexpected(copied.error());
  fs::path path = "/proc/self/fd/" + std::to_string(into.get());
  const Lock lock(mutex_);
  in_memory_.push_back(std::move(into));
  return path;
}

void LibraryCopies::drop(const fs::path& copy) {
  std::error_code failed;
  if (!copy.empty() && copy.parent_path() != "/proc/self/fd") fs::remove(copy, failed);
}

}  // namespace gantry::host
