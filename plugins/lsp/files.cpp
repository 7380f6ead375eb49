// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <gantry/descriptor.hpp>
#include <gantry/plugin/host.hpp>
#include <system_error>

namespace gantry::lsp {

namespace {

[[nodiscard]] std::int64_t nanoseconds(const timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

[[nodiscard]] std::unexpected<Error> no_file(const std::string& path, int why) {
  return fail(ErrorKind::not_found, path + " cannot be read: " + std::strerror(why));
}

[[nodiscard]] std::unexpected<Error> too_large(const std::string& path) {
  return fail(ErrorKind::too_large, path + " is larger than " + std::to_string(kMaxFile >> 20) +
                                        " MiB; language servers are not given such files");
}

[[nodiscard]] std::string parent(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

}  // namespace

Result<FileInfo> look_at(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return no_file(path, errno);
  FileInfo out;
  out.folder = S_ISDIR(info.st_mode);
  if (out.folder) return out;
  if (!S_ISREG(info.st_mode)) return fail(ErrorKind::not_found, path + " is no regular file");
  if (static_cast<std::uint64_t>(info.st_size) > kMaxFile) return too_large(path);
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  out.stamp.modified_ns = nanoseconds(info.st_mtim);
  out.stamp.size = static_cast<std::uint64_t>(info.st_size);
  out.stamp.inode = info.st_ino;
  // File systems stamp in ticks: within two seconds of the change the same stamp may stand for two contents.
  out.stamp.fresh = nanoseconds(now) - out.stamp.modified_ns < 2'000'000'000;
  return out;
}

std::string real_path(const std::string& path) {
  std::error_code failed;
  auto real = std::filesystem::canonical(path, failed);
  return failed ? std::string() : real.string();
}

std::string without_bom(std::string bytes) {
  if (bytes.starts_with(kBom)) bytes.erase(0, kBom.size());
  return bytes;
}

Result<std::string> read_file(const std::string& path) {
  auto bytes = read_bytes(path);
  return bytes ? Result<std::string>(without_bom(std::move(*bytes))) : std::move(bytes);
}

Result<std::string> read_bytes(const std::string& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (fd.get() < 0) return no_file(path, errno);
  std::string text;
  constexpr std::size_t kChunk = std::size_t{1} << 16;
  while (true) {
    const std::size_t before = text.size();
    text.resize(before + kChunk);
    const auto n = ::read(fd.get(), text.data() + before, kChunk);
    if (n < 0 && errno == EINTR) {
      text.resize(before);
      continue;
    }
    if (n < 0) return no_file(path, errno);
    text.resize(before + static_cast<std::size_t>(n));
    if (n == 0) return text;
    if (text.size() > kMaxFile) return too_large(path);
  }
}

std::string folder_that_exists(const std::string& wanted, const std::string& home) {
  const auto is_folder = [](const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  };
  if (!wanted.empty() && is_folder(wanted)) return wanted;
  std::string at = home;
  while (at != "/" && !is_folder(at)) at = parent(at);
  return at;
}

std::string find_root(const std::string& folder, const std::vector<std::string>& markers,
                      const std::vector<std::string>& workspaces) {
  std::string workspace = folder_around(workspaces, folder);
  for (std::string at = folder;; at = parent(at)) {
    for (const auto& marker : markers) {
      std::string file = at;
      if (at != "/") file += '/';
      file += marker;
      struct stat info{};
      if (::stat(file.c_str(), &info) == 0) return at;
    }
    if (at == "/" || at == workspace) break;
  }
  return workspace.empty() ? folder : workspace;
}

}  // namespace gantry::lsp
