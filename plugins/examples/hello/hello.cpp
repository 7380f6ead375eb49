// SPDX-License-Identifier: Apache-2.0
//
// A plugin in a dozen lines: one method, whose types the host checks, documents (`gantry call hello.greet --help`) and
// passes on.
#include <gantry/plugin.hpp>

struct Person {
  std::string name = "world";
};
BOOST_DESCRIBE_STRUCT(Person, (), (name))
struct Greeting {
  std::string text;
};
BOOST_DESCRIBE_STRUCT(Greeting, (), (text))

struct Hello {
  explicit Hello(const gantry::Host&) {}
  Greeting greet(const Person& who) { return {"Hello, " + who.name + "!"}; }
  static void define(gantry::Definition<Hello>& d) {
    d.id("hello").version("1.0.0").service("hello").method("hello.greet", &Hello::greet,
                                                           {.summary = "Greets somebody"});
  }
};
GANTRY_PLUGIN(Hello)
