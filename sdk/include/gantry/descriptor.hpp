// SPDX-License-Identifier: Apache-2.0
//
// gantry/descriptor.hpp: a file descriptor that is closed with its owner.
//
// Thread rule: a value; one thread at a time.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <gantry/result.hpp>
#include <string>
#include <utility>
#include <vector>

namespace gantry {

/// Owns an open file descriptor, or nothing.
class Descriptor {
 public:
  Descriptor() = default;
  /// Takes over `fd`; negative: nothing.
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Descriptor() { close(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  /// Gives the descriptor up: the caller closes it from here on.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void close() {
    if (fd_ >= 0) (void)::close(std::exchange(fd_, -1));
  }
  /// A further descriptor of the same open file, close-on-exec. `overloaded`: the process may open
  /// no more; `invalid_params`: `fd` is not open.
  [[nodiscard]] static Result<Descriptor> duplicate(int fd) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy >= 0) return Descriptor(copy);
    const int why = errno;
    return fail(why == EBADF ? ErrorKind::invalid_params : ErrorKind::overloaded,
                "descriptor " + std::to_string(fd) + " cannot be duplicated: " + std::strerror(why));
  }

 private:
  int fd_ = -1;
};

using Descriptors = std::vector<Descriptor>;

}  // namespace gantry
