// SPDX-License-Identifier: Apache-2.0
//
// A plugin that needs another one and calls it: it greets many people, by the plugin that greets one (../hello).
//
//   [plugins.greeter]
//   path = ".../greeter.so"
//   grants = ["call:hello.*"]
#include <gantry/plugin.hpp>
#include <memory>

namespace {

struct Guests {
  std::vector<std::string> names;
};
BOOST_DESCRIBE_STRUCT(Guests, (), (names))
constexpr auto gantry_fields(const Guests*) {
  return gantry::fields(gantry::field(&Guests::names, "whom to greet").required().min_length(1).max_length(100));
}

struct Welcome {
  std::vector<std::string> texts;
};
BOOST_DESCRIBE_STRUCT(Welcome, (), (texts))

/// A call whose answer is gathered. The last callback that lets go of it ends it.
struct Party {
  Party(gantry::Call c, std::size_t guests) : call(std::move(c)), missing(guests) { welcome.texts.resize(guests); }
  gantry::Call call;
  std::size_t missing;
  Welcome welcome;
};

class Greeter {
 public:
  explicit Greeter(gantry::Host host) : host_(std::move(host)) {}

  // Owns its Call, so that it may answer later: a handler never waits. The callbacks run one at a time, like handlers.
  void welcome(const Guests& guests, gantry::Call call) {
    const auto party = std::make_shared<Party>(std::move(call), guests.names.size());
    for (std::size_t i = 0; i < guests.names.size(); ++i) {
      auto asked = host_.call("hello.greet", {{"name", guests.names[i]}}, party->call.onward(),  // within its deadline
                              [party, i](gantry::Result<gantry::CallAnswer> answer) {
                                if (!answer) return party->call.reply_error(answer.error());
                                party->welcome.texts[i] = answer->value.value("text", "");
                                if (--party->missing == 0) party->call.reply(gantry::to_json(party->welcome));
                              });
      if (!asked) return party->call.reply_error(asked.error());  // only the first answer counts
    }
  }

  static void define(gantry::Definition<Greeter>& d) {
    d.id("greeter").version("1.0.0").service("greeter").needs("hello", "^1").grant("call:hello.*");
    d.method("greeter.welcome", &Greeter::welcome, {.summary = "Greets each of many people"});
  }

 private:
  gantry::Host host_;
};

}  // namespace

GANTRY_PLUGIN(Greeter)
