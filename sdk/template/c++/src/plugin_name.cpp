// plugin_name: what it is for, in one line.
#include <gantry/plugin.hpp>

namespace {

struct GreetParams {
  std::string who = "world";
};
BOOST_DESCRIBE_STRUCT(GreetParams, (), (who))
constexpr auto gantry_fields(const GreetParams*) {
  return gantry::fields(gantry::field(&GreetParams::who, "whom to greet").max_length(100));
}

struct Greeted {
  std::string text;
};
BOOST_DESCRIBE_STRUCT(Greeted, (), (text))

// [plugins.plugin_name.settings]: checked by the host before they come here.
struct Settings {
  std::string greeting = "Hello";
};
BOOST_DESCRIBE_STRUCT(Settings, (), (greeting))

class PluginNamePlugin {
 public:
  explicit PluginNamePlugin(gantry::Host host) : host_(std::move(host)) {}

  gantry::Result<void> start(const gantry::PluginConfig& config, const Settings& settings) {
    reconfigure(config, settings);
    host_.log(gantry::Level::info, "plugin_name is here");
    return {};
  }
  void reconfigure(const gantry::PluginConfig&, const Settings& settings) { settings_ = settings; }

  gantry::Result<Greeted> greet(const GreetParams& params) {
    if (params.who.empty()) return gantry::fail(gantry::ErrorKind::invalid_params, "who is nobody; name somebody");
    return Greeted{settings_.greeting + ", " + params.who + "!"};
  }

  static void define(gantry::Definition<PluginNamePlugin>& d) {
    d.id("plugin_name").version("0.1.0").service("plugin_name");
    d.method("plugin_name.greet", &PluginNamePlugin::greet, {.summary = "Greets somebody"});
  }

 private:
  gantry::Host host_;
  Settings settings_;
};

}  // namespace

GANTRY_PLUGIN(PluginNamePlugin)
