// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <host/config/check.hpp>
#include <host/observe/printable.hpp>
#include <system_error>

namespace gantry::host {
namespace {

constexpr std::size_t kMaxFileNameShown = 1024;

std::unexpected<std::vector<ConfigError>> refuse(std::string file, std::string message) {
  return std::unexpected(std::vector<ConfigError>{ConfigError{std::move(file), {}, {}, std::move(message)}});
}

std::string errno_text(int error) { return std::error_code(error, std::generic_category()).message(); }

std::string too_large(std::uint64_t bytes) {
  return "the configuration may have at most " + std::to_string(kMaxConfigBytes) + " bytes, not " +
         std::to_string(bytes);
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::string cannot_open(const std::filesystem::path& file, int why) {
  std::error_code failed;
  for (const auto& path : {file, file.parent_path()}) {
    if (why != ENOENT || !std::filesystem::is_symlink(path, failed)) continue;
    const auto target = std::filesystem::read_symlink(path, failed);
    return (path == file ? "is a link to " : "lies in a link to ") + printable(target.native(), kMaxFileNameShown) +
           ", which does not exist; correct or remove the link";
  }
  return "cannot be opened: " + errno_text(why);
}

std::expected<std::string, std::string> read_file(const std::filesystem::path& file) {
  // Without O_NONBLOCK a named pipe would hold the host at its start for ever.
  const Descriptor in{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (in.fd < 0) return std::unexpected(cannot_open(file, errno));
  struct stat info{};
  if (::fstat(in.fd, &info) != 0) return std::unexpected("cannot be read: " + errno_text(errno));
  if (S_ISDIR(info.st_mode)) return std::unexpected("is a folder; name the file in it");
  if (!S_ISREG(info.st_mode)) return std::unexpected("is no regular file");
  if (static_cast<std::uint64_t>(info.st_size) > kMaxConfigBytes) {
    return std::unexpected(too_large(static_cast<std::uint64_t>(info.st_size)));
  }
  std::string text(kMaxConfigBytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(in.fd, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected("cannot be read: " + errno_text(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

}  // namespace

std::string to_string(const ConfigError& error) {
  std::string out = printable(error.file, kMaxFileNameShown);
  if (error.place.line != 0) {
    out += ":" + std::to_string(error.place.line) + ":" + std::to_string(error.place.column);
  }
  return out + ": error: " + error.message;
}

std::string to_string(const std::vector<ConfigError>& errors) {
  std::string out;
  for (const auto& error : errors) out += to_string(error) + "\n";
  return out;
}

std::optional<std::string> process_env(const char* name) {
  // The host changes no variable of its own after start. NOLINTNEXTLINE(concurrency-mt-unsafe)
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Config default_config() { return Config{}; }

ConfigResult<Config> parse_config(std::string_view text, std::string file, const EnvLookup& env) {
  if (text.size() > kMaxConfigBytes) return refuse(std::move(file), too_large(text.size()));
  const auto tree = parse_toml(text);
  if (!tree) {
    return std::unexpected(
        std::vector<ConfigError>{ConfigError{std::move(file), tree.error().place, {}, tree.error().message}});
  }
  Config config;
  config.file = file;
  Diagnostics diagnostics(std::move(file));
  check_tables(*tree, env, config, diagnostics);
  check_rules(config, diagnostics);
  if (!diagnostics.empty()) return std::unexpected(diagnostics.take());
  return config;
}

ConfigResult<Config> load_config(const std::filesystem::path& file, const EnvLookup& env) {
  const auto text = read_file(file);
  if (!text) return refuse(file.string(), text.error());
  return parse_config(*text, file.string(), env);
}

std::optional<std::filesystem::path> find_config_file(const std::optional<std::filesystem::path>& command_line,
                                                      const EnvLookup& env) {
  if (command_line) return command_line;
  if (const auto named = env("GANTRY_CONFIG"); named && !named->empty()) return *named;
  std::filesystem::path folder;
  // A relative XDG_CONFIG_HOME counts as not set (XDG Base Directory Specification 0.8).
  if (const auto xdg = env("XDG_CONFIG_HOME"); xdg && xdg->starts_with('/')) {
    folder = *xdg;
  } else if (const auto home = env("HOME"); home && home->starts_with('/')) {
    folder = std::filesystem::path(*home) / ".config";
  } else {
    return std::nullopt;
  }
  auto file = folder / "gantry" / "gantry.toml";
  std::error_code error;
  const auto is_missing = [&](const std::filesystem::path& path) {
    return std::filesystem::symlink_status(path, error).type() == std::filesystem::file_type::not_found;
  };
  // A file that cannot be looked at, for its folder's permissions say, is there: load_config will tell why. So is a
  // link that leads nowhere, and a file in a folder that is such a link.
  if (!is_missing(file)) return file;
  const bool folder_leads_nowhere =
      !is_missing(file.parent_path()) && !std::filesystem::exists(file.parent_path(), error);
  return folder_leads_nowhere ? std::optional(file) : std::nullopt;
}

}  // namespace gantry::host
