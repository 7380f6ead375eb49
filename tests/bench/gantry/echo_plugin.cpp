// SPDX-License-Identifier: Apache-2.0
//
// What the echo rows call: answers its params as they came, on the host's worker.
#include <gantry/plugin.hpp>

struct Echo {
  explicit Echo(gantry::Host) {}
  void echo(gantry::Call call) { call.reply_raw(call.raw_params()); }
  static void define(gantry::Definition<Echo>& d) {
    d.id("echo").version("1.0.0").service("echo").nonblocking();
    d.method("echo.echo", &Echo::echo, {.summary = "Answers its params"});
  }
};
GANTRY_PLUGIN(Echo)
