// SPDX-License-Identifier: Apache-2.0
//
// host/cli/paths.hpp: where things lie, as docs/protocol.md says.
#pragma once

#include <filesystem>
#include <string>

namespace gantry::host {

/// `--socket`, else $GANTRY_SOCKET, else $XDG_RUNTIME_DIR/gantry/host.sock, else /tmp/gantry-UID/host.sock. Absolute.
[[nodiscard]] std::filesystem::path socket_path(const std::string& given);
/// $GANTRY_STATE_DIR, else $XDG_STATE_HOME/gantry, else ~/.local/state/gantry.
[[nodiscard]] std::filesystem::path state_dir();
/// This program's own file.
[[nodiscard]] std::filesystem::path program_path();
/// $GANTRY_PLUGIN_DIR, else `plugins` beside the program, else ../lib/gantry/plugins.
[[nodiscard]] std::filesystem::path plugin_dir();

/// `template` beside the program, else ../share/gantry/template.
[[nodiscard]] std::filesystem::path template_dir();

}  // namespace gantry::host
