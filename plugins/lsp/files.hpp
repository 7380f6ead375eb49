// SPDX-License-Identifier: Apache-2.0
//
// files.hpp: the plugin's questions to the file system.
//
// Thread rule: any thread; blocks on the file system, so the worker calls it, and for servers that count positions
// otherwise than in UTF-16 the reactor (positions/translation.hpp).
#pragma once

#include <cstdint>
#include <gantry/result.hpp>
#include <string>
#include <vector>

namespace gantry::lsp {

/// Distinguishes contents of one file.
struct FileStamp {
  std::int64_t modified_ns = 0;
  std::uint64_t size = 0;
  std::uint64_t inode = 0;
  /// The file was examined so soon after its last change that a further change might not show.
  bool fresh = true;

  [[nodiscard]] bool same(const FileStamp& other) const {
    return modified_ns == other.modified_ns && size == other.size && inode == other.inode;
  }
};

inline constexpr std::uint64_t kMaxFile = std::uint64_t{16} << 20;

/// `not_found`; `too_large`: over kMaxFile. A folder has size 0 and `folder` set.
struct FileInfo {
  FileStamp stamp;
  bool folder = false;
};
[[nodiscard]] Result<FileInfo> look_at(const std::string& path);

/// The path without symbolic links; empty: it leads nowhere.
[[nodiscard]] std::string real_path(const std::string& path);

/// The bytes of the file.
[[nodiscard]] Result<std::string> read_bytes(const std::string& path);

/// The byte order mark with which a text in UTF-8 may begin. It is no part of the text: editors and servers leave it
/// out.
inline constexpr std::string_view kBom = "\xEF\xBB\xBF";
[[nodiscard]] std::string without_bom(std::string bytes);

/// The text of the file, without a byte order mark.
[[nodiscard]] Result<std::string> read_file(const std::string& path);

/// `wanted`, if that is a folder; else `home`, or the nearest existing folder above it.
[[nodiscard]] std::string folder_that_exists(const std::string& wanted, const std::string& home);

/// The nearest folder at or above `folder` with one of the markers, but none above the innermost of
/// `workspaces` that contains it: a marker there (a .git in the home folder) does not belong to the
/// project. Without a marker that workspace; outside of all workspaces `folder`.
[[nodiscard]] std::string find_root(const std::string& folder, const std::vector<std::string>& markers,
                                    const std::vector<std::string>& workspaces);

}  // namespace gantry::lsp
