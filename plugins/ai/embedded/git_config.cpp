// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/git_config.hpp"

#include <git2.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "plugins/ai/embedded/read_file.hpp"

namespace gantry::ai {

namespace {

constexpr std::size_t kMaxConfig = 1U << 20U;

// libgit2 counts who uses it, and takes its places from the environment when the first one comes.
class Library {
 public:
  Library() : there_(git_libgit2_init() > 0) {}
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    if (there_) (void)git_libgit2_shutdown();
  }
  [[nodiscard]] bool there() const { return there_; }

 private:
  bool there_;
};

class Config {
 public:
  Config() {
    if (git_config_new(&config_) < 0) config_ = nullptr;
  }
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;
  ~Config() { git_config_free(config_); }

  void add_found(int (*find)(git_buf*), git_config_level_t level, GitConfig& out) {
    git_buf path{};
    if (find(&path) == 0) add(path.ptr, level, out);
    git_buf_dispose(&path);
  }
  void add(const std::string& path, git_config_level_t level, GitConfig& out) {
    const auto file = read_regular(path, kMaxConfig, Links::follow);
    if (file.state == FileText::State::refused) out.unread.push_back(path);
    if (file.state != FileText::State::read || config_ == nullptr) return;
    std::string text = file.text;
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    if (level == GIT_CONFIG_LEVEL_LOCAL && text.contains("include")) return;
    if (git_config_add_file_ondisk(config_, path.c_str(), level, nullptr, 0) < 0) out.unread.push_back(path);
  }
  void read(GitConfig& out) const {
    if (config_ == nullptr) return;
    git_buf path{};
    if (git_config_get_path(&path, config_, "core.excludesfile") == 0) out.excludes_file = path.ptr;
    git_buf_dispose(&path);
    int fold = 0;
    if (git_config_get_bool(&fold, config_, "core.ignorecase") == 0) out.ignore_case = fold != 0;
  }

 private:
  git_config* config_ = nullptr;
};

std::string default_excludes_file() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config != '\0') return std::string(config) + "/git/ignore";
  const char* home = std::getenv("HOME");
  return home == nullptr || *home == '\0' ? std::string() : std::string(home) + "/.config/git/ignore";
}

}  // namespace

GitConfig read_git_config(const std::filesystem::path& common_dir) {
  GitConfig out;
  out.excludes_file = default_excludes_file();
  const Library library;
  if (!library.there()) return out;
  Config config;
  config.add_found(&git_config_find_system, GIT_CONFIG_LEVEL_SYSTEM, out);
  config.add_found(&git_config_find_xdg, GIT_CONFIG_LEVEL_XDG, out);
  config.add_found(&git_config_find_global, GIT_CONFIG_LEVEL_GLOBAL, out);
  config.add(common_dir / "config", GIT_CONFIG_LEVEL_LOCAL, out);
  config.read(out);
  return out;
}

}  // namespace gantry::ai
