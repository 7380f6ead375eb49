// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/child/child_main.hpp: what runs in a plugin's own process: the plugin, inline, and
// the other end of the link.
#pragma once

namespace gantry::host {

/// `gantry plugin-child NAME`: serves the host behind descriptor 3 until it says stop, or is gone. The exit code.
int plugin_child();

}  // namespace gantry::host
