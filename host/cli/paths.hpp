// SPDX-License-Identifier: Apache-2.0
//
// host/cli/paths.hpp: where things lie, as docs/protocol.md says.
#pragma once

#include <filesystem>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <vector>

namespace gantry::host {

/// `--socket`, else $GANTRY_SOCKET, else $XDG_RUNTIME_DIR/gantry/host.sock, else /tmp/gantry-UID/host.sock. Absolute.
/// A runtime folder that is missing, or is not this user's own, counts as not set.
[[nodiscard]] std::filesystem::path socket_path(const std::string& given);
/// Why $XDG_RUNTIME_DIR counts as not set, for the user; nullopt: it counts, or is not set.
[[nodiscard]] std::optional<std::string> ignored_runtime_dir();
/// /tmp/gantry-UID/host.sock.
[[nodiscard]] std::filesystem::path fallback_socket();
/// By `--socket` or $GANTRY_SOCKET, not by what holds for everybody.
[[nodiscard]] bool socket_is_named(const std::string& given);
/// $GANTRY_STATE_DIR, else $XDG_STATE_HOME/gantry, else ~/.local/state/gantry.
[[nodiscard]] std::filesystem::path state_dir();
/// `permission_denied` when state_dir() follows from a home that is another user's (`sudo` with the caller's $HOME):
/// files of this user there would keep that user's own host from starting. A folder that $GANTRY_STATE_DIR names may be
/// anybody's.
[[nodiscard]] Result<void> check_state_dir_owner();
struct GivenPath {
  std::string what;  ///< who gave it: `--config`, ...
  std::string path;  ///< empty: nobody did
};
/// `not_found` when the working folder was deleted and one of these, or of the variables of this file, is relative.
[[nodiscard]] Result<void> check_working_folder(const std::vector<GivenPath>& given);
/// This program's own file, as it was named when it was started: an upgrade may have put another one there.
[[nodiscard]] std::filesystem::path program_path();
/// What a process of this program starts to run this program once more: the very file that it runs itself, whatever
/// lies under its name by now.
inline constexpr const char* kOwnProgram = "/proc/self/exe";
/// $GANTRY_PLUGIN_DIR, else `plugins` beside the program, else ../lib/gantry/plugins.
[[nodiscard]] std::filesystem::path plugin_dir();

/// `template` beside the program, else ../share/gantry/template.
[[nodiscard]] std::filesystem::path template_dir();

}  // namespace gantry::host
