// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/read_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gantry::ai {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) (void)::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

FileText read_regular(const std::filesystem::path& path, std::size_t max_bytes, Links links) {
  using enum FileText::State;
  // O_NONBLOCK: should the name have become a FIFO meanwhile, opening it must not wait.
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (links == Links::refuse ? O_NOFOLLOW : 0);
  const Descriptor fd(::open(path.c_str(), flags));
  struct stat info{};
  if (fd.get() < 0) {
    const bool none = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO;
    return none ? FileText{} : FileText{refused, {}, std::strerror(errno)};
  }
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > max_bytes) return {refused, {}, "it is over " + std::to_string(max_bytes) + " bytes"};
  FileText out{read, std::string(size, '\0'), {}};
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ::read(fd.get(), out.text.data() + filled, size - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {refused, {}, std::strerror(errno)};
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  out.text.resize(filled);
  return out;
}

}  // namespace gantry::ai
