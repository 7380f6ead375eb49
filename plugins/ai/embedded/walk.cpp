// SPDX-License-Identifier: Apache-2.0
#include "embedded/walk.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <vector>

#include "embedded/gitignore.hpp"

namespace gantry::ai {

namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 9> kSkippedFolders = {
    "node_modules", "build", "dist", "out", "target", "venv", "__pycache__", "CMakeFiles", "bower_components"};
constexpr std::array<std::string_view, 7> kSecretEndings = {".pem", ".key", ".p12", ".pfx", ".jks", ".kdbx", ".asc"};

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i++]);
    if (c < 0x80) continue;
    const std::size_t more = c >= 0xC2 && c <= 0xDF ? 1 : (c >> 4U) == 14 ? 2 : c >= 0xF0 && c <= 0xF4 ? 3 : 0;
    if (more == 0 || text.size() - i < more) return false;
    for (std::size_t k = 0; k < more; ++k) {
      if ((static_cast<unsigned char>(text[i++]) & 0xC0U) != 0x80) return false;
    }
  }
  return true;
}

// Written by people? Lines of machine-made text are long.
bool is_readable(const std::string& text) {
  if (text.empty() || text.find('\0') != std::string::npos || !is_utf8(text)) return false;
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  return text.size() / lines <= 300;
}

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

std::optional<std::string> read_regular(const fs::path& path, std::size_t max_bytes) {
  // O_NONBLOCK: should the name have become a FIFO meanwhile, opening it must not wait.
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  struct stat info{};
  if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  if (info.st_size <= 0 || static_cast<std::size_t>(info.st_size) > max_bytes) return std::nullopt;
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

class Walker {
 public:
  Walker(const WalkLimits& limits, const std::atomic<bool>& stop, const std::function<bool(const std::string&)>& each)
      : limits_(limits), stop_(stop), each_(each) {}

  WalkCounts run(const fs::path& root) {
    folder(root, 0);
    return counts_;
  }

 private:
  struct Rules {
    fs::path folder;
    Gitignore patterns;
  };

  void folder(const fs::path& path, std::size_t depth) {
    if (depth > limits_.max_depth) {
      counts_.complete = false;
      return;
    }
    const bool has_rules = read_rules(path);
    for (const auto& name : names(path)) {
      if (ended()) break;
      entry(path / name, name, depth);
    }
    if (has_rules) rules_.pop_back();
  }

  void entry(const fs::path& path, const std::string& name, std::size_t depth) {
    std::error_code error;
    const auto type = fs::symlink_status(path, error).type();
    if (error || (type != fs::file_type::directory && type != fs::file_type::regular)) return;
    const bool is_folder = type == fs::file_type::directory;
    if (is_folder) {
      const bool skipped = std::find(kSkippedFolders.begin(), kSkippedFolders.end(), name) != kSkippedFolders.end();
      if (!skipped && name.front() != '.' && !ignored(path, true)) folder(path, depth + 1);
      return;
    }
    const bool secret = std::any_of(kSecretEndings.begin(), kSecretEndings.end(),
                                    [&](std::string_view ending) { return name.ends_with(ending); });
    std::optional<std::string> text;
    if (name.front() != '.' && !secret && !ignored(path, false)) text = read_regular(path, limits_.max_file_bytes);
    if (!text || !is_readable(*text)) {
      ++counts_.skipped;
      return;
    }
    if (counts_.files >= limits_.max_files || !each_(*text)) {
      over_ = true;
      return;
    }
    ++counts_.files;
  }

  [[nodiscard]] std::vector<std::string> names(const fs::path& path) {
    std::vector<std::string> names;
    std::error_code error;
    fs::directory_iterator it(path, fs::directory_options::skip_permission_denied, error);
    for (; !error && it != fs::directory_iterator(); it.increment(error)) {
      if (names.size() >= limits_.max_entries) {
        counts_.complete = false;
        break;
      }
      names.push_back(it->path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  bool read_rules(const fs::path& path) {
    const auto text = read_regular(path / ".gitignore", limits_.max_file_bytes);
    if (!text) return false;
    Gitignore patterns(*text);
    if (patterns.empty()) return false;
    rules_.push_back(Rules{path, std::move(patterns)});
    return true;
  }

  // The innermost file that mentions a path decides.
  [[nodiscard]] bool ignored(const fs::path& path, bool is_folder) const {
    for (auto rules = rules_.rbegin(); rules != rules_.rend(); ++rules) {
      const std::string relative = path.native().substr(rules->folder.native().size());
      if (const auto verdict = rules->patterns.ignored(relative, is_folder)) return *verdict;
    }
    return false;
  }

  [[nodiscard]] bool ended() {
    if (stop_.load(std::memory_order_relaxed)) over_ = true;
    if (over_) counts_.complete = false;
    return over_;
  }

  const WalkLimits& limits_;
  const std::atomic<bool>& stop_;
  const std::function<bool(const std::string&)>& each_;
  std::vector<Rules> rules_;
  WalkCounts counts_;
  bool over_ = false;
};

}  // namespace

WalkCounts walk_text_files(const fs::path& root, const WalkLimits& limits, const std::atomic<bool>& stop,
                           const std::function<bool(const std::string& text)>& each) {
  return Walker(limits, stop, each).run(root);
}

}  // namespace gantry::ai
