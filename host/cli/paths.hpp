// SPDX-License-Identifier: Apache-2.0
//
// host/cli/paths.hpp: the paths of the host's files, as docs/protocol.md defines them.
#pragma once

#include <filesystem>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <vector>

namespace gantry::host {

/// `--socket`, else $GANTRY_SOCKET, else $XDG_RUNTIME_DIR/gantry/host.sock, else
/// /tmp/gantry-UID/host.sock. Absolute. A runtime folder that is missing, or is not this user's
/// own, counts as not set.
[[nodiscard]] std::filesystem::path socket_path(const std::string& given);
/// Why $XDG_RUNTIME_DIR counts as not set, for the user. nullopt: it is used, or is not set.
[[nodiscard]] std::optional<std::string> ignored_runtime_dir();
/// /tmp/gantry-UID/host.sock.
[[nodiscard]] std::filesystem::path fallback_socket();
/// True: `--socket` or $GANTRY_SOCKET names the socket; false: it is a default.
[[nodiscard]] bool socket_is_named(const std::string& given);
/// $GANTRY_STATE_DIR, else $XDG_STATE_HOME/gantry, else ~/.local/state/gantry.
[[nodiscard]] std::filesystem::path state_dir();
/// `permission_denied` when state_dir() follows from a home that belongs to another user (`sudo`
/// with the caller's $HOME): files of this user there would keep the other user's own host from
/// starting. A folder that $GANTRY_STATE_DIR names may belong to anybody.
[[nodiscard]] Result<void> check_state_dir_owner();
struct GivenPath {
  std::string what;  ///< the source of the path: `--config`, ...
  std::string path;  ///< empty: not given
};
/// `not_found` when the working folder was deleted and one of these paths, or of the variables
/// above, is relative.
[[nodiscard]] Result<void> check_working_folder(const std::vector<GivenPath>& given);
/// The file of this program, by the name with which it was started: an upgrade may have replaced it
/// since.
[[nodiscard]] std::filesystem::path program_path();
/// The path by which this program starts itself once more: the very file that it runs, even if an
/// upgrade has replaced the file under its name.
inline constexpr const char* kOwnProgram = "/proc/self/exe";
/// $GANTRY_PLUGIN_DIR, else `plugins` beside the program, else ../lib/gantry/plugins.
[[nodiscard]] std::filesystem::path plugin_dir();

/// `template` beside the program, else ../share/gantry/template.
[[nodiscard]] std::filesystem::path template_dir();

}  // namespace gantry::host
