// SPDX-License-Identifier: Apache-2.0
//
// Keeps a log of three events that subscribers follow, and reads it as `kind` says: well, not at once, or wrongly.
#include <gantry/plugin.hpp>
#include <string>

struct Chronicle {
  explicit Chronicle(gantry::Host h) : host(std::move(h)) {}
  gantry::Result<void> start(const gantry::PluginConfig& /*config*/) {
    host.claim_log("chronicle-epoch", 3);
    return {};
  }

  /// {kind}
  gantry::Result<gantry::json> follow(gantry::Call& call) {
    const gantry::json params = call.params();
    gantry::json follow{{"topics", {"chronicle.**"}},
                        {"some", gantry::json::array()},
                        {"contains", gantry::json::array()},
                        {"request", params},
                        {"from", {{"epoch", "chronicle-epoch"}, {"seq", 0}}}};
    if (params["kind"] == "no follow") return gantry::json::object();
    if (params["kind"] == "no place") follow.erase("from");
    if (params["kind"] == "no topics") follow["topics"] = 1;
    return gantry::json{{"follow", std::move(follow)}};
  }
  /// {kind, from}
  gantry::Result<gantry::json> read(gantry::Call& call) {
    const gantry::json params = call.params();
    const std::string kind = params.value("kind", "");
    if (kind == "not at once" && ++reads < 4)
      return gantry::fail(reads % 2 == 0 ? gantry::ErrorKind::overloaded : gantry::ErrorKind::unavailable, "not now");
    if (kind == "refused") return gantry::fail(gantry::ErrorKind::permission_denied, "not for you");
    gantry::json page{{"epoch", "chronicle-epoch"}, {"head", 3}, {"covered", 3}, {"events", gantry::json::array()}};
    for (int seq = 1; seq <= 3; ++seq)
      page["events"].push_back({{"seq", seq}, {"topic", "chronicle.entry"}, {"payload", {{"n", seq}}}});
    if (kind == "no events") page.erase("events");
    if (kind == "another topic") page["events"][1]["topic"] = "state.session.created";
    if (kind == "no payload") page["events"][1].erase("payload");
    return page;
  }

  static void define(gantry::Definition<Chronicle>& d) {
    d.id("chronicle").version("1.0.0").service("chronicle").publishes("chronicle.**");
    d.keeps_log("chronicle.**").reads_log("chronicle.read");
    d.method("chronicle.follow", &Chronicle::follow, {.follows = "chronicle.read"});
    d.method("chronicle.read", &Chronicle::read, {.idempotent = true});
  }

  gantry::Host host;
  int reads = 0;
};
GANTRY_PLUGIN(Chronicle)
