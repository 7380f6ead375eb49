// SPDX-License-Identifier: Apache-2.0
//
// A plugin that needs a library of its own, which lies in a folder beside it ($ORIGIN).
#include <gantry/plugin.hpp>

extern "C" int beside_says(void);

namespace {

using namespace gantry;

struct Leaning {
  explicit Leaning(const Host&) {}
  Result<json> asks(Call&) { return json{{"answer", beside_says()}}; }
  static void define(Definition<Leaning>& d) {
    d.id("leaning").version("1.0.0").service("leaning").method("leaning.asks", &Leaning::asks);
  }
};

}  // namespace

GANTRY_PLUGIN(Leaning)
