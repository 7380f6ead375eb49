// SPDX-License-Identifier: Apache-2.0
//
// embedded/git_rules.hpp: which files git ignores, folder by folder, for a walk from the root of a
// workspace downwards.
//
// Rules come, in this order, from the .gitignore of the folder that holds a path and of each folder
// above it up to the top of the repository, including those above the workspace; from
// $GIT_COMMON_DIR/info/exclude; from core.excludesFile. The first file that mentions the path
// decides, and within a file the last pattern. Everything in an ignored folder is ignored. A
// repository within another has only rules of its own. Without a repository the .gitignore files of
// the workspace hold all the same. Whether git tracks a file makes no difference here: a file that
// rules name is not learned.
//
// Rules that exist but cannot be read count as rules that name everything: a plugin in a process of
// its own may be denied the folders above its workspace.
//
// Thread rule: one thread; blocks on the disk.
// Bounds: kMaxRules bytes of a file; larger ones count as unreadable. kMaxNotes notes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "plugins/ai/embedded/gitignore.hpp"

namespace gantry::ai {

class GitRules {
 public:
  static constexpr std::size_t kMaxRules = 1U << 20U;
  static constexpr std::size_t kMaxNotes = 16;

  /// Reads the rules from above `root`, an absolute path in its shortest form.
  explicit GitRules(const std::filesystem::path& root);

  /// The walk enters `folder`: first the root, then always a child of the present folder. False:
  /// the folder is to be passed over, and nothing in it is to be read. Each enter() needs a
  /// leave().
  [[nodiscard]] bool enter(const std::filesystem::path& folder);
  void leave() { folders_.pop_back(); }

  /// True: git ignores this entry of the present folder.
  [[nodiscard]] bool ignored(const std::filesystem::path& path, bool is_folder) const;

  /// Notes for people: files of rules that could not be read, and a root that is ignored as a
  /// whole.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct Folder {
    std::string path;
    bool fold = false;               // core.ignoreCase of its repository
    bool top = false;                // the top of a repository
    std::vector<Gitignore> own{};    // its .gitignore, if it has one
    std::vector<Gitignore> files{};  // for a top: the other files, the first one decides first
  };
  void note(std::string text);
  [[nodiscard]] bool read_repository(Folder& folder, const std::filesystem::path& common_dir);
  [[nodiscard]] bool read_rules(const std::filesystem::path& file, bool own, Folder& folder);

  bool nothing_ = false;  // the root is ignored as a whole
  std::vector<Folder> folders_;
  std::vector<std::string> notes_;
};

}  // namespace gantry::ai
