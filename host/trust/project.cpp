// SPDX-License-Identifier: Apache-2.0
#include "host/trust/project.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <gantry/descriptor.hpp>
#include <host/config/check.hpp>
#include <host/config/sha256.hpp>

namespace gantry::host {

namespace {

// A server that needs no table, and whose settings run nothing.
constexpr std::string_view kKnownServer = "clangd";

/// A key of one table that the project sets.
struct Given {
  const Section* section;
  const Key* key;
  std::string name;
  std::string path;
  json value;
};

[[nodiscard]] std::vector<Given> given_in(const Config& own) {
  std::vector<Given> out;
  for (const auto& section : config_sections()) {
    for (const auto& name : section.names(own)) {
      for (const auto& key : section.keys) {
        std::string path = section.table(name) + "." + std::string(key.name);
        if (!own.places.contains(path)) continue;
        out.push_back({&section, &key, name, std::move(path), key.get(section.find(own, name))});
      }
    }
  }
  return out;
}

// A table that the user has not is nothing without what has to be trusted in it.
[[nodiscard]] bool is_safe(const Given& given, const Config& base) {
  const bool known_server = given.section->path == "lsp.servers.*" && given.name == kKnownServer;
  if (given.section->named() && !known_server && given.section->find(base, given.name) == nullptr) return false;
  return given.key->project == ProjectUse::safe || (given.key->project == ProjectUse::safe_if_known && known_server);
}

void lay_over(const Given& given, Config& config) {
  void* const into = given.section->make(config, given.name);
  if (given.key->type != KeyType::table) {
    given.key->set(into, given.value);
    return;
  }
  json merged = given.key->get(into);
  merged.merge_patch(given.value);
  given.key->set(into, merged);
}

}  // namespace

Result<std::optional<ProjectFile>> read_project_file(const std::filesystem::path& folder) {
  ProjectFile out;
  out.path = (folder / kProjectFile).string();
  const auto refuse = [&](ErrorKind kind, const std::string& why) { return fail(kind, out.path + " " + why); };
  const Descriptor in(::open(out.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW));
  if (in.get() < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (in.get() < 0 && errno == ELOOP)
    return refuse(ErrorKind::permission_denied, "is a symbolic link, and is not read; put the file itself there");
  if (in.get() < 0) return refuse(ErrorKind::unavailable, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat info{};
  if (::fstat(in.get(), &info) != 0)
    return refuse(ErrorKind::unavailable, std::string("cannot be read: ") + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return refuse(ErrorKind::permission_denied, "is no regular file, and is not read");
  if (info.st_uid != ::geteuid())
    return refuse(ErrorKind::permission_denied,
                  "belongs to another user (" + std::to_string(info.st_uid) + "), and is not read");
  out.text.resize(kMaxProjectBytes + 1);
  std::size_t size = 0;
  while (size < out.text.size()) {
    const ssize_t got = ::read(in.get(), out.text.data() + size, out.text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return refuse(ErrorKind::unavailable, std::string("cannot be read: ") + std::strerror(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kMaxProjectBytes)
    return refuse(ErrorKind::too_large,
                  "is larger than " + std::to_string(kMaxProjectBytes) + " bytes, and is not read");
  out.text.resize(size);
  out.digest = sha256(out.text);
  return out;
}

ConfigResult<ProjectConfig> project_config(const ProjectFile& file, const Config& base, bool trusted,
                                           const EnvLookup& env) {
  const auto tree = parse_toml(file.text);
  if (!tree) return std::unexpected(std::vector{ConfigError{file.path, tree.error().place, {}, tree.error().message}});
  Config own;
  Diagnostics diagnostics(file.path);
  check_tables(*tree, env, own, diagnostics, std::filesystem::path(file.path).parent_path().string());
  ProjectConfig out{base, {}};
  Config all = base;  // as if it were trusted: what is wrong is said before anybody trusts it
  for (auto& given : given_in(own)) {
    if (given.key->project == ProjectUse::never) {
      diagnostics.add(own.places.at(given.path), given.path,
                      "`" + given.path + "` is not for a project to set; it belongs into the user's configuration");
      continue;
    }
    const bool safe = is_safe(given, base);
    lay_over(given, all);
    if (safe || trusted) lay_over(given, out.config);
    out.keys.push_back({given.path, std::move(given.value), safe});
  }
  for (Config* const config : {&all, &out.config}) {
    config->file = file.path;
    for (const auto& [key, place] : own.places) config->places[key] = place;
  }
  if (diagnostics.empty()) check_rules(all, diagnostics);
  if (diagnostics.empty() && !trusted) check_rules(out.config, diagnostics);
  if (!diagnostics.empty()) return std::unexpected(diagnostics.take());
  return out;
}

}  // namespace gantry::host
