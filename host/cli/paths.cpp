// SPDX-License-Identifier: Apache-2.0
#include "host/cli/paths.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace gantry::host {

namespace fs = std::filesystem;

namespace {
[[nodiscard]] std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}
// A relative one counts as not set (XDG Base Directory Specification 0.8).
[[nodiscard]] std::string absolute_env(const char* name) {
  auto value = env(name);
  return value.starts_with('/') ? value : std::string();
}
[[nodiscard]] std::string home() {
  if (auto from_env = absolute_env("HOME"); !from_env.empty()) return from_env;
  const passwd* user = ::getpwuid(::getuid());
  return user == nullptr ? "/" : user->pw_dir;
}
[[nodiscard]] std::string user_name(uid_t uid) {
  const passwd* user = ::getpwuid(uid);
  return user == nullptr ? "user " + std::to_string(uid) : user->pw_name;
}
/// In a build it lies beside the program, installed in a folder of the prefix.
[[nodiscard]] fs::path beside_program(const char* name, const char* installed) {
  const auto here = program_path().parent_path();
  std::error_code failed;
  if (fs::is_directory(here / name, failed)) return here / name;
  return here.parent_path() / installed / "gantry" / name;
}
}  // namespace

fs::path socket_path(const std::string& given) {
  if (!given.empty()) return fs::absolute(given);
  if (auto from_env = env("GANTRY_SOCKET"); !from_env.empty()) return fs::absolute(from_env);
  if (auto runtime = absolute_env("XDG_RUNTIME_DIR"); !runtime.empty() && !ignored_runtime_dir())
    return fs::path(runtime) / "gantry" / "host.sock";
  return fallback_socket();
}

// "The directory MUST be owned by the user" (XDG Base Directory Specification 0.8), and a login makes it, not a
// program.
std::optional<std::string> ignored_runtime_dir() {
  const auto runtime = absolute_env("XDG_RUNTIME_DIR");
  if (runtime.empty()) return std::nullopt;
  struct stat info{};
  std::string why;
  if (::stat(runtime.c_str(), &info) != 0) {
    why = "is not there";
  } else if (!S_ISDIR(info.st_mode)) {
    why = "is no folder";
  } else if (info.st_uid != ::geteuid()) {
    why = "belongs to " + user_name(info.st_uid);
  } else {
    return std::nullopt;
  }
  return "$XDG_RUNTIME_DIR is ignored: " + runtime + " " + why + "; the socket's folder is " +
         fallback_socket().parent_path().string();
}

fs::path fallback_socket() { return fs::path("/tmp") / ("gantry-" + std::to_string(::getuid())) / "host.sock"; }

bool socket_is_named(const std::string& given) { return !given.empty() || !env("GANTRY_SOCKET").empty(); }

fs::path state_dir() {
  if (auto from_env = env("GANTRY_STATE_DIR"); !from_env.empty()) return fs::absolute(from_env);
  if (auto xdg = absolute_env("XDG_STATE_HOME"); !xdg.empty()) return fs::path(xdg) / "gantry";
  return fs::path(home()) / ".local" / "state" / "gantry";
}

Result<void> check_state_dir_owner() {
  if (!env("GANTRY_STATE_DIR").empty()) return {};
  const auto wanted = state_dir();
  struct stat info{};
  auto folder = wanted;
  while (::stat(folder.c_str(), &info) != 0 && folder.has_relative_path()) folder = folder.parent_path();
  // System folders are root's; whose an unmapped user's are (in a container, on NFS) cannot be told.
  constexpr uid_t kUnmapped = 65534;
  if (info.st_uid == ::geteuid() || info.st_uid == 0 || info.st_uid == kUnmapped) return {};
  std::string why = "the state folder would be " + wanted.string();
  why += ", but " + folder.string() + " belongs to " + user_name(info.st_uid);
  why += ", and gantry runs as " + user_name(::geteuid());
  why += "; set HOME to a folder of that user's own (`sudo -H`), or name a folder ($GANTRY_STATE_DIR)";
  return fail(ErrorKind::permission_denied, why);
}

Result<void> check_working_folder(const std::vector<GivenPath>& given) {
  std::error_code failed;
  (void)fs::current_path(failed);
  if (!failed) return {};
  std::vector<GivenPath> all = given;
  for (const char* name : {"GANTRY_SOCKET", "GANTRY_CONFIG", "GANTRY_STATE_DIR", "GANTRY_PLUGIN_DIR"})
    all.push_back({"$" + std::string(name), env(name)});
  for (const auto& [what, path] : all) {
    if (path.empty() || path.starts_with('/')) continue;
    return fail(ErrorKind::not_found, what + " is " + path +
                                          ", which is relative to the working folder, and that was deleted; name an "
                                          "absolute path, or change to a folder that exists");
  }
  return {};
}

fs::path program_path() {
  std::error_code failed;
  return fs::read_symlink("/proc/self/exe", failed);
}

fs::path plugin_dir() {
  if (auto from_env = env("GANTRY_PLUGIN_DIR"); !from_env.empty()) return fs::absolute(from_env);
  return beside_program("plugins", "lib");
}

fs::path template_dir() { return beside_program("template", "share"); }

}  // namespace gantry::host
