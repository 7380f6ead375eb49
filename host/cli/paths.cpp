// SPDX-License-Identifier: Apache-2.0
#include "host/cli/paths.hpp"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

namespace gantry::host {

namespace fs = std::filesystem;

namespace {
[[nodiscard]] std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}
[[nodiscard]] std::string home() {
  if (auto from_env = env("HOME"); !from_env.empty()) return from_env;
  const passwd* user = ::getpwuid(::getuid());
  return user == nullptr ? "/" : user->pw_dir;
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
  if (auto runtime = env("XDG_RUNTIME_DIR"); !runtime.empty()) return fs::path(runtime) / "gantry" / "host.sock";
  return fs::path("/tmp") / ("gantry-" + std::to_string(::getuid())) / "host.sock";
}

fs::path state_dir() {
  if (auto from_env = env("GANTRY_STATE_DIR"); !from_env.empty()) return fs::absolute(from_env);
  if (auto xdg = env("XDG_STATE_HOME"); !xdg.empty()) return fs::path(xdg) / "gantry";
  return fs::path(home()) / ".local" / "state" / "gantry";
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
