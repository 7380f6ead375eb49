// SPDX-License-Identifier: Apache-2.0
//
// As echo_plugin.cpp, but for a thread of its own.
#include <gantry/plugin.hpp>

struct EchoThread {
  explicit EchoThread(gantry::Host) {}
  void echo(gantry::Call call) { call.reply_raw(call.raw_params()); }
  static void define(gantry::Definition<EchoThread>& d) {
    d.id("echo_thread").version("1.0.0").service("echo_thread");
    d.method("echo_thread.echo", &EchoThread::echo, {.summary = "Answers its params"});
  }
};
GANTRY_PLUGIN(EchoThread)
