#!/usr/bin/env bash
# What a plugin's author writes and the host could never call is refused by the compiler, in words: misuse.sh SOURCE_DIR
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile() { # COMPILER MEMBERS SOURCE_DIR
  cat >"$work/p.cpp" <<CPP
#include <gantry/plugin.hpp>
struct S {
  int a = 1;
};
BOOST_DESCRIBE_STRUCT(S, (), (a))
struct P {
  explicit P(gantry::Host) {}
  $2
  static void define(gantry::Definition<P>& d) { d.id("p").version("1.0.0").service("p"); }
};
GANTRY_PLUGIN(P)
CPP
  "$1" -std=c++23 -fsyntax-only "-I$3/sdk/include" "$work/p.cpp" 2>&1
}
refused() { # MEMBERS WORDS
  said=$(compile clang++-19 "$1" "$source") && { echo "it is taken: $1"; exit 1; }
  grep -qF -- "$2" <<<"$said" || { printf 'said of %s:\n%s\n' "$1" "$said"; exit 1; }
}
taken() { # MEMBERS
  for compiler in clang++-19 g++-12; do
    said=$(compile "$compiler" "$1" "$source") || { printf '%s says of %s:\n%s\n' "$compiler" "$1" "$said"; exit 1; }
  done
}

source=$1
result='gantry::Result<void>'
config='const gantry::PluginConfig&'
refused "$result start($config, S) { return {}; }" "start is: Result<void> start(const gantry::PluginConfig&)"
refused "void reconfigure($config, int) {}" "reconfigure is: void reconfigure(const gantry::PluginConfig&)"
refused "void event(std::string, std::string) {}" "event is: void event(std::string_view topic, const gantry::json& payload)"
refused "void stop() {}" "stop is: void stop(gantry::Stopping)"
# Also handlers of such names, and a list in braces as an answer.
taken "$result start($config) const { return {}; } gantry::Result<gantry::json> stop(gantry::Call&) { return gantry::json(); }
  void answers(gantry::Call call) { call.reply({{\"a\", true}}); call.reply(gantry::fail(gantry::ErrorKind::conflict, \"x\")); }"
taken "$result start($config, const S&) { return {}; } void reconfigure($config, const S&) {} void stop(gantry::Stopping) {}
  void event(std::string_view, const gantry::json&) {} void gone(std::uint64_t) {}"
