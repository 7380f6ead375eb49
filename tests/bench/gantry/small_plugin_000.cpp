// SPDX-License-Identifier: Apache-2.0
//
// A small plugin, of which plugins_life.cpp makes others by putting other digits in the place of those.
#include <gantry/plugin.hpp>

struct Small {
  explicit Small(gantry::Host) {}
  gantry::Result<gantry::json> say(gantry::Call& call) { return call.params(); }
  static void define(gantry::Definition<Small>& d) {
    d.id("small_plugin_000")
        .version("1.0.0")
        .service("small_plugin_000")
        .method("small_plugin_000.say", &Small::say, {.summary = "Answers its params"});
  }
};
GANTRY_PLUGIN(Small)
