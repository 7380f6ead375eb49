// SPDX-License-Identifier: Apache-2.0
#include "host/trust/trust_store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <gantry/descriptor.hpp>
#include <utility>

#include "host/observe/wall_clock.hpp"

namespace gantry::host {

namespace {

[[nodiscard]] std::string library_key(const std::filesystem::path& library) {
  if (library.empty()) return {};  // of one that is nowhere
  return std::filesystem::absolute(library).lexically_normal().string();
}

[[nodiscard]] std::unexpected<Error> full(const std::string& what) {
  return fail(ErrorKind::overloaded, "the trust store holds " + what + " already; revoke some: `gantry trust --list`",
              R"({"retry_after_ms":60000})");
}

[[nodiscard]] bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

}  // namespace

std::unexpected<Error> TrustStore::wrong(const std::string& why) const {
  return fail(ErrorKind::storage_failed, "the trust store " + file_.string() + " " + why +
                                             ": nothing is trusted; mend it or move it away, and trust again");
}

Result<TrustStore::Contents> TrustStore::read() const {
  const Descriptor in(::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (in.get() < 0 && errno == ENOENT) return Contents{};
  if (in.get() < 0) return wrong(std::string("cannot be read: ") + std::strerror(errno));
  struct stat info{};
  if (::fstat(in.get(), &info) != 0 || !S_ISREG(info.st_mode)) return wrong("is no regular file");
  if (info.st_uid != ::geteuid()) return wrong("belongs to another user");
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) return wrong("may be written by other users");
  std::string text(kMaxBytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(in.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return wrong(std::string("cannot be read: ") + std::strerror(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kMaxBytes) return wrong("is larger than " + std::to_string(kMaxBytes) + " bytes");
  text.resize(size);
  auto contents = parse(text);
  if (!contents) return wrong("is damaged (" + contents.error().message + ")");
  return contents;
}

Result<TrustStore::Contents> TrustStore::parse(const std::string& text) {
  const auto doc = parse_json(text);
  if (!doc) return std::unexpected(doc.error());
  const auto broken = [](const std::string& what) { return fail(ErrorKind::storage_failed, what); };
  Contents out;
  try {
    if (doc->at("version") != 1) return broken("its version is not 1");
    for (const auto& [name, entry] : doc->at("plugins").items()) {
      TrustedPlugin plugin{entry.at("library").get<std::string>(), {}, entry.at("at").get<std::string>()};
      for (const auto& each : entry.at("grants")) {
        auto grant = parse_grant(each.get<std::string>());
        if (!grant) return std::unexpected(grant.error());
        plugin.grants.push_back(std::move(*grant));
      }
      out.plugins.emplace(name, std::move(plugin));
    }
    for (const auto& [path, entry] : doc->at("folders").items())
      out.folders.emplace(path,
                          TrustedFolder{entry.at("digest").get<std::string>(), entry.at("at").get<std::string>()});
  } catch (const json::exception& e) {
    return broken(e.what());
  }
  return out;
}

json TrustStore::to_json(const Contents& contents) {
  json plugins = json::object();
  for (const auto& [name, plugin] : contents.plugins) {
    json grants = json::array();
    for (const auto& grant : plugin.grants) grants.push_back(to_string(grant));
    plugins[name] = {{"library", plugin.library}, {"grants", std::move(grants)}, {"at", plugin.at}};
  }
  json folders = json::object();
  for (const auto& [path, folder] : contents.folders) folders[path] = {{"digest", folder.digest}, {"at", folder.at}};
  return {{"version", 1}, {"plugins", std::move(plugins)}, {"folders", std::move(folders)}};
}

Result<void> TrustStore::write(const std::string& text) const {
  const auto failed = [&](const char* what) {
    return fail(ErrorKind::storage_failed,
                "the trust store " + file_.string() + " could not be " + what + ": " + std::strerror(errno));
  };
  const std::string beside = file_.string() + ".new";
  (void)::unlink(beside.c_str());  // of a host that died
  {
    const Descriptor out(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (out.get() < 0 || !write_all(out.get(), text) || ::fsync(out.get()) != 0) return failed("written");
  }
  if (::rename(beside.c_str(), file_.c_str()) != 0) return failed("replaced");
  const Descriptor folder(::open(file_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) return failed("synced");
  return {};
}

Result<void> TrustStore::change(const std::function<Result<void>(Contents&)>& how) {
  std::error_code ignored;  // the open says it
  std::filesystem::create_directories(file_.parent_path(), ignored);
  const Descriptor lock(::open(file_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int locked = -1;
  while (lock.get() >= 0 && (locked = ::flock(lock.get(), LOCK_EX)) != 0 && errno == EINTR) {
  }
  if (locked != 0) return wrong(std::string("cannot be locked: ") + std::strerror(errno));
  auto contents = read();
  if (!contents) return std::unexpected(contents.error());
  if (auto changed = how(*contents); !changed) return changed;
  const std::string text = dump_json(to_json(*contents)) + "\n";
  if (text.size() > kMaxBytes) return full(std::to_string(kMaxBytes) + " bytes");
  if (auto written = write(text); !written) return written;
  const Lock guard(mutex_);
  std::swap(contents_, *contents);
  return {};
}

Result<void> TrustStore::load() {
  auto contents = read();
  Contents none;
  const Lock lock(mutex_);
  std::swap(contents_, contents ? *contents : none);
  if (!contents) return std::unexpected(contents.error());
  return {};
}

std::vector<Grant> TrustStore::grants_of(const std::string& plugin, const std::filesystem::path& library) const {
  const std::string key = library_key(library);
  const Lock lock(mutex_);
  const auto it = contents_.plugins.find(plugin);
  return it == contents_.plugins.end() || it->second.library != key ? std::vector<Grant>{} : it->second.grants;
}

std::optional<std::string> TrustStore::digest_of(const std::string& folder) const {
  const Lock lock(mutex_);
  const auto it = contents_.folders.find(folder);
  return it == contents_.folders.end() ? std::nullopt : std::optional(it->second.digest);
}

json TrustStore::list() const {
  const Lock lock(mutex_);
  return to_json(contents_);
}

Result<void> TrustStore::trust_plugin(const std::string& plugin, const std::filesystem::path& library,
                                      const std::vector<Grant>& grants) {
  return change([&, key = library_key(library)](Contents& contents) -> Result<void> {
    if (!contents.plugins.contains(plugin) && contents.plugins.size() >= kMaxPlugins)
      return full(std::to_string(kMaxPlugins) + " plugins");
    auto& entry = contents.plugins[plugin];
    if (entry.library != key) entry = {key, {}, {}};
    for (const auto& grant : grants) {
      if (std::find(entry.grants.begin(), entry.grants.end(), grant) == entry.grants.end())
        entry.grants.push_back(grant);
    }
    if (entry.grants.size() > kMaxGrants) return full(std::to_string(kMaxGrants) + " grants of plugin " + plugin);
    entry.at = wall_clock();
    return {};
  });
}

Result<void> TrustStore::trust_folder(const std::string& folder, const std::string& digest) {
  return change([&](Contents& contents) -> Result<void> {
    if (!contents.folders.contains(folder) && contents.folders.size() >= kMaxFolders)
      return full(std::to_string(kMaxFolders) + " folders");
    contents.folders[folder] = {digest, wall_clock()};
    return {};
  });
}

Result<void> TrustStore::revoke_plugin(const std::string& plugin) {
  return change([&](Contents& contents) -> Result<void> {
    if (contents.plugins.erase(plugin) != 0) return {};
    return fail(ErrorKind::not_found, "plugin " + plugin + " was not trusted");
  });
}

Result<void> TrustStore::revoke_folder(const std::string& folder) {
  return change([&](Contents& contents) -> Result<void> {
    if (contents.folders.erase(folder) != 0) return {};
    return fail(ErrorKind::not_found, "folder " + folder + " was not trusted");
  });
}

}  // namespace gantry::host
