// SPDX-License-Identifier: Apache-2.0
//
// Answers its params as they came, on the host's worker: the common call.
#include <gantry/plugin.hpp>

struct Quick {
  explicit Quick(gantry::Host) {}
  void echo(gantry::Call call) { call.reply_raw(call.raw_params()); }
  static void define(gantry::Definition<Quick>& d) {
    d.id("quick").version("1.0.0").service("quick").nonblocking();
    d.method("quick.echo", &Quick::echo, {.summary = "Answers its params"});
  }
};
GANTRY_PLUGIN(Quick)
