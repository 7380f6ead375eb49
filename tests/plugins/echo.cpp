// SPDX-License-Identifier: Apache-2.0
#include <gantry/plugin.hpp>

struct Echo {
  explicit Echo(gantry::Host) {}
  gantry::Result<gantry::json> say(gantry::Call& call) { return call.params(); }
  static void define(gantry::Definition<Echo>& d) {
    d.id("echo").version("1.0.0").service("echo").method("echo.say", &Echo::say, {.summary = "Answers its params"});
  }
};
GANTRY_PLUGIN(Echo)
