// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/child/child_main.hpp: the program in a plugin's own process: the plugin, inline, and
// this end of the link.
#pragma once

namespace gantry::host {

/// `gantry plugin-child NAME`: serves the host behind descriptor 3 until the host sends stop, or is
/// gone. Returns the exit code.
int plugin_child();

}  // namespace gantry::host
