// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/library_copies.hpp"

#include <unistd.h>

#include <system_error>
#include <utility>

namespace gantry::host {

namespace fs = std::filesystem;

LibraryCopies::LibraryCopies(fs::path folder) : folder_(std::move(folder)) {
  std::error_code failed;  // what cannot be removed is in nobody's way
  if (!folder_.empty()) fs::remove_all(folder_, failed);
}

Result<fs::path> LibraryCopies::take(const std::string& name, const fs::path& library) {
  if (folder_.empty()) return fail(ErrorKind::unavailable, "this host keeps no copies of libraries");
  std::error_code failed;
  std::uint64_t number = 0;
  {
    const Lock lock(mutex_);
    number = ++taken_;
  }
  fs::create_directories(folder_, failed);
  if (!failed) fs::permissions(folder_, fs::perms::owner_all, failed);
  fs::path copy = folder_ / (name + "." + std::to_string(::getpid()) + "." + std::to_string(number) + ".so");
  if (!failed) fs::copy_file(library, copy, failed);
  if (!failed) return copy;
  drop(copy);
  return fail(ErrorKind::unavailable,
              library.string() + " cannot be copied into " + folder_.string() + ": " + failed.message());
}

void LibraryCopies::drop(const fs::path& copy) {
  std::error_code failed;
  if (!copy.empty()) fs::remove(copy, failed);
}

}  // namespace gantry::host
