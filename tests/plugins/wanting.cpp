// SPDX-License-Identifier: Apache-2.0
//
// A plugin that asks for much and does what it is told with it. It is built several times: ASKS is what it asks for, so
// that a test can put a greedier build in the place of one that was trusted. It is no part of the product.
#include <gantry/plugin.hpp>
#include <memory>

#ifndef ASKS
#define ASKS
#endif

namespace {

using namespace gantry;

class Wanting {
 public:
  explicit Wanting(Host host) : host_(std::move(host)) {}

  Result<void> start(const PluginConfig& config) {
    config_ = config;
    return {};
  }
  void reconfigure(const PluginConfig& config) { config_ = config; }

  /// Those that hold at `path`.
  Result<json> settings(Call& call) { return config_.settings_at(call.params().at("path").get<std::string>()); }
  Result<json> build(Call&) { return json{{"build", BUILD}}; }
  Result<json> traced(Call& call) { return json{{"traceparent", call.traceparent()}}; }
  /// Another method, `method`, with `params`, in this call's trace.
  void relays(Call call) {
    auto shared = std::make_shared<Call>(std::move(call));
    const json params = shared->params();
    const auto made = host_.call(params.at("method").get<std::string>(), params.value("params", json::object()),
                                 shared->onward(), [shared](Result<CallAnswer> answer) {
                                   if (!answer) return shared->reply_error(answer.error());
                                   shared->reply(answer->value);
                                 });
    if (!made) shared->reply_error(made.error());
  }

  static void define(Definition<Wanting>& d) {
    d.id("wanting").version(std::to_string(BUILD) + ".0.0").service("wanting");
    ASKS;
    d.method("wanting.build", &Wanting::build).method("wanting.relays", &Wanting::relays);
    d.method("wanting.traced", &Wanting::traced).method("wanting.settings", &Wanting::settings);
  }

 private:
  Host host_;
  PluginConfig config_;
};

}  // namespace

GANTRY_PLUGIN(Wanting)
