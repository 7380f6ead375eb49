// SPDX-License-Identifier: Apache-2.0
//
// Plugins that start by an event, or by a language. Each says what it was given. They are no part of the product.
#include <gantry/plugin.hpp>

namespace {

using namespace gantry;

class Starter {
 public:
  explicit Starter(Host /*host*/) {}
  void event(std::string_view topic, const json& payload) {
    seen_.push_back({{"topic", std::string(topic)}, {"payload", payload}});
  }
  Result<json> seen(Call&) { return seen_; }

  static void define(Definition<Starter>& d) {
    d.id(NAME).version("1.0.0").service(NAME).method(NAME ".seen", &Starter::seen);
    MORE;
  }

 private:
  json seen_ = json::array();
};

}  // namespace

GANTRY_PLUGIN(Starter)
