// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/pinned_paths.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <filesystem>
#include <gantry/descriptor.hpp>

namespace gantry::host {

namespace {

/// The name is the kernel's, of the very thing that was opened: nobody can exchange it in between.
[[nodiscard]] std::optional<PinnedPaths::Pin> look(const std::string& path) {
  const Descriptor opened(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat info{};
  if (!opened || ::fstat(opened.get(), &info) != 0) return std::nullopt;
  std::array<char, PATH_MAX> name{};
  const auto size = ::readlink(("/proc/self/fd/" + std::to_string(opened.get())).c_str(), name.data(), name.size());
  if (size <= 0 || name.front() != '/') return std::nullopt;
  return PinnedPaths::Pin{{name.data(), static_cast<std::size_t>(size)}, {info.st_dev, info.st_ino}};
}

/// Where `path`, which is not there, would be: beneath the nearest of its folders that is, without a link from there.
[[nodiscard]] std::string place_of(const std::filesystem::path& path) {
  for (auto folder = path.parent_path(); folder != folder.parent_path(); folder = folder.parent_path()) {
    if (const auto pin = look(folder)) return (pin->path / path.lexically_relative(folder)).lexically_normal();
  }
  return path.lexically_normal();
}

[[nodiscard]] bool is_beneath(const std::string& path, const std::string& folder) {
  return path == folder || folder == "/" || (path.starts_with(folder) && path[folder.size()] == '/');
}

}  // namespace

Result<PinnedPaths::Pin> PinnedPaths::missing(const std::pair<std::string, std::string>& key) {
  auto place = place_of(key.first);
  const Lock lock(mutex_);
  const auto [at, fresh] = entries_.try_emplace(key);
  if (fresh) at->second.expected = std::move(place);
  return fail(ErrorKind::not_found, key.first + " is not there");
}

Result<PinnedPaths::Pin> PinnedPaths::resolve(const std::string& path, const std::string& within) {
  const std::pair key(path, within);
  std::string expected;
  {
    const Lock lock(mutex_);
    if (const auto it = entries_.find(key); it != entries_.end()) {
      if (!it->second.pin.path.empty()) return it->second.pin;
      expected = it->second.expected;
    }
  }
  auto now = look(path);
  if (!now) return missing(key);
  if (!expected.empty() && now->path != expected)
    return fail(ErrorKind::permission_denied, path + " was not there before, and is a link to " + now->path);
  if (!within.empty()) {
    const auto root = resolve(within);
    if (!root) return std::unexpected(root.error());
    if (!is_beneath(now->path, root->path))
      return fail(ErrorKind::permission_denied, path + " leads out of " + within + ", to " + now->path);
  }
  const Lock lock(mutex_);
  Entry& entry = entries_[key];
  if (entry.pin.path.empty()) entry.pin = std::move(*now);
  return entry.pin;
}

bool PinnedPaths::renew(const std::string& folder) {
  auto now = look(folder);
  if (!now || now->path != folder) return false;
  const Lock lock(mutex_);
  Entry& entry = entries_[{folder, {}}];
  const bool was_another = !entry.pin.path.empty() && entry.pin.id != now->id;
  entry.pin = std::move(*now);
  const auto resolved = std::erase_if(entries_, [&](const auto& each) { return each.first.second == folder; });
  return was_another || resolved != 0;
}

}  // namespace gantry::host
