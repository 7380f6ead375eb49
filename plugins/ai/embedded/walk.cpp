// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/walk.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "plugins/ai/embedded/git_rules.hpp"
#include "plugins/ai/embedded/read_file.hpp"
#include "plugins/ai/utf8.hpp"

namespace gantry::ai {

namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 9> kSkippedFolders = {
    "node_modules", "build", "dist", "out", "target", "venv", "__pycache__", "CMakeFiles", "bower_components"};
constexpr std::array<std::string_view, 7> kSecretEndings = {".pem", ".key", ".p12", ".pfx", ".jks", ".kdbx", ".asc"};

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const auto step = utf8_step(text);
    if (!step.valid) return false;
    text.remove_prefix(step.size);
  }
  return true;
}

// Written by people? Lines of machine-made text are long.
bool is_readable(const std::string& text) {
  if (text.empty() || text.find('\0') != std::string::npos || !is_utf8(text)) return false;
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  return text.size() / lines <= 300;
}

class Walker {
 public:
  Walker(const fs::path& root, const WalkLimits& limits, const std::atomic<bool>& stop,
         const std::function<bool(const std::string&)>& each)
      : limits_(limits), stop_(stop), each_(each), rules_(root) {}

  WalkCounts run(const fs::path& root) {
    folder(root, 0);
    counts_.notes = rules_.notes();
    return counts_;
  }

 private:
  void folder(const fs::path& path, std::size_t depth) {
    if (depth > limits_.max_depth) {
      counts_.complete = false;
      return;
    }
    if (rules_.enter(path)) {
      for (const auto& name : names(path)) {
        if (ended()) break;
        entry(path / name, name, depth);
      }
    } else {
      counts_.complete = false;
    }
    rules_.leave();
  }

  void entry(const fs::path& path, const std::string& name, std::size_t depth) {
    std::error_code error;
    const auto type = fs::symlink_status(path, error).type();
    if (error || (type != fs::file_type::directory && type != fs::file_type::regular)) return;
    const bool is_folder = type == fs::file_type::directory;
    if (is_folder) {
      const bool skipped = std::find(kSkippedFolders.begin(), kSkippedFolders.end(), name) != kSkippedFolders.end();
      if (!skipped && name.front() != '.' && !rules_.ignored(path, true)) folder(path, depth + 1);
      return;
    }
    const bool secret = std::any_of(kSecretEndings.begin(), kSecretEndings.end(),
                                    [&](std::string_view ending) { return name.ends_with(ending); });
    FileText file;
    if (name.front() != '.' && !secret && !rules_.ignored(path, false)) {
      file = read_regular(path, limits_.max_file_bytes, Links::refuse);
    }
    if (!is_readable(file.text)) {
      ++counts_.skipped;
      return;
    }
    if (counts_.files >= limits_.max_files || !each_(file.text)) {
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

  [[nodiscard]] bool ended() {
    if (stop_.load(std::memory_order_relaxed)) over_ = true;
    if (over_) counts_.complete = false;
    return over_;
  }

  const WalkLimits& limits_;
  const std::atomic<bool>& stop_;
  const std::function<bool(const std::string&)>& each_;
  GitRules rules_;
  WalkCounts counts_;
  bool over_ = false;
};

}  // namespace

WalkCounts walk_text_files(const fs::path& root, const WalkLimits& limits, const std::atomic<bool>& stop,
                           const std::function<bool(const std::string& text)>& each) {
  return Walker(root, limits, stop, each).run(root);
}

}  // namespace gantry::ai
